"""torch.nn and torch.optim written out in NumPy, forward and backward by hand.

``import numpy_impl as torch`` is the port: the names below are torch's.
"""

import math as _math

import numpy as np

# as many names to a line as fit: one a line, twice, would be 550 lines
# fmt: off
# isort: off
from numpy_impl import autograd, cuda, nn, optim, random
from numpy_impl.autograd import gradcheck
from numpy_impl.grad_mode import (
    enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled,
)
from numpy_impl.io import load, save
from numpy_impl.kernels.threads import get_num_threads, set_num_threads
from numpy_impl.random import Generator, get_rng_state, initial_seed, manual_seed, set_rng_state
from numpy_impl.tensor.comparison import (
    allclose, bitwise_and, bitwise_left_shift, bitwise_not, bitwise_or, bitwise_right_shift,
    bitwise_xor, eq, equal, ge, greater, greater_equal, gt, is_floating_point, isclose, isfinite,
    isinf, isnan, le, less, less_equal, logical_and, logical_not, logical_or, logical_xor, lt, ne,
    not_equal,
)
from numpy_impl.tensor.creation import (
    BoolTensor, ByteTensor, CharTensor, DoubleTensor, FloatTensor, IntTensor, LongTensor,
    ShortTensor, arange, as_tensor, bernoulli, cartesian_prod, device, empty, empty_like, eye,
    from_numpy, full, full_like, is_tensor, linspace, logspace, meshgrid, normal, ones, ones_like,
    rand, rand_like, randint, randint_like, randn, randn_like, randperm, tensor, tril_indices,
    triu_indices, zeros, zeros_like,
)
from numpy_impl.tensor.elementwise import (
    add, addcdiv, addcmul, arctan2, atan2, clamp, clamp_max, clamp_min, clip, div, divide,
    floor_divide, fmax, fmin, fmod, heaviside, hypot, lerp, logaddexp, masked_fill, maximum,
    minimum, mul, multiply, nan_to_num, neg, negative, pow, relu, remainder, rsub, sigmoid, square,
    sub, subtract, tanh, true_divide, where, xlogy,
)
from numpy_impl.tensor.functions import (
    abs, absolute, acos, acosh, arccos, arcsin, arctan, asin, asinh, atan, atanh, ceil, cos, cosh,
    exp, exp2, expm1, fix, floor, frac, log, log1p, log2, log10, logit, reciprocal, round, rsqrt,
    sgn, sign, sin, sinh, sqrt, tan, trunc,
)
from numpy_impl.tensor.indexing import (
    diff, gather, index_add, index_copy, index_fill, index_select, masked_scatter, masked_select,
    narrow, repeat_interleave, scatter, scatter_add, select, take, take_along_dim,
)
from numpy_impl.tensor.joining import (
    atleast_1d, atleast_2d, atleast_3d, cat, chunk, column_stack, concat, concatenate, dsplit,
    dstack, hsplit, hstack, split, stack, tensor_split, unbind, vsplit, vstack,
)
from numpy_impl.tensor.linalg import (
    addmm, addmv, baddbmm, bmm, cdist, cross, dist, dot, einsum, ger, inner, kron, matmul, mm, mv,
    outer, spmm, tensordot, trace, vander, vdot,
)
from numpy_impl.tensor.reduction import (
    all, amax, amin, any, count_nonzero, cumprod, cumsum, log_softmax, logsumexp, mean, nanmean,
    nansum, norm, prod, softmax, std, std_mean, sum, var, var_mean,
)
from numpy_impl.tensor.shape import (
    broadcast_tensors, broadcast_to, clone, diag, diag_embed, diagonal, flatten, flip, fliplr,
    flipud, moveaxis, movedim, numel, permute, ravel, reshape, roll, rot90, squeeze, swapaxes,
    swapdims, t, tile, transpose, tril, triu, unflatten, unsqueeze,
)
from numpy_impl.tensor.sorting import (
    aminmax, argmax, argmin, argsort, argwhere, bincount, bucketize, histc, kthvalue, max, median,
    min, nonzero, searchsorted, sort, topk, unique,
)
from numpy_impl.tensor.tensor import Tensor
# isort: on
# fmt: on

