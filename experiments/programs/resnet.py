"""A residual network of torchvision's shape: skips, one ReLU used twice, a pooling by mean."""

from typing import Any


def build(
    torch: Any,
    nn: Any,
    F: Any,
    width: int = 8,
    layers: tuple[int, ...] = (1, 1, 1, 1),
    classes: int = 10,
) -> Any:
    """Four stages of basic blocks, each twice as wide and half as large as the one before."""

    class BasicBlock(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.relu = nn.ReLU(inplace=True)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.downsample = None
            if stride != 1 or inputs != outputs:
                self.downsample = nn.Sequential(
                    nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
                )

        def forward(self, x: Any) -> Any:
            identity = x
            out = self.relu(self.bn1(self.conv1(x)))
            out = self.bn2(self.conv2(out))
            if self.downsample is not None:
                identity = self.downsample(x)
            out += identity
            return self.relu(out)

    class ResNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.relu = nn.ReLU(inplace=True)
            self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
            stages, inputs = [], width
            for i, blocks in enumerate(layers):
                outputs = width * 2**i
                for block in range(blocks):
                    stages.append(BasicBlock(inputs, outputs, 2 if i and not block else 1))
                    inputs = outputs
            self.stages = nn.Sequential(*stages)
            self.fc = nn.Linear(inputs, classes)

        def forward(self, x: Any) -> Any:
            x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
            x = self.stages(x)
            x = x.mean(dim=(2, 3))  # adaptive average pooling to 1x1, flattened
            return self.fc(x)

    return ResNet()


def batch(rng: Any, size: int = 4, side: int = 64) -> dict[str, Any]:
    """Random images and classes."""
    return {"x": rng.standard_normal((size, 3, side, side)), "y": rng.integers(0, 10, size)}


def loss(model: Any, batch: dict[str, Any], torch: Any, F: Any) -> Any:
    """Cross entropy of the logits."""
    return F.cross_entropy(model(batch["x"]), batch["y"])
