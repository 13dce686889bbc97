"""Every layer of the library as the benchmark times it: its constructor, and what goes in."""

from collections.abc import Callable
from typing import Any

import numpy as np

BATCH = 128
# a shape stands for standard normal values
Source = tuple[int, ...] | Callable[[], np.ndarray]


def _below(limit: int, *shape: int) -> Callable[[], np.ndarray]:
    """Random integers."""
    return lambda: np.random.default_rng(2).integers(0, limit, shape)


def _uniform(*shape: int) -> Callable[[], np.ndarray]:
    """Random numbers between 0 and 1, neither of them."""
    return lambda: np.random.default_rng(2).uniform(0.01, 0.99, shape).astype(np.float32)


def _signs(*shape: int) -> Callable[[], np.ndarray]:
    """1 or -1."""
    return lambda: np.random.default_rng(2).integers(0, 2, shape) * 2 - 1


def _labels(count: int, rows: int, classes: int) -> Callable[[], np.ndarray]:
    """In each row some classes, then -1 up to as many as there are; the class 0 is not among them.

    With as many labels as classes there is no -1.
    """

    def make() -> np.ndarray:
        found = np.full((rows, max(count, classes)), -1)
        found[:, :count] = np.random.default_rng(2).integers(1, classes, (rows, count))
        return found

    return make


def _maxima(*shape: int) -> Callable[[], np.ndarray]:
    """Indices of max pooling by two: in each plane of the output, one in every pair or square."""

    def make() -> np.ndarray:
        steps = [2 * np.arange(size) for size in shape[2:]]
        sizes = [2 * size for size in shape[2:]]
        index = np.ravel_multi_index(np.ix_(*steps), sizes) if len(steps) > 1 else steps[0]
        return np.broadcast_to(index, shape).copy()

    return make


_IMAGES, _WIDE, _VOLUMES = (BATCH, 16, 28, 28), (BATCH, 1000), (8, 16, 16, 16, 16)
_MAPS, _LINES = (16, 64, 32, 32), (16, 64, 512)
_ELEMENTWISE = (
    *("ReLU6()", "PReLU()", "RReLU()", "ELU()", "CELU()", "SELU()", "GELU()", "GELU('tanh')"),
    *("SiLU()", "Mish()", "LogSigmoid()", "Tanhshrink()", "Hardtanh()", "Hardsigmoid()"),
    *("Hardswish()", "Hardshrink()", "Softshrink()", "Softplus()", "Softsign()"),
    *("Threshold(0.1, 20.0)", "GLU(1)", "Softmax2d()"),
)

