"""PyTorch's CPU random stream in NumPy: the same seed gives the same numbers.

Uniform numbers, integers, permutations and masks are torch's bit for bit (bounds other than 0 and
1: where its kernels have FMA, as on x86 since AVX2); normal ones differ in the last places, where
two math libraries round a logarithm, a sine or a cosine differently.

Values are assigned in the logical (C) order of an array, so its memory layout never shows. torch
does the same for contiguous tensors, but visits a transposed one in the order of its memory, and
draws 16 or more normal values into a tensor that is not contiguous by another method.

Source: https://pytorch.org/docs/stable/notes/randomness.html
"""

import math
import numbers
import operator
import os
from typing import Any

import numpy as np

from numpy_impl.kernels.fused import scale_and_shift
from numpy_impl.types import Array, DType, Size

_WORDS = 624  # of the Mersenne Twister's state
_BLOCK = 16  # normal values that torch makes together: 8 pairs
_TWO_PI = 2.0 * math.pi

# The bytes of torch.Generator.get_state()
_STATE = np.dtype(
    [
        ("seed", "<u8"),
        ("left", "<i4"),  # outputs before the next twist, plus one
        ("seeded", "<i4"),
        ("next", "<u8"),
        ("words", "<u8", _WORDS),
        ("normal_x", "<f8"),  # unused
        ("normal", "<f8"),
        ("normal_rho", "<f8"),  # unused
        ("has_normal", "<i4"),
        ("rest", "V12"),  # padding, and a float32 number of other devices
    ]
)


