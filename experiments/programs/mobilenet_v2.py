"""Inverted residuals: depthwise convolutions, ReLU6 by clamping, a skip where shapes allow it."""

from typing import Any


def build(torch: Any, nn: Any, F: Any) -> Any:
    """A few blocks between a first convolution and a classifier."""

    class ReLU6(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.clamp(0, 6)

    class InvertedResidual(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
            super().__init__()
            hidden = inputs * expand
            self.has_skip = stride == 1 and inputs == outputs
            self.layers = nn.Sequential(
                nn.Conv2d(inputs, hidden, 1, bias=False),
                nn.BatchNorm2d(hidden),
                ReLU6(),
                nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
                nn.BatchNorm2d(hidden),
                ReLU6(),
                nn.Conv2d(hidden, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )

        def forward(self, x: Any) -> Any:
            y = self.layers(x)
            return x + y if self.has_skip else y

    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        ReLU6(),
        InvertedResidual(8, 8, 1, 2),
        InvertedResidual(8, 12, 2, 3),
        InvertedResidual(12, 12, 1, 3),
        nn.AvgPool2d(4),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(12, 10),
    )


def batch(rng: Any) -> dict[str, Any]:
    """Random images and classes."""
    return {"x": rng.standard_normal((3, 3, 16, 16)), "y": rng.integers(0, 10, 3)}


def loss(model: Any, batch: dict[str, Any], torch: Any, F: Any) -> Any:
    """Cross entropy of the logits."""
    return F.cross_entropy(model(batch["x"]), batch["y"])
