"""An encoder and a decoder with skips that are concatenated."""

from typing import Any


def build(torch: Any, nn: Any, F: Any, width: int = 4, depth: int = 2) -> Any:
    """Maps images of one channel to logits of two classes a pixel."""

    class Twice(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.layers = nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
                nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            )

        def forward(self, x: Any) -> Any:
            return self.layers(x)

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = [width * 2**i for i in range(depth + 1)]
            self.first = Twice(1, width)
            self.down = nn.ModuleList([Twice(a, 2 * a) for a in widths[:-1]])
            self.up = nn.ModuleList([Twice(3 * a, a) for a in reversed(widths[:-1])])
            self.last = nn.Conv2d(width, 2, 1)

        def forward(self, x: Any) -> Any:
            x = self.first(x)
            skips = []
            for down in self.down:
                skips.append(x)
                x = down(F.max_pool2d(x, 2))
            for up in self.up:
                x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
                x = up(torch.cat([skips.pop(), x], dim=1))
            return self.last(x)

    return UNet()


def batch(rng: Any, size: int = 2, side: int = 16) -> dict[str, Any]:
    """Random images, and a class for each pixel."""
    shape = (size, side, side)
    return {"x": rng.standard_normal((size, 1, side, side)), "y": rng.integers(0, 2, shape)}


def loss(model: Any, batch: dict[str, Any], torch: Any, F: Any) -> Any:
    """Cross entropy over all pixels."""
    return F.cross_entropy(model(batch["x"]), batch["y"])
