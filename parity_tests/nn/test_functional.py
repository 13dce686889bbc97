"""torch.nn.functional's names: Tensors for Tensors, arrays for arrays, and torch's numbers."""

from typing import Any

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl.nn import functional
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result, Tolerance
from torch_ref.convert import to_numpy, to_torch

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


def uniform(*shape: int) -> np.ndarray:
    return RNG.uniform(0.1, 0.9, shape)


LABELS = np.array([0, 2, 1])
SIGNS = np.array([[1, -1, 1, -1], [-1, -1, 1, 1], [1, 1, 1, -1]])
SEQUENCES = np.array([[1, 2, 1], [3, 3, 1]])
INDICES = np.array([0, 4, 2, 1, 3, 0] * 2).reshape(2, 3, 2)
HEADS = [normal(4, 2, 6), normal(5, 2, 6), normal(5, 2, 6), 6, 2]
MAPS = [normal(18, 6), normal(18), normal(1, 1, 6), normal(1, 1, 6), True, 0.4]
MAPS += [normal(6, 6), normal(6)]
# name: rows of (arguments, options); floating-point arrays among the arguments get gradients
ROWS: dict[str, list[tuple[list[Any], dict[str, Any]]]] = {
    "linear": [
        ([normal(2, 5, 3), normal(4, 3), normal(4)], {}),
        ([normal(3), normal(4, 3)], {}),
    ],
    "scaled_dot_product_attention": [
        ([normal(2, 3, 4), normal(2, 5, 4), normal(2, 5, 6)], {"is_causal": True}),
        ([normal(1, 4, 3, 2), normal(1, 2, 5, 2), normal(1, 2, 5, 2)], {"enable_gqa": True}),
        ([normal(3, 4), normal(5, 4), normal(5, 4), normal(3, 5)], {"scale": 0.3}),
    ],
    "multi_head_attention_forward": [
        ([*HEADS, *MAPS, False, np.arange(5) >= np.array([[5], [3]])], {"need_weights": False}),
        (
            [
                *HEADS[:2],
                normal(5, 2, 4),
                *HEADS[3:],
                None,
                MAPS[1],
                None,
                None,
                False,
                0.0,
                *MAPS[6:],
                True,
                normal(2, 5),
                True,
                normal(4, 4, 5),
                True,
                normal(6, 6),
                normal(6, 6),
                normal(6, 4),
            ],
            {"average_attn_weights": False},
        ),
        (
            [
                *HEADS,
                *MAPS[:2],
                None,
                None,
                *MAPS[4:],
                False,
                None,
                True,
                None,
                False,
                None,
                None,
                None,
                normal(4, 3, 3),
                normal(4, 3, 3),
            ],
            {},
        ),
    ],
    "bilinear": [
        ([normal(2, 5, 3), normal(2, 5, 4), normal(6, 3, 4), normal(6)], {}),
        ([normal(3), normal(4), normal(2, 3, 4)], {}),
    ],
    "conv1d": [([normal(2, 4, 9), normal(6, 2, 3), normal(6)], {"stride": 2, "groups": 2})],
    "conv2d": [
        ([normal(2, 3, 7, 6), normal(4, 3, 3, 2), normal(4)], {"padding": 1, "dilation": 2}),
        ([normal(3, 6, 6), normal(4, 3, 3, 3)], {"padding": "same"}),
    ],
    "conv3d": [([normal(1, 2, 4, 5, 4), normal(3, 2, 2, 2, 2), normal(3)], {"stride": (1, 2, 1)})],
    **{
        name: [([normal(3, 4)], {})]
        for name in (
            *("hardsigmoid", "hardswish", "logsigmoid", "mish", "relu", "relu6", "relu_"),
            *("selu", "selu_", "sigmoid", "silu", "softsign", "tanh", "tanhshrink"),
        )
    },
    "celu": [([normal(3, 4)], {"alpha": 0.5})],
    "celu_": [([normal(3, 4)], {"alpha": 0.5})],
    "elu": [([normal(3, 4)], {"alpha": 0.5})],
    "elu_": [([normal(3, 4)], {"alpha": 0.5})],
    "gelu": [([normal(3, 4)], {}), ([normal(3, 4)], {"approximate": "tanh"})],
    "glu": [([normal(3, 4)], {}), ([normal(4, 3)], {"dim": 0})],
    "gumbel_softmax": [
        ([normal(3, 4)], {}),
        ([normal(3, 4, 2)], {"tau": 0.3, "dim": 1}),
        ([normal(3, 4)], {"hard": True}),
    ],
    "hardshrink": [([normal(3, 4)], {"lambd": 0.7})],
    "hardtanh": [
        ([normal(3, 4)], {"min_val": -0.3}),
        ([normal(3, 4)], {"min_val": 1.0, "max_val": 1.0}),
    ],
    "hardtanh_": [([normal(3, 4)], {"max_val": 0.3})],
    "conv_transpose1d": [
        ([normal(2, 4, 5), normal(4, 3, 3), normal(6)], {"stride": 2, "groups": 2}),
        ([normal(4, 5), normal(4, 3, 3)], {"padding": 1}),
    ],
    "conv_transpose2d": [
        ([normal(2, 3, 4, 5), normal(3, 4, 3, 2), normal(4)], {"stride": 2, "output_padding": 1}),
    ],
    "conv_transpose3d": [([normal(1, 2, 3, 2, 3), normal(2, 3, 2, 2, 2)], {"dilation": 2})],
    "conv_tbc": [([normal(6, 2, 3), normal(3, 3, 4), normal(4)], {"pad": 1})],
    "fold": [
        (
            [normal(2, 12, 9)],
            {"output_size": 4, "kernel_size": 2},
        )
    ],
    "unfold": [([normal(2, 3, 4, 5)], {"kernel_size": (2, 3), "dilation": (2, 1), "padding": 1})],
    "leaky_relu": [([normal(3, 4)], {"negative_slope": 0.3})],
    "leaky_relu_": [([normal(3, 4)], {"negative_slope": 0.3})],
    "prelu": [([normal(3, 4), normal(4)], {}), ([normal(3, 4), np.array(0.3)], {})],
    "rrelu": [([normal(3, 4)], {}), ([normal(3, 4)], {"lower": 0.2, "training": True})],
    "rrelu_": [([normal(3, 4)], {"upper": 0.6, "training": True})],
    "softmin": [([normal(3, 4)], {"dim": 1}), ([normal(2, 3, 4)], {"dim": 0})],
    "softplus": [([normal(3, 4)], {"beta": 2, "threshold": 1})],
    "softshrink": [([normal(3, 4)], {"lambd": 0.7})],
    "threshold": [([normal(3, 4)], {"threshold": 0.3, "value": -2})],
    "threshold_": [([normal(3, 4)], {"threshold": 0.3, "value": -2})],
    "softmax": [([normal(3, 4)], {"dim": 1}), ([normal(2, 3, 4)], {"dim": 0})],
    "log_softmax": [([normal(3, 4)], {"dim": -1})],
    "dropout": [([normal(3, 4)], {"p": 0.4}), ([normal(3, 4)], {"training": False})],
    "cosine_similarity": [
        ([normal(3, 4), normal(3, 4)], {}),
        ([normal(2, 1, 4), normal(3, 1)], {"dim": -1, "eps": 1.0}),
    ],
    "pairwise_distance": [
        ([normal(3, 4), normal(3, 4)], {}),
        ([normal(3, 4), normal(4)], {"p": 1.0, "eps": 0.1, "keepdim": True}),
    ],
    "pdist": [
        ([normal(4, 3)], {}),
        *[([normal(5, 3)], {"p": p}) for p in (0.0, 0.5, 1.0, 1.5, 3.0, float("inf"))],
    ],
    "dropout1d": [([normal(3, 4)], {"p": 0.4}), ([normal(2, 3, 4)], {})],
    "dropout2d": [([normal(2, 3, 4, 2)], {"p": 0.4})],
    "dropout3d": [([normal(3, 2, 2, 4)], {"p": 0.4})],
    "alpha_dropout": [([normal(3, 4)], {"p": 0.4, "training": True}), ([normal(3, 4)], {})],
    "feature_alpha_dropout": [([normal(3, 4, 2)], {"training": True}), ([normal(3, 4)], {})],
    "max_pool1d": [([normal(2, 3, 8)], {"kernel_size": 3, "stride": 2})],
    "max_pool2d": [([normal(2, 3, 6, 8)], {"kernel_size": 2})],
    "max_pool3d": [([normal(1, 2, 4, 4, 4)], {"kernel_size": 2, "padding": 1})],
    "avg_pool1d": [([normal(2, 3, 8)], {"kernel_size": 3, "padding": 1})],
    "avg_pool2d": [([normal(2, 3, 6, 8)], {"kernel_size": (2, 3), "divisor_override": 5})],
    "avg_pool3d": [([normal(1, 2, 4, 4, 5)], {"kernel_size": 2, "ceil_mode": True})],
    "max_pool1d_with_indices": [([normal(2, 3, 8)], {"kernel_size": 3, "padding": 1})],
    "max_pool2d_with_indices": [([normal(2, 3, 6, 8)], {"kernel_size": (2, 3), "stride": 1})],
    "max_pool3d_with_indices": [([normal(1, 2, 4, 4, 5)], {"kernel_size": 2, "ceil_mode": True})],
    "max_unpool1d": [([normal(2, 3, 2), INDICES], {"kernel_size": 3, "stride": 2})],
    "max_unpool2d": [
        ([normal(1, 2, 3, 2), INDICES.reshape(1, 2, 3, 2)], {"kernel_size": 2}),
        ([normal(2, 3, 2), INDICES], {"kernel_size": 2, "output_size": [7, 4]}),
    ],
    "max_unpool3d": [([normal(1, 2, 3, 2, 1), INDICES.reshape(1, 2, 3, 2, 1)], {"kernel_size": 2})],
    "lp_pool1d": [([normal(2, 3, 8)], {"norm_type": 2, "kernel_size": 3, "stride": 2})],
    "lp_pool2d": [([normal(2, 3, 6, 8)], {"norm_type": np.inf, "kernel_size": 2})],
    "lp_pool3d": [([normal(1, 2, 4, 4, 5)], {"norm_type": 4.0, "kernel_size": 2})],
    "adaptive_avg_pool1d": [([normal(2, 3, 8)], {"output_size": 3})],
    "adaptive_avg_pool2d": [([normal(3, 6, 8)], {"output_size": (None, 3)})],
    "adaptive_avg_pool3d": [([normal(1, 2, 4, 5, 6)], {"output_size": 3})],
    "adaptive_max_pool1d": [([normal(2, 3, 8)], {"output_size": 3})],
    "adaptive_max_pool1d_with_indices": [([normal(2, 3, 8)], {"output_size": 3})],
    "adaptive_max_pool2d": [([normal(3, 6, 8)], {"output_size": (4, 3), "return_indices": True})],
    "adaptive_max_pool2d_with_indices": [([normal(2, 3, 6, 8)], {"output_size": (None, 3)})],
    "adaptive_max_pool3d": [([normal(1, 2, 4, 5, 6)], {"output_size": 3})],
    "adaptive_max_pool3d_with_indices": [([normal(1, 2, 4, 5, 6)], {"output_size": 3})],
    "fractional_max_pool2d": [([normal(2, 3, 7, 8)], {"kernel_size": 2, "output_size": 4})],
    "fractional_max_pool2d_with_indices": [
        ([normal(3, 7, 8)], {"kernel_size": 2, "output_ratio": (0.5, 0.6)})
    ],
    "fractional_max_pool3d": [([normal(1, 2, 5, 4, 6)], {"kernel_size": 2, "output_ratio": 0.5})],
    "fractional_max_pool3d_with_indices": [
        ([normal(1, 2, 5, 4, 6)], {"kernel_size": 2, "output_size": 2})
    ],
    "cross_entropy": [
        ([normal(3, 4), LABELS], {"label_smoothing": 0.2}),
        ([normal(3, 4), LABELS], {"reduction": "sum", "ignore_index": 2}),
    ],
    "nll_loss": [([normal(3, 4), LABELS], {"reduction": "none"})],
    "mse_loss": [([normal(3, 4), normal(3, 4)], {})],
    "l1_loss": [([normal(3, 4), normal(3, 4)], {"reduction": "sum"})],
    "smooth_l1_loss": [([normal(3, 4), normal(3, 4)], {"beta": 0.5})],
    "huber_loss": [([normal(3, 4), normal(3, 4)], {"delta": 0.5})],
    "poisson_nll_loss": [([normal(3, 4), uniform(3, 4)], {"full": True})],
    "gaussian_nll_loss": [([normal(3, 4), normal(3, 4), uniform(3, 4)], {"full": True})],
    "kl_div": [
        ([normal(3, 4), uniform(3, 4)], {"reduction": "batchmean"}),
        ([normal(3, 4), normal(3, 4)], {"reduction": "sum", "log_target": True}),
    ],
    "binary_cross_entropy": [([uniform(3, 4), uniform(3, 4)], {"reduction": "none"})],
    "binary_cross_entropy_with_logits": [([normal(3, 4), uniform(3, 4)], {})],
    "soft_margin_loss": [([normal(3, 4), SIGNS], {})],
    "multilabel_soft_margin_loss": [([normal(3, 4), uniform(3, 4)], {"reduction": "none"})],
    "linear_cross_entropy": [([normal(3, 5), normal(4, 5), LABELS], {"label_smoothing": 0.2})],
    "margin_ranking_loss": [([normal(3, 4), normal(3, 4), SIGNS], {"margin": 0.5})],
    "hinge_embedding_loss": [([normal(3, 4), SIGNS], {"margin": 0.5})],
    "multi_margin_loss": [([normal(3, 4), LABELS], {"p": 2, "margin": 0.5})],
    "multilabel_margin_loss": [([normal(3, 4), SIGNS], {})],
    "cosine_embedding_loss": [([normal(3, 4), normal(3, 4), SIGNS[:, 0]], {"margin": 0.1})],
    "triplet_margin_loss": [([normal(3, 4), normal(3, 4), normal(3, 4)], {"swap": True})],
    "triplet_margin_with_distance_loss": [
        ([normal(3, 4), normal(3, 4), normal(3, 4)], {"swap": True, "reduction": "none"})
    ],
    "ctc_loss": [([normal(6, 2, 4), SEQUENCES, np.array([6, 5]), np.array([3, 2])], {})],
    "pad": [
        ([normal(2, 3, 4)], {"pad": (1, 2, 0, 3), "value": 0.5}),
        ([normal(2, 3, 4)], {"pad": (-1, 2)}),
        ([normal(2, 3, 4)], {"pad": (3, -1), "mode": "reflect"}),
        ([normal(3, 4, 3)], {"pad": (1, 2, 0, 5), "mode": "replicate"}),
        ([normal(1, 2, 2, 3, 4)], {"pad": (4, 1, 0, 2, -1, 1), "mode": "circular"}),
    ],
    "interpolate": [
        ([normal(2, 3, 4)], {"size": 7}),
        ([normal(2, 3, 4)], {"scale_factor": 2.3, "mode": "linear"}),
        ([normal(1, 2, 3, 4)], {"size": (4, 2), "mode": "area"}),
        ([normal(1, 2, 5, 4)], {"scale_factor": 0.5, "mode": "bilinear", "antialias": True}),
        ([normal(1, 2, 5, 9)], {"size": (7, 4), "mode": "bicubic", "antialias": True}),
        ([normal(1, 2, 9, 5)], {"size": (3, 4), "mode": "lanczos", "antialias": True}),
        (
            [normal(1, 2, 3, 4)],
            {"scale_factor": [1.5, 2.6], "mode": "bicubic", "recompute_scale_factor": True},
        ),
    ],
    "upsample": [([normal(1, 2, 3, 2, 2)], {"scale_factor": 2, "mode": "trilinear"})],
    "upsample_nearest": [([normal(1, 2, 3, 4)], {"scale_factor": (2, 3)})],
    "upsample_bilinear": [([normal(1, 2, 3, 4)], {"size": 5})],
    "pixel_shuffle": [([normal(8, 2, 3)], {"upscale_factor": 2})],
    "pixel_unshuffle": [([normal(2, 4, 6)], {"downscale_factor": 2})],
    "affine_grid": [([normal(2, 2, 3)], {"size": (2, 1, 3, 4), "align_corners": False})],
    "grid_sample": [
        ([normal(2, 3, 4, 5), normal(2, 3, 2, 2)], {"align_corners": False}),
        ([normal(1, 2, 3, 4, 5), normal(1, 2, 3, 2, 3)], {"align_corners": True}),
    ],
    "channel_shuffle": [([normal(2, 6, 3)], {"groups": 2})],
    "batch_norm": [
        ([normal(5, 3, 4)], {"running_mean": None, "running_var": None, "training": True})
    ],
    "group_norm": [([normal(3, 4, 5)], {"num_groups": 2})],
    "instance_norm": [([normal(3, 4, 5)], {"eps": 0.1})],
    "layer_norm": [([normal(3, 4, 5)], {"normalized_shape": (4, 5)})],
    "local_response_norm": [([normal(3, 4, 5)], {"size": 2, "alpha": 0.5})],
    "rms_norm": [([normal(3, 4, 5)], {"normalized_shape": (5,)})],
    "normalize": [([normal(3, 4)], {}), ([normal(3, 4)], {"p": 1.0, "dim": 0})],
    "embedding": [
        ([LABELS, normal(4, 3)], {}),
        (
            [np.array([[0, 2], [2, 1]]), normal(4, 3)],
            {"padding_idx": 1, "scale_grad_by_freq": True},
        ),
    ],
    "embedding_bag": [
        ([LABELS, normal(4, 3), np.array([0, 1])], {}),
        ([LABELS[None], normal(4, 3)], {"mode": "max"}),
        ([LABELS, normal(4, 3), np.array([0, 2, 3])], {"mode": "sum", "include_last_offset": True}),
    ],
    "one_hot": [([LABELS], {}), ([LABELS], {"num_classes": 5})],
}
# torch's own sixth is a float32 number
EXCEPTIONS = {("hardsigmoid", "float64", "input_grad"): Tolerance(rtol=3e-8, atol=0)}
# what torch says of its own old names
OLD_NAMES = "ignore:`nn.functional.upsample:UserWarning"
CONFIGURATIONS = [(name, row) for name, rows in ROWS.items() for row in rows]


