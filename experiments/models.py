"""The lab's two networks, a deeper one, an LSTM and a small GPT, for any ``nn``."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

MODELS = ("mlp", "cnn", "cnn3", "lstm", "gpt")
ACTIVATIONS = {
    "relu": "ReLU",
    "leaky-relu": "LeakyReLU",
    "elu": "ELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
}


def mlp(nn: Any, sizes: Sequence[int], dropout: float = 0.0, activation: str = "relu") -> Any:
    """Linear layers with an activation (and dropout) between them.

    Args:
        nn: ``numpy_impl.nn`` or ``torch.nn``.
        sizes: of the input, every hidden layer, and the output: (784, 600, 10) is the lab's.
        dropout: probability after each activation; 0 leaves the layer out.
        activation: a name in ``ACTIVATIONS``.
    """
    layers = []
    for i, (size, following) in enumerate(pairwise(sizes)):
        if i:
            layers.append(getattr(nn, ACTIVATIONS[activation])())
            if dropout:
                layers.append(nn.Dropout(dropout))
        layers.append(nn.Linear(size, following))
    return nn.Sequential(*layers)


def cnn(
    nn: Any,
    side: int | tuple[int, int] = 28,
    classes: int = 10,
    hidden: int = 128,
    dropout: float = 0.0,
    batch_norm: bool = False,
) -> Any:
    """The lab's network with two convolutions, for one-channel images.

    Args:
        nn: ``numpy_impl.nn`` or ``torch.nn``.
        side: of square images, or their height and width; at least 4.
        classes: number of outputs.
        hidden: width of the linear layer before the last.
        dropout: probability after that layer's ReLU; 0 leaves it out.
        batch_norm: normalise the outputs of the convolutions, which then need no bias.
    """
    height, width = (side, side) if isinstance(side, int) else side
    features = 32 * (height // 4) * (width // 4)

    def convolution(channels: int, out: int) -> list[Any]:
        layers = [nn.Conv2d(channels, out, 3, padding=1, bias=not batch_norm)]
        layers += [nn.BatchNorm2d(out)] if batch_norm else []
        return [*layers, nn.ReLU(), nn.MaxPool2d(2)]

    return nn.Sequential(
        *convolution(1, 16),
        *convolution(16, 32),
        nn.Flatten(),
        *mlp(nn, (features, hidden, classes), dropout),
    )


def cnn3(
    nn: Any,
    side: int | tuple[int, int] = 28,
    classes: int = 10,
    hidden: int = 128,
    dropout: float = 0.0,
) -> Any:
    """Three convolutions with batch norm, for one-channel images.

    Args:
        nn: ``numpy_impl.nn`` or ``torch.nn``.
        side: of square images, or their height and width, at least 4; images with a side below 16
            are padded, or nothing would be left.
        classes: number of outputs.
        hidden: width of the linear layer before the last.
        dropout: probability after that layer's ReLU; 0 leaves it out.
    """
    sides = (side, side) if isinstance(side, int) else side
    is_small = min(sides) < 16

    def convolution(inputs: int, outputs: int, size: int) -> list[Any]:
        # without a bias, which the norm would take away again
        padding = size // 2 if is_small else 0
        conv = nn.Conv2d(inputs, outputs, size, padding=padding, bias=False)
        return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]

    height, width = (s // 4 if is_small else ((s - 4) // 2 - 4) // 2 for s in sides)
    return nn.Sequential(
        *convolution(1, 16, 5),
        nn.MaxPool2d(2),
        *convolution(16, 32, 3),
        *convolution(32, 64, 3),
        nn.MaxPool2d(2),
        nn.Flatten(),
        *mlp(nn, (64 * height * width, hidden, classes), dropout),
    )


def row_lstm(
    nn: Any,
    side: int | tuple[int, int] = 28,
    classes: int = 10,
    hidden: int = 128,
    dropout: float = 0.0,
) -> Any:
    """An LSTM that reads one-channel images row by row; its last state decides.

    Args:
        nn: ``numpy_impl.nn`` or ``torch.nn``.
        side: of square images, or their height and width: so many steps, of so many features.
        classes: number of outputs.
        hidden: width of the state.
        dropout: probability before the output layer.
    """

    features = side if isinstance(side, int) else side[1]

    class RowLSTM(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(features, hidden, batch_first=True)
            self.dropout = nn.Dropout(dropout)
            self.head = nn.Linear(hidden, classes)

        def forward(self, images: Any) -> Any:
            _, (state, _) = self.lstm(images.squeeze(1))
            return self.head(self.dropout(state[0]))

    return RowLSTM()


def gpt(
    nn: Any,
    symbols: int,
    context: int,
    width: int = 128,
    layers: int = 5,
    heads: int = 4,
    dropout: float = 0.0,
    tied: bool = False,
) -> Any:
    """A language model: a Transformer's pre-norm blocks, each symbol seeing those before it.

    Symbols (N, T) -> logits of the next ones (N, symbols, T), T at most ``context``.

    Args:
        nn: ``numpy_impl.nn`` or ``torch.nn``.
        symbols: how many different ones there are.
        context: the longest input.
        width: of the embeddings and blocks, a multiple of ``heads``.
        layers: number of blocks.
        heads: of the attention.
        dropout: probability after the embeddings, the attention and the two-layer network.
        tied: the output layer's weight is the embedding's.

    Source: https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf
    """

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inputs = nn.Linear(width, 3 * width)
            self.output = nn.Linear(width, width)

        def forward(self, x: Any) -> Any:
            n, t, _ = x.shape
            split = self.inputs(x).reshape(n, t, 3, heads, width // heads)
            q, k, v = split.permute(2, 0, 3, 1, 4)  # each (N, heads, T, width / heads)
            y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.output(y.transpose(1, 2).reshape(n, t, width))

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.attention = nn.LayerNorm(width), Attention()
            self.norm2 = nn.LayerNorm(width)
            self.network = nn.Sequential(
                nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
            )
            self.dropout = nn.Dropout(dropout)

        def forward(self, x: Any) -> Any:
            x = x + self.dropout(self.attention(self.norm1(x)))
            return x + self.dropout(self.network(self.norm2(x)))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.symbols = nn.Embedding(symbols, width)
            self.places = nn.Embedding(context, width)
            self.dropout = nn.Dropout(dropout)
            self.blocks = nn.Sequential(*(Block() for _ in range(layers)))
            self.norm = nn.LayerNorm(width)
            self.head = nn.Linear(width, symbols, bias=False)
            if tied:
                self.head.weight = self.symbols.weight

        def forward(self, ids: Any) -> Any:
            x = self.symbols(ids) + self.places.weight[: ids.shape[1]]
            x = self.norm(self.blocks(self.dropout(x)))
            return self.head(x).transpose(1, 2)

    return GPT()


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
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def gpt_init(nn: Any, model: Any) -> None:
    """GPT-2's initial values: N(0, 0.02^2) for weights; biases 0."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