# name: (constructor, inputs)
PARTS: dict[str, tuple[Any, ...]] = {
    "Linear": ("Linear(600, 600)", (BATCH, 600)),
    "Conv1d": ("Conv1d(32, 64, 3, padding=1)", (32, 32, 256)),
    "Conv2d, the CNN's first": ("Conv2d(1, 16, 3, padding=1)", (BATCH, 1, 28, 28)),
    "Conv2d, the CNN's second": ("Conv2d(16, 32, 3, padding=1)", (BATCH, 16, 14, 14)),
    "Conv2d, 64 to 64": ("Conv2d(64, 64, 3, padding=1)", (32, 64, 32, 32)),
    "Conv2d, stride 2": ("Conv2d(32, 64, 3, stride=2, padding=1)", (32, 32, 32, 32)),
    "Conv2d, 4 groups": ("Conv2d(32, 64, 3, padding=1, groups=4)", (32, 32, 32, 32)),
    "Conv2d, depthwise": ("Conv2d(64, 64, 3, padding=1, groups=64)", (32, 64, 32, 32)),
    "Conv3d": ("Conv3d(8, 16, 3, padding=1)", (8, 8, 16, 16, 16)),
    "MaxPool1d": ("MaxPool1d(2)", (BATCH, 16, 784)),
    "MaxPool2d": ("MaxPool2d(2)", (BATCH, 16, 28, 28)),
    "MaxPool2d, overlapping": ("MaxPool2d(3, 2, 1)", (BATCH, 16, 28, 28)),
    "MaxPool3d": ("MaxPool3d(2)", (8, 16, 16, 16, 16)),
    "AvgPool1d": ("AvgPool1d(2)", (BATCH, 16, 784)),
    "AvgPool2d": ("AvgPool2d(2)", (BATCH, 16, 28, 28)),
    "AvgPool3d": ("AvgPool3d(2)", (8, 16, 16, 16, 16)),
    "BatchNorm1d": ("BatchNorm1d(600)", (BATCH, 600)),
    "BatchNorm2d": ("BatchNorm2d(16)", (BATCH, 16, 28, 28)),
    "SyncBatchNorm": ("SyncBatchNorm(16)", (BATCH, 16, 28, 28)),
    "BatchNorm3d": ("BatchNorm3d(16)", (8, 16, 16, 16, 16)),
    "Dropout": ("Dropout(0.2)", (BATCH, 600)),
    "ReLU": ("ReLU()", (BATCH, 16, 28, 28)),
    "LeakyReLU": ("LeakyReLU()", (BATCH, 16, 28, 28)),
    "Sigmoid": ("Sigmoid()", (BATCH, 16, 28, 28)),
    "Tanh": ("Tanh()", (BATCH, 16, 28, 28)),
    "Softmax": ("Softmax(1)", (BATCH, 1000)),
    "LogSoftmax": ("LogSoftmax(1)", (BATCH, 1000)),
    "Identity": ("Identity()", (BATCH, 16, 28, 28)),
    "Flatten": ("Flatten()", (BATCH, 32, 7, 7)),
    "Unflatten": ("Unflatten(1, (32, 7, 7))", (BATCH, 1568)),
    "Softmin": ("Softmin(1)", _WIDE),
    **{text.removesuffix("()"): (text, _IMAGES) for text in _ELEMENTWISE},
    "ConvTranspose1d": ("ConvTranspose1d(32, 64, 4, 2, 1)", (32, 32, 128)),
    "ConvTranspose2d": ("ConvTranspose2d(64, 32, 4, 2, 1)", (32, 64, 16, 16)),
    "ConvTranspose3d": ("ConvTranspose3d(16, 8, 4, 2, 1)", (8, 16, 8, 8, 8)),
    "Unfold": ("Unfold(3, padding=1)", (16, 16, 32, 32)),
    "Fold": ("Fold(32, 3, padding=1)", (16, 144, 1024)),
    "AdaptiveAvgPool1d": ("AdaptiveAvgPool1d(8)", (BATCH, 16, 784)),
    "AdaptiveAvgPool2d": ("AdaptiveAvgPool2d(5)", _IMAGES),
    "AdaptiveAvgPool2d, global": ("AdaptiveAvgPool2d(1)", (32, 512, 7, 7)),
    "AdaptiveAvgPool3d": ("AdaptiveAvgPool3d(3)", _VOLUMES),
    "AdaptiveMaxPool1d": ("AdaptiveMaxPool1d(8)", (BATCH, 16, 784)),
    "AdaptiveMaxPool2d": ("AdaptiveMaxPool2d(5)", _IMAGES),
    "AdaptiveMaxPool3d": ("AdaptiveMaxPool3d(4)", _VOLUMES),
    "MaxUnpool1d": ("MaxUnpool1d(2)", (BATCH, 16, 392), _maxima(BATCH, 16, 392)),
    "MaxUnpool2d": ("MaxUnpool2d(2)", (BATCH, 16, 14, 14), _maxima(BATCH, 16, 14, 14)),
    "MaxUnpool3d": ("MaxUnpool3d(2)", (8, 16, 8, 8, 8), _maxima(8, 16, 8, 8, 8)),
    "LPPool1d": ("LPPool1d(2, 2)", (BATCH, 16, 784)),
    "LPPool2d": ("LPPool2d(2, 2)", _IMAGES),
    "LPPool3d": ("LPPool3d(2, 2)", _VOLUMES),
    "FractionalMaxPool2d": ("FractionalMaxPool2d(2, 14)", _IMAGES),
    "FractionalMaxPool3d": ("FractionalMaxPool3d(2, 8)", _VOLUMES),
    **{
        f"{kind}Pad{n}d": (f"{kind}Pad{n}d({'1, 0.5' if kind == 'Constant' else 1})", shape)
        for kind in ("Constant", "Zero", "Reflection", "Replication", "Circular")
        for n, shape in ((1, _LINES), (2, _MAPS), (3, (2, 16, 16, 16, 16)))
    },
    "PixelShuffle": ("PixelShuffle(2)", (8, 64, 32, 32)),
    "PixelUnshuffle": ("PixelUnshuffle(2)", (8, 16, 64, 64)),
    "ChannelShuffle": ("ChannelShuffle(4)", (8, 64, 32, 32)),
    "Upsample": ("Upsample(scale_factor=2)", (8, 64, 32, 32)),
    "Upsample, bilinear": ("Upsample(50, mode='bilinear')", (8, 64, 32, 32)),
    "Upsample, bicubic": ("Upsample(50, mode='bicubic')", (8, 64, 32, 32)),
    "UpsamplingNearest2d": ("UpsamplingNearest2d(scale_factor=2)", (8, 64, 32, 32)),
    "UpsamplingBilinear2d": ("UpsamplingBilinear2d(scale_factor=2)", (8, 64, 32, 32)),
    "LayerNorm": ("LayerNorm(256)", (64, 128, 256)),
    "RMSNorm": ("RMSNorm(256)", (64, 128, 256)),
    "GroupNorm": ("GroupNorm(8, 64)", (32, 64, 28, 28)),
    "InstanceNorm1d": ("InstanceNorm1d(64, affine=True)", (32, 64, 784)),
    "InstanceNorm2d": ("InstanceNorm2d(64, affine=True)", (32, 64, 28, 28)),
    "InstanceNorm3d": ("InstanceNorm3d(16, affine=True)", _VOLUMES),
    "LocalResponseNorm": ("LocalResponseNorm(5)", (32, 64, 28, 28)),
    "CrossMapLRN2d": ("CrossMapLRN2d(5)", (8, 64, 28, 28)),
    "Dropout1d": ("Dropout1d(0.2)", (32, 64, 128)),
    "Dropout2d": ("Dropout2d(0.2)", (32, 64, 16, 16)),
    "Dropout3d": ("Dropout3d(0.2)", (8, 32, 8, 16, 16)),
    "AlphaDropout": ("AlphaDropout(0.2)", (BATCH, 1024)),
    "FeatureAlphaDropout": ("FeatureAlphaDropout(0.2)", (32, 64, 16, 16)),
    "Bilinear": ("Bilinear(64, 64, 32)", (BATCH, 64), (BATCH, 64)),
    "Embedding": ("Embedding(10000, 128)", _below(10_000, 32, 64)),
    "EmbeddingBag": ("EmbeddingBag(10000, 128)", _below(10_000, 32, 64)),
    "CosineSimilarity": ("CosineSimilarity()", (512, 256), (512, 256)),
    "PairwiseDistance": ("PairwiseDistance()", (512, 256), (512, 256)),
    **{
        f"{name}Loss": (f"{name}Loss()", _WIDE, _WIDE)
        for name in ("L1", "SmoothL1", "Huber", "PoissonNLL")
    },
    "SoftMarginLoss": ("SoftMarginLoss()", _WIDE, _signs(*_WIDE)),
    "HingeEmbeddingLoss": ("HingeEmbeddingLoss()", _WIDE, _signs(*_WIDE)),
    "KLDivLoss": ("KLDivLoss(reduction='batchmean')", _WIDE, _uniform(*_WIDE)),
    "GaussianNLLLoss": ("GaussianNLLLoss()", _WIDE, _WIDE, _uniform(*_WIDE)),
    "BCELoss": ("BCELoss()", _uniform(*_WIDE), _uniform(*_WIDE)),
    "BCEWithLogitsLoss": ("BCEWithLogitsLoss()", _WIDE, _uniform(*_WIDE)),
    "MultiLabelSoftMarginLoss": ("MultiLabelSoftMarginLoss()", _WIDE, _uniform(*_WIDE)),
    "LinearCrossEntropyLoss": (
        "LinearCrossEntropyLoss(256, 1000)",
        (BATCH, 256),
        _below(1000, BATCH),
    ),
    "AdaptiveLogSoftmaxWithLoss": (
        "AdaptiveLogSoftmaxWithLoss(256, 10000, [500, 2000])",
        (BATCH, 256),
        _below(10_000, BATCH),
    ),
    "MarginRankingLoss": ("MarginRankingLoss()", _WIDE, _WIDE, _signs(*_WIDE)),
    "MultiMarginLoss": ("MultiMarginLoss()", _WIDE, _below(1000, BATCH)),
    "MultiLabelMarginLoss": ("MultiLabelMarginLoss()", _WIDE, _labels(5, *_WIDE)),
    "CosineEmbeddingLoss": ("CosineEmbeddingLoss()", (512, 256), (512, 256), _signs(512)),
    "TripletMarginLoss": ("TripletMarginLoss()", *[(512, 256)] * 3),
    "TripletMarginWithDistanceLoss": ("TripletMarginWithDistanceLoss()", *[(512, 256)] * 3),
    "CTCLoss": (
        "CTCLoss()",
        (50, 16, 20),
        _labels(20, 16, 20),
        lambda: np.full(16, 50),
        lambda: np.full(16, 20),
    ),
    "MultiheadAttention": ("MultiheadAttention(128, 4)", *((128, 16, 128),) * 3),
    "TransformerEncoderLayer": ("TransformerEncoderLayer(128, 4, 512)", (64, 16, 128)),
    "TransformerDecoderLayer": ("TransformerDecoderLayer(128, 4, 512)", *((64, 16, 128),) * 2),
    "TransformerEncoder": (
        "TransformerEncoder(nn.TransformerEncoderLayer(128, 4, 512, batch_first=True), 2)",
        (32, 16, 128),
    ),
    "TransformerDecoder": (
        "TransformerDecoder(nn.TransformerDecoderLayer(128, 4, 512), 2)",
        *((32, 16, 128),) * 2,
    ),
    "Transformer": ("Transformer(128, 4, 1, 1, 512, batch_first=True)", *((32, 16, 128),) * 2),
    "RNN": ("RNN(128, 128)", (64, 64, 128)),
    "LSTM": ("LSTM(128, 128)", (64, 64, 128)),
    "LSTM, 2 layers, both directions": ("LSTM(64, 64, 2, bidirectional=True)", (32, 32, 64)),
    "GRU": ("GRU(128, 128)", (64, 64, 128)),
    "RNNCell": ("RNNCell(128, 128)", (64, 128)),
    "LSTMCell": ("LSTMCell(128, 128)", (64, 128)),
    "GRUCell": ("GRUCell(128, 128)", (64, 128)),
}
