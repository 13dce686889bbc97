"""One network called on two inputs, and a contrastive loss of the distance between its outputs."""

from typing import Any


def build(torch: Any, nn: Any, F: Any) -> Any:
    """Images to points, near each other where the images show the same."""

    class Siamese(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(
                nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
            )
            self.fc = nn.Linear(4 * 7 * 7, 8)

        def forward(self, x: Any) -> Any:
            return self.fc(self.features(x))

    return Siamese()


def batch(rng: Any) -> dict[str, Any]:
    """Pairs of images, and whether they show the same thing."""
    first, second = rng.standard_normal((2, 5, 1, 16, 16))
    return {"first": first, "second": second, "same": rng.integers(0, 2, 5).astype(float)}


def loss(model: Any, batch: dict[str, Any], torch: Any, F: Any) -> Any:
    """Pull the same together, push others apart to a distance of 1."""
    a, b = model(batch["first"]), model(batch["second"])
    distance = torch.sqrt(torch.sum((a - b) ** 2, dim=1) + 1e-9)
    apart = torch.clamp(1.0 - distance, min=0.0)
    return torch.mean(batch["same"] * distance**2 + (1 - batch["same"]) * apart**2)
