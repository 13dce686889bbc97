"""The lab's two networks, built from whichever ``nn`` is handed in."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

MODELS = ("mlp", "cnn")


def mlp(nn: Any, sizes: Sequence[int], dropout: float = 0.0) -> Any:
    """Linear layers with ReLU (and dropout) between them.

    Args:
        nn: ``numpy_impl.nn`` or ``torch.nn``.
        sizes: of the input, every hidden layer, and the output: (784, 600, 10) is the lab's.
        dropout: probability after each ReLU; 0 leaves the layer out.
    """
    layers = []
    for i, (size, following) in enumerate(pairwise(sizes)):
        if i:
            layers.append(nn.ReLU())
            if dropout:
                layers.append(nn.Dropout(dropout))
        layers.append(nn.Linear(size, following))
    return nn.Sequential(*layers)


def cnn(nn: Any, side: int = 28, classes: int = 10, hidden: int = 128, dropout: float = 0.0) -> Any:
    """The lab's network with two convolutions, for square one-channel images.

    Args:
        nn: ``numpy_impl.nn`` or ``torch.nn``.
        side: of the images, at least 4.
        classes: number of outputs.
        hidden: width of the linear layer before the last.
        dropout: probability after that layer's ReLU; 0 leaves it out.
    """
    features = 32 * (side // 4) ** 2
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        *mlp(nn, (features, hidden, classes), dropout),
    )


def lab_init(nn: Any, model: Any, scale: float = 1.0) -> None:
    """The lab's initial values: N(0, 2/(in + out)) for linear weights, N(0, 2/fan_in) for
    convolutions, times ``scale``; biases 0."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_normal_(module.weight)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        else:
            continue
        module.weight.data *= scale
        nn.init.zeros_(module.bias)
