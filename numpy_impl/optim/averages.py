"""Moving averages in place, rounded as torch rounds them."""

import numpy as np

from numpy_impl.types import Array


def lerp_in_place(start: Array, end: Array, weight: float) -> None:
    """``start += weight * (end - start)``, counted from the nearer of the two, as torch does.

    From the further one a small ``end`` would vanish beside a large ``start``.
    """
    rounded = start.dtype.type(weight)
    step = end - start
    if abs(rounded) < 0.5:
        step *= rounded
        start += step
    else:
        step *= rounded - 1
        np.add(step, end, out=start)


def average_square_in_place(average: Array, values: Array, beta: float) -> None:
    """``average = beta * average + (1 - beta) * values**2``.

    In torch's order, in which the square alone can't overflow.
    """
    square = (1 - beta) * values
    square *= values
    average *= beta
    average += square