def allowed(name: str, dtype: str, result: Result) -> Tolerance:
    usual = tolerance(dtype, result.direction)
    return EXCEPTIONS.get((name, dtype, result.direction), usual)


def parts(output: Any) -> tuple:
    """A function may return indices, too, or weights, or None in their place."""
    whole = output if isinstance(output, tuple) else (output,)
    return tuple(part for part in whole if part is not None)


def mapped(function: Any, values: list[Any]) -> list[Any]:
    """The function of each array; numbers, flags and None as they are."""
    return [function(v) if isinstance(v, np.ndarray) else v for v in values]


def is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def has_grad(value: Any) -> bool:
    return getattr(value, "grad", None) is not None


def test_every_function_has_a_row() -> None:
    names = {name for name in functional.__all__ if not name.endswith("_backward")}
    assert names == set(ROWS)


@pytest.mark.filterwarnings(OLD_NAMES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "row"), CONFIGURATIONS, ids=[name for name, _ in CONFIGURATIONS])
def test_functions_agree_with_torch(name, row, dtype) -> None:
    values, options = row
    arrays = mapped(lambda a: a.astype(dtype) if is_float(a) else a, values)
    ours = mapped(lambda a: numpy_impl.tensor(a, requires_grad=is_float(a)), arrays)
    theirs = mapped(lambda a: to_torch(a).requires_grad_(is_float(a)), arrays)
    numpy_impl.manual_seed(0)
    torch.manual_seed(0)
    mine, *indices = parts(getattr(functional, name)(*ours, **options))
    # in place, torch does not write into what requires a gradient: into a copy of it
    copies = [tensor.clone() for tensor in theirs] if name.endswith("_") else theirs
    twin, *others = parts(getattr(torch.nn.functional, name)(*copies, **options))
    results = [
        Result(name, "forward", a.data, to_numpy(b))
        for a, b in zip([mine, *indices], [twin, *others], strict=True)
    ]
    if mine.dtype.kind == "f":
        upstream = np.asarray(np.random.default_rng(1).standard_normal(mine.shape)).astype(dtype)
        mine.backward(upstream)
        twin.backward(to_torch(upstream))
        results += [
            Result(f"grad of input {i}", "input_grad", a.grad, to_numpy(b.grad))
            for i, (a, b) in enumerate(zip(ours, theirs, strict=True))
            if has_grad(a) | has_grad(b)
        ]
    for result in results:
        result.check(allowed(name, dtype, result), name)
    numpy_impl.manual_seed(0)
    before = mapped(np.copy, arrays)
    plain = parts(getattr(functional, name)(*arrays, **options))
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b)
    for array, tensor in zip(plain, [mine, *indices], strict=True):
        assert isinstance(array, np.ndarray)
        np.testing.assert_array_equal(array, tensor.data)