# torch's names of dtypes are NumPy's dtypes
float32 = float = np.dtype(np.float32)
float64 = double = np.dtype(np.float64)
int8, int16, uint8 = np.dtype(np.int8), np.dtype(np.int16), np.dtype(np.uint8)
int32 = int = np.dtype(np.int32)
int64 = long = np.dtype(np.int64)
bool = np.dtype(np.bool_)
pi, e, inf, nan = _math.pi, _math.e, _math.inf, _math.nan
# glibc returns freed arrays to the kernel and fetches them again, page by page, at every training
# step (a tenth of the CNN's time), until a large one has been freed: from then on it keeps as
# much. This is one, and no page of it is touched; 32 MiB is the most that glibc takes note of.
np.empty(32 * 2**20 - 2**16, np.uint8)

# fmt: off
__all__ = [
    "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "Generator",
    "IntTensor", "LongTensor", "ShortTensor", "Tensor", "abs", "absolute", "acos", "acosh", "add",
    "addcdiv", "addcmul", "addmm", "addmv", "all", "allclose", "amax", "amin", "aminmax", "any",
    "arange", "arccos", "arcsin", "arctan", "arctan2", "argmax", "argmin", "argsort", "argwhere",
    "as_tensor", "asin", "asinh", "atan", "atan2", "atanh", "atleast_1d", "atleast_2d",
    "atleast_3d", "autograd", "baddbmm", "bernoulli", "bincount", "bitwise_and",
    "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "bmm",
    "bool", "broadcast_tensors", "broadcast_to", "bucketize", "cartesian_prod", "cat", "cdist",
    "ceil", "chunk", "clamp", "clamp_max", "clamp_min", "clip", "clone", "column_stack", "concat",
    "concatenate", "cos", "cosh", "count_nonzero", "cross", "cuda", "cumprod", "cumsum", "device",
    "diag", "diag_embed", "diagonal", "diff", "dist", "div", "divide", "dot", "double", "dsplit",
    "dstack", "e", "einsum", "empty", "empty_like", "enable_grad", "eq", "equal", "exp", "exp2",
    "expm1", "eye", "fix", "flatten", "flip", "fliplr", "flipud", "float", "float32", "float64",
    "floor", "floor_divide", "fmax", "fmin", "fmod", "frac", "from_numpy", "full", "full_like",
    "gather", "ge", "ger", "get_num_threads", "get_rng_state", "gradcheck", "greater",
    "greater_equal", "gt", "heaviside", "histc", "hsplit", "hstack", "hypot", "index_add",
    "index_copy", "index_fill", "index_select", "inf", "inference_mode", "initial_seed", "inner",
    "int", "int8", "int16", "int32", "int64", "is_floating_point", "is_grad_enabled", "is_tensor",
    "isclose", "isfinite", "isinf", "isnan", "kron", "kthvalue", "le", "lerp", "less", "less_equal",
    "linspace", "load", "log", "log1p", "log2", "log10", "log_softmax", "logaddexp", "logical_and",
    "logical_not", "logical_or", "logical_xor", "logit", "logspace", "logsumexp", "long", "lt",
    "manual_seed", "masked_fill", "masked_scatter", "masked_select", "matmul", "max", "maximum",
    "mean", "median", "meshgrid", "min", "minimum", "mm", "moveaxis", "movedim", "mul", "multiply",
    "mv", "nan", "nan_to_num", "nanmean", "nansum", "narrow", "ne", "neg", "negative", "nn",
    "no_grad", "nonzero", "norm", "normal", "not_equal", "numel", "ones", "ones_like", "optim",
    "outer", "permute", "pi", "pow", "prod", "rand", "rand_like", "randint", "randint_like",
    "randn", "randn_like", "random", "randperm", "ravel", "reciprocal", "relu", "remainder",
    "repeat_interleave", "reshape", "roll", "rot90", "round", "rsqrt", "rsub", "save", "scatter",
    "scatter_add", "searchsorted", "select", "set_grad_enabled", "set_num_threads", "set_rng_state",
    "sgn", "sigmoid", "sign", "sin", "sinh", "softmax", "sort", "split", "spmm", "sqrt", "square",
    "squeeze", "stack", "std", "std_mean", "sub", "subtract", "sum", "swapaxes", "swapdims", "t",
    "take", "take_along_dim", "tan", "tanh", "tensor", "tensor_split", "tensordot", "tile", "topk",
    "trace", "transpose", "tril", "tril_indices", "triu", "triu_indices", "true_divide", "trunc",
    "uint8", "unbind", "unflatten", "unique", "unsqueeze", "vander", "var", "var_mean", "vdot",
    "vsplit", "vstack", "where", "xlogy", "zeros", "zeros_like",
]