class Generator:
    """A source of random numbers: the twin of ``torch.Generator`` on the CPU.

    MT19937, seeded with the low 32 bits of the seed; every draw below is made of its 32-bit
    outputs. Fewer than 16 normal values are made in pairs, of which the second may wait for the
    next call: it is part of the state.

    Source: https://pytorch.org/docs/stable/generated/torch.Generator.html;
    Matsumoto and Nishimura 1998, https://doi.org/10.1145/272991.272995
    """

    def __init__(self) -> None:
        self.manual_seed(67280421310721)  # torch's default

    def manual_seed(self, seed: int) -> "Generator":
        """Start the stream that belongs to ``seed``; returns the generator itself.

        Args:
            seed: from -2**63 to 2**64 - 1; a negative one stands for ``seed + 2**64``.

        Raises:
            TypeError: if it is no integer.
            ValueError: if it is out of range.
        """
        number = _integer(seed, "seed")
        if not -(2**63) <= number < 2**64:
            raise ValueError(f"seed must lie between -2**63 and 2**64 - 1, got {number}")
        self._seed = number % 2**64
        # RandomState, because its streams are frozen for good (NEP 19)
        self._engine = np.random.RandomState(self._seed % 2**32)
        self._normal: float | None = None
        return self

    def seed(self) -> int:
        """Seed from the operating system's entropy; returns that seed."""
        self.manual_seed(int.from_bytes(os.urandom(8), "little"))
        return self._seed

    def initial_seed(self) -> int:
        """The seed that the stream started from."""
        return self._seed

    def get_state(self) -> Array:
        """All that determines the numbers to come: a new uint8 array, in torch's own format."""
        engine: Any = self._engine.get_state(legacy=False)["state"]
        state = np.zeros(1, _STATE)
        state["seed"], state["seeded"], state["words"] = self._seed, 1, engine["key"]
        # a full block read to its end and a new seed mean the same: the next draw twists
        state["left"], state["next"] = _WORDS + 1 - engine["pos"], engine["pos"] % _WORDS
        if self._normal is not None:
            state["normal"], state["has_normal"] = self._normal, 1
        return state.view(np.uint8)

    def set_state(self, state: Array) -> None:
        """Continue where ``get_state`` was called, here or on a ``torch.Generator``.

        Args:
            state: what it returned; as an array, for torch's.

        Raises:
            TypeError: if it is no uint8 array.
            ValueError: if it has another size, or holds no state.
        """
        if not isinstance(state, np.ndarray) or state.dtype != np.uint8:
            found = state.dtype if isinstance(state, np.ndarray) else type(state).__name__
            raise TypeError(f"state must be a uint8 array, got {found}")
        if state.shape != (_STATE.itemsize,):
            raise ValueError(f"state must have shape ({_STATE.itemsize},), got {state.shape}")
        fields = np.ascontiguousarray(state).view(_STATE)[0]
        left = int(fields["left"])
        if not fields["seeded"] or not 0 < left <= _WORDS or fields["words"].max() >= 2**32:
            raise ValueError("state must come from get_state(), got bytes that hold no state")
        self._seed = int(fields["seed"])
        words = fields["words"].astype(np.uint32)
        self._engine.set_state(("MT19937", words, _WORDS + 1 - left, 0, 0.0))
        self._normal = float(fields["normal"]) if fields["has_normal"] else None

    def random32(self, count: int) -> Array:
        """The next ``count`` outputs, as uint32."""
        return self._engine.randint(0, 2**32, count, np.uint32)

    def random64(self, count: int) -> Array:
        """The next ``2 * count`` outputs in pairs, the first the high word, as uint64."""
        return self._engine.randint(0, 2**64, count, np.uint64)

    def normal_pairwise(self, count: int) -> list[float]:
        """``count`` standard normal numbers, one by one, as torch makes fewer than 16."""
        if count == 0:
            return []
        values = [] if self._normal is None else [self._normal]
        uniform = np.empty((count - len(values) + 1) // 2 * 2)
        _fill_uniform(uniform, self)
        for u1, u2 in uniform.reshape(-1, 2).tolist():
            radius, angle = math.sqrt(-2.0 * math.log1p(-u2)), _TWO_PI * u1
            values += [radius * math.cos(angle), radius * math.sin(angle)]
        self._normal = values.pop() if len(values) > count else None
        return values


def manual_seed(seed: int) -> Generator:
    """Seed the default generator, as :meth:`Generator.manual_seed`; returns it.

    Source: https://pytorch.org/docs/stable/generated/torch.manual_seed.html
    """
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seed the default generator from the operating system's entropy; returns that seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed that the default generator started from."""
    return default_generator.initial_seed()


def get_rng_state() -> Array:
    """The default generator's state, as :meth:`Generator.get_state`."""
    return default_generator.get_state()


def set_rng_state(new_state: Array) -> None:
    """Put the default generator into a state, as :meth:`Generator.set_state`."""
    default_generator.set_state(new_state)


def rand(*size: Size, generator: Generator | None = None, dtype: DType = None) -> Array:
    """An array of the uniform distribution over [0, 1).

    Args:
        size: the shape, as integers or as one tuple.
        generator: where the numbers come from; the default generator unless given.
        dtype: float32 (unless given) or float64.

    Raises:
        TypeError: if a size is no integer, or ``dtype`` another one.
        ValueError: if a size is negative.

    Source: https://pytorch.org/docs/stable/generated/torch.rand.html
    """
    values = np.empty(_shape(size), _float_dtype(dtype))
    _fill_uniform(values.reshape(-1), _generator(generator))
    return values


def randn(*size: Size, generator: Generator | None = None, dtype: DType = None) -> Array:
    """An array of the standard normal distribution; arguments as for :func:`rand`.

    Source: https://pytorch.org/docs/stable/generated/torch.randn.html
    """
    values = np.empty(_shape(size), _float_dtype(dtype))
    _fill_normal(values.reshape(-1), _generator(generator))
    return values


def randint(
    low: Any = 0, high: Any = None, size: Any = None, *, generator: Generator | None = None
) -> Array:
    r"""An int64 array of integers from [low, high): :math:`low + output \bmod (high - low)`.

    Called as ``randint(high, size)`` or ``randint(low, high, size)``.

    Args:
        low: the smallest value; 0 unless given.
        high: one more than the largest value.
        size: the shape, a tuple.
        generator: where the numbers come from; the default generator unless given.

    Raises:
        TypeError: if an argument has the wrong type.
        ValueError: if there is no integer in [low, high), a bound is no int64, or a size negative.

    Source: https://pytorch.org/docs/stable/generated/torch.randint.html
    """
    if size is None:
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if not isinstance(size, tuple | list):
        raise TypeError(f"size must be a tuple, got {size!r}")
    shape = _shape((size,))
    low, high = _integer(low, "low"), _integer(high, "high")
    if not -(2**63) <= low < high < 2**63:
        raise ValueError(f"low < high must be 64-bit integers, got low={low}, high={high}")
    return _integers(low, high, shape, generator)


def _integers(low: int, high: int, shape: tuple[int, ...], generator: Generator | None) -> Array:
    source, count = _generator(generator), math.prod(shape)
    wide = high - low >= 2**28  # where the remainder of 32 bits would be too uneven
    bits = source.random64(count) if wide else source.random32(count).astype(np.uint64)
    bits %= np.uint64(high - low)
    bits += np.uint64(low % 2**64)  # modulo 2**64, the sum of signed numbers
    return bits.view(np.int64).reshape(shape)


def randperm(n: int, generator: Generator | None = None) -> Array:
    r"""The numbers from 0 to n - 1 in random order, int64.

    Fisher-Yates: for each :math:`i < n - 1`, swap with :math:`i + output \bmod (n - i)`.

    Args:
        n: how many.
        generator: where the numbers come from; the default generator unless given.

    Raises:
        TypeError: if ``n`` is no integer.
        ValueError: if it is negative, or so large (2**32 / 20) that torch takes another way.

    Source: https://pytorch.org/docs/stable/generated/torch.randperm.html
    """
    n = _integer(n, "n")
    if not 0 <= n < (2**32 - 1) // 20:
        raise ValueError(f"n must lie between 0 and {(2**32 - 1) // 20 - 1}, got {n}")
    targets = _generator(generator).random32(max(n - 1, 0))
    targets %= np.arange(n, 1, -1, dtype=np.uint32)
    targets += np.arange(len(targets), dtype=np.uint32)
    order = list(range(n))
    for i, j in enumerate(targets.tolist()):  # on lists: several times faster than on arrays
        order[i], order[j] = order[j], order[i]
    return np.array(order, np.int64)


def bernoulli_mask(shape: Size, p: float, generator: Generator | None = None) -> Array:
    r"""A boolean array, each entry True with probability ``p``: :math:`u < p`.

    The twin of ``torch.empty(shape, dtype=torch.bool).bernoulli_(p)``, one float64 uniform number
    for each entry.

    Args:
        shape: of the result.
        p: the probability.
        generator: where the numbers come from; the default generator unless given.

    Raises:
        TypeError: if a size is no integer or ``p`` no number.
        ValueError: if a size is negative or ``p`` outside [0, 1].

    Source: https://pytorch.org/docs/stable/generated/torch.Tensor.bernoulli_.html
    """
    if not 0 <= _number(p, "p") <= 1:
        raise ValueError(f"p must lie in [0, 1], got {p}")
    sizes = _shape((shape,))
    bits = _generator(generator).random64(math.prod(sizes))
    bits &= np.uint64(2**53 - 1)
    # u = bits / 2**53 is never computed: u < p where bits < p * 2**53, and the product is exact
    return (bits < np.uint64(math.ceil(p * 2.0**53))).reshape(sizes)


def uniform_(
    array: Array, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Array:
    """Fill ``array`` in place from the uniform distribution over [a, b); returns it.

    Args:
        array: float32 or float64, of any memory layout.
        a: the lower bound.
        b: the upper bound.
        generator: where the numbers come from; the default generator unless given.

    Raises:
        TypeError: if ``array`` is another thing, or a parameter no number.
        ValueError: if it is read-only, a > b, or the bounds or b - a exceed its dtype.

    Source: https://pytorch.org/docs/stable/generated/torch.Tensor.uniform_.html
    """
    _check_target(array)
    a, b = _number(a, "a"), _number(b, "b")
    largest = float(np.finfo(array.dtype).max)
    if not (-largest <= a <= b <= largest and b - a <= largest):
        raise ValueError(f"a <= b must be finite in {array.dtype}, as b - a, got a={a}, b={b}")
    lower, upper = array.dtype.type(a), array.dtype.type(b)
    values = _contiguous(array)
    _fill_uniform(values, _generator(generator))
    if (a, b) != (0, 1):
        scale_and_shift(values, upper - lower, lower)
        values[values == upper] = lower  # rounded up, out of the interval
    return _store(values, array)


def normal_(
    array: Array, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Array:
    """Fill ``array`` in place from the normal distribution; returns it.

    Args:
        array: float32 or float64, of any memory layout.
        mean: of the distribution.
        std: its standard deviation.
        generator: where the numbers come from; the default generator unless given.

    Raises:
        TypeError: if ``array`` is another thing, or a parameter no number.
        ValueError: if it is read-only, or ``std`` negative.

    Source: https://pytorch.org/docs/stable/generated/torch.Tensor.normal_.html
    """
    _check_target(array)
    mean, std = _number(mean, "mean"), _number(std, "std")
    if not std >= 0:
        raise ValueError(f"std must not be negative, got {std}")
    values = _contiguous(array)
    _fill_normal(values, _generator(generator), mean, std)
    return _store(values, array)


def exponential_(array: Array, lambd: float = 1.0, generator: Generator | None = None) -> Array:
    r"""Fill ``array`` in place from the exponential distribution; returns it.

    :math:`-\log(1 - u) / \lambda`, of one float64 uniform number for each value.

    Args:
        array: float32 or float64, of any memory layout.
        lambd: the rate; 1 / lambd is the mean.
        generator: where the numbers come from; the default generator unless given.

    Raises:
        TypeError: if ``array`` is another thing, or a parameter no number.
        ValueError: if it is read-only, or ``lambd`` not above 0.

    Source: https://pytorch.org/docs/stable/generated/torch.Tensor.exponential_.html
    """
    _check_target(array)
    if not _number(lambd, "lambd") > 0:
        raise ValueError(f"lambd must be above 0, got {lambd}")
    uniform = np.empty(array.shape)
    _fill_uniform(uniform.reshape(-1), _generator(generator))
    array[...] = np.log1p(-uniform) * (-1 / lambd)
    return array


def _fill_uniform(out: Array, generator: Generator) -> None:
    """Uniform numbers over [0, 1): as many low bits as the dtype has digits, as a fraction."""
    if out.dtype == np.float32:
        bits, digits = generator.random32(out.size), 24
    else:
        bits, digits = generator.random64(out.size), 53
    bits &= bits.dtype.type(2**digits - 1)
    # signed integers convert to floats several times faster
    np.copyto(out, bits.view(bits.dtype.name[1:]), casting="unsafe")
    out *= out.dtype.type(2.0**-digits)


def _fill_normal(out: Array, generator: Generator, mean: float = 0.0, std: float = 1.0) -> None:
    r"""Box-Muller, :math:`\sqrt{-2 \ln u_1}\,(\cos 2\pi u_2, \sin 2\pi u_2)`, as torch arranges it.

    From 16 values on, uniform numbers fill ``out`` and turn into normal ones block by block; if
    some are left over, the last 16 are drawn anew. Fewer are made in float64, pair by pair.
    """
    if out.size < _BLOCK:
        values = np.array(generator.normal_pairwise(out.size))
        out[...] = scale_and_shift(values, np.float64(std), np.float64(mean))
        return
    _fill_uniform(out, generator)
    whole = out.size - out.size % _BLOCK
    _box_muller(out[:whole], mean, std)
    if whole < out.size:
        _fill_uniform(out[-_BLOCK:], generator)
        _box_muller(out[-_BLOCK:], mean, std)


def _box_muller(values: Array, mean: float, std: float) -> None:
    scalar = values.dtype.type
    first, second = values.reshape(-1, 2, _BLOCK // 2).swapaxes(0, 1)  # (2, blocks, 8)
    radius = scalar(1) - first  # (0, 1]: the logarithm stays finite
    np.log(radius, out=radius)
    radius *= scalar(-2)
    np.sqrt(radius, out=radius)
    angle = scalar(_TWO_PI) * second
    np.multiply(radius, np.cos(angle), out=first)
    np.multiply(radius, np.sin(angle), out=second)
    scale_and_shift(values, scalar(std), scalar(mean))


def _contiguous(array: Array) -> Array:
    """A 1-d array to fill: the array's own memory where that is in logical order."""
    return array.reshape(-1) if array.flags.c_contiguous else np.empty(array.size, array.dtype)


def _store(values: Array, array: Array) -> Array:
    if not array.flags.c_contiguous:
        array[...] = values.reshape(array.shape)
    return array


def _generator(generator: Generator | None) -> Generator:
    if generator is None:
        return default_generator
    if not isinstance(generator, Generator):
        raise TypeError(f"generator must be a numpy_impl Generator or None, got {generator!r}")
    return generator


def _check_target(array: Any) -> None:
    if not isinstance(array, np.ndarray):
        raise TypeError(f"array must be a NumPy array, got {type(array).__name__}")
    _float_dtype(array.dtype)
    if not array.flags.writeable:
        raise ValueError("array must be writeable, got a read-only one")


def _float_dtype(dtype: DType) -> np.dtype[Any]:
    try:
        resolved = np.dtype(np.float32 if dtype is None else dtype)
    except TypeError:
        resolved = None
    if resolved not in (np.float32, np.float64):
        raise TypeError(f"dtype must be float32 or float64, got {dtype!r}")
    return resolved


def _integer(value: Any, name: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None


def _number(value: Any, name: str) -> float:
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a real number, got {value!r}")
    return float(value)


def _shape(size: tuple[Any, ...]) -> tuple[int, ...]:
    """``(2, 3)`` and ``((2, 3),)`` mean the same."""
    if len(size) == 1 and isinstance(size[0], tuple | list):
        size = tuple(size[0])
    shape = tuple(_integer(length, "size") for length in size)
    if any(length < 0 for length in shape):
        raise ValueError(f"size must not be negative, got {shape}")
    return shape


default_generator = Generator()
default_generator.seed()

if hasattr(os, "register_at_fork"):  # not while another thread draws: a child could never draw
    _held: list[Any] = []

    def _before_fork() -> None:
        lock = default_generator._engine._bit_generator.lock
        lock.acquire()
        _held.append(lock)

    def _after_fork() -> None:
        _held.pop().release()

    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork
    )
