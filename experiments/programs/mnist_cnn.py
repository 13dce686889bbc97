"""The first network of most courses: functional calls between layers, log-softmax, dropout."""

from typing import Any


def build(torch: Any, nn: Any, F: Any) -> Any:
    """Two convolutions and two linear layers for 28x28 images of ten classes."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(1, 8, 3)
            self.conv2 = nn.Conv2d(8, 16, 3)
            self.dropout1 = nn.Dropout(0.25)
            self.fc1 = nn.Linear(16 * 12 * 12, 32)
            self.fc2 = nn.Linear(32, 10)

        def forward(self, x: Any) -> Any:
            x = F.relu(self.conv1(x))
            x = F.max_pool2d(F.relu(self.conv2(x)), 2)
            x = torch.flatten(self.dropout1(x), 1)
            x = F.dropout(F.relu(self.fc1(x)), p=0.5, training=self.training)
            return F.log_softmax(self.fc2(x), dim=1)

    return Net()


def batch(rng: Any) -> dict[str, Any]:
    """Random images and classes."""
    return {"x": rng.standard_normal((4, 1, 28, 28)), "y": rng.integers(0, 10, 4)}


def loss(model: Any, batch: dict[str, Any], torch: Any, F: Any) -> Any:
    """The negative log likelihood."""
    return F.nll_loss(model(batch["x"]), batch["y"])