WITHOUT_PAIR = {
    "gumbel_softmax": "its noise is drawn anew",
    "rrelu": "its slopes are drawn anew",
    **{name: "the other name's" for name in ROWS if name.endswith("_")},
    **{
        f"fractional_max_pool{n}d{suffix}": "its windows are drawn anew"
        for n in (2, 3)
        for suffix in ("", "_with_indices")
    },
    **{name: "its mask is drawn anew" for name in ROWS if "dropout" in name},
    "one_hot": "integers have no gradient",
}


def test_every_function_has_its_other_half() -> None:
    pairs = {n.removesuffix("_backward") for n in functional.__all__ if n.endswith("_backward")}
    assert pairs == set(ROWS) - WITHOUT_PAIR.keys()


@pytest.mark.filterwarnings(OLD_NAMES)
@pytest.mark.parametrize(
    ("name", "row"),
    [c for c in CONFIGURATIONS if c[0] not in WITHOUT_PAIR],
    ids=lambda v: str(v)[:20],
)
def test_the_other_half_takes_the_same_arguments(name, row) -> None:
    arrays, options = row
    theirs = mapped(lambda a: to_torch(a).requires_grad_(is_float(a)), arrays)
    torch.manual_seed(0)
    twin, *_ = parts(getattr(torch.nn.functional, name)(*theirs, **options))
    upstream = np.asarray(np.random.default_rng(1).standard_normal(tuple(twin.shape)))
    twin.backward(to_torch(upstream))
    before = mapped(np.copy, arrays)
    numpy_impl.manual_seed(0)
    found = getattr(functional, f"{name}_backward")(upstream, *arrays, **options)
    wanted = [v.grad for v in theirs if isinstance(v, torch.Tensor) and v.requires_grad]
    assert isinstance(found, tuple) == (len(wanted) > 1)
    for i, (grad, b) in enumerate(zip(found if len(wanted) > 1 else (found,), wanted, strict=True)):
        if b is None:  # static keys stand in its place
            assert grad is None
            continue
        result = Result(f"{name}: grad of input {i}", "input_grad", grad, to_numpy(b))
        result.check(allowed(name, "float64", result), name)
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match=f"{name}_backward: grad_output must have the output's"):
        getattr(functional, f"{name}_backward")(np.ones((1, 2, 3, 1)), *arrays, **options)


def test_class_weights_are_constants() -> None:
    arguments = normal(4, 3), np.array([0, 2, 1, 1]), np.array([1.0, 2.0, 3.0])
    grad, none = functional.cross_entropy_backward(np.float64(1.0), *arguments)
    assert grad.shape == (4, 3)
    assert none is None


F32, F64 = normal(4, 3).astype("f"), normal(4, 3)


@pytest.mark.parametrize("wrap", [lambda a: a, numpy_impl.tensor], ids=["arrays", "tensors"])
@pytest.mark.parametrize(
    ("name", "arrays", "error", "message"),
    [
        ("linear", [F32, F64], TypeError, "linear: input must have the parameters' dtype float64"),
        ("linear", [F32, F32, F64[:, 0]], TypeError, "linear: bias must have the parameters' dty"),
        ("linear", [F32.astype(int)] * 2, TypeError, "weight must be float32 or float64, got int"),
        ("linear", [F32, normal(4, 5).astype("f")], ValueError, r"linear: input's last axis must"),
        ("linear", [F32, F32, F32[0]], ValueError, r"linear: bias must have shape \(4,\), got"),
        ("conv1d", [normal(1, 2, 5), normal(3, 2, 2), normal(2)], ValueError, "bias must have"),
        ("prelu", [F32, F64[0]], TypeError, "prelu: input must have the parameters' dtype float64"),
        ("prelu", [F32, F32[:, 0]], ValueError, r"prelu: weight must hold one slope, or one for"),
        ("prelu", [F32, F32], ValueError, r"prelu: weight must hold one slope, or one for"),
        ("conv_transpose1d", [normal(1, 2, 5), normal(2, 3, 2), normal(2)], ValueError, "bias mus"),
        ("conv_transpose1d", [normal(1, 3, 5), normal(2, 3, 2)], ValueError, "in_channels=2 chan"),
        ("conv_tbc", [normal(5, 1, 2), normal(3, 3, 2), normal(2)], ValueError, "in_channels=3 c"),
        ("one_hot", [F32], TypeError, "tensor must hold integers, got float32"),
    ],
)
def test_wrong_use(name, arrays, error, message, wrap) -> None:
    with pytest.raises(error, match=message):
        getattr(functional, name)(*map(wrap, arrays))
