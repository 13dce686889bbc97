"""The line search of L-BFGS: a step that meets the strong Wolfe conditions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from numpy_impl.types import Array

# of the two conditions: how much of the slope's promise the loss must keep, and how much of the
# slope may remain
_DECREASE, _CURVATURE = 1e-4, 0.9


class Point(NamedTuple):
    """A step along d, and what was found there."""

    t: Any
    loss: float
    grad: Array
    slope: Any


def strong_wolfe(
    evaluate: Callable[[Any], tuple[float, Array]],
    d: Array,
    start: Point,
    t: Any,
    tolerance: float,
    most: int,
) -> tuple[Point, int]:
    r"""A step t along d, from x, with a loss f(t) small enough, and a slope f'(t) flat enough.

    :math:`f(t) \le f(0) + 10^{-4}\,t f'(0)` and :math:`|f'(t)| \le 0.9\,|f'(0)|`. It grows until
    such a step lies in between, then narrows that bracket by cubic interpolation.

    Args:
        evaluate: from t to the loss and its gradient at x + t d.
        d: the direction.
        start: t = 0.
        t: the first to try.
        tolerance: a bracket in which no parameter can move by more is not narrowed.
        most: evaluations, after the first.

    Returns:
        The best point, and the number of evaluations.
    """

    def at(t: Any) -> Point:
        loss, grad = evaluate(t)
        return Point(t, loss, grad, grad.dot(d))

    def is_too_high(point: Point) -> bool:
        return bool(point.loss > start.loss + _DECREASE * point.t * start.slope)

    def is_flat(point: Point) -> bool:
        return bool(abs(point.slope) <= -_CURVATURE * start.slope)

    before, point = start, at(t)
    count = 0
    while count < most:
        if is_too_high(point) or (count > 1 and point.loss >= before.loss):
            break
        if is_flat(point):
            return point, count + 1
        if point.slope >= 0:
            break
        least = point.t + 0.01 * (point.t - before.t)
        t = _cubic_minimum(before, point, least, point.t * 10)
        before, point = point, at(t)
        count += 1
    bracket = [before if count < most else start, point]
    low = _lower(bracket)
    furthest = np.abs(d).max()
    was_near_an_end = False
    while count < most:
        first, second = bracket
        left, right = sorted((first.t, second.t))
        width = right - left
        if width * furthest < tolerance:
            break
        t = _cubic_minimum(first, second, left, right)
        # twice close to an end, or on it: a tenth of the bracket away from it
        is_near_an_end = min(right - t, t - left) < 0.1 * width
        if is_near_an_end and (was_near_an_end or t >= right or t <= left):
            t = right - 0.1 * width if abs(t - right) < abs(t - left) else left + 0.1 * width
            is_near_an_end = False
        was_near_an_end = is_near_an_end
        point = at(t)
        count += 1
        if is_too_high(point) or point.loss >= bracket[low].loss:
            bracket[1 - low] = point
            low = _lower(bracket)
            continue
        if is_flat(point):
            return point, count + 1
        if point.slope * (bracket[1 - low].t - bracket[low].t) >= 0:
            bracket[1 - low] = bracket[low]
        bracket[low] = point
    return bracket[low], count + 1


def _lower(bracket: list[Point]) -> int:
    return 0 if bracket[0].loss <= bracket[1].loss else 1


def _cubic_minimum(a: Point, b: Point, least: Any, most: Any) -> Any:
    """Where the cubic through two losses and slopes is lowest, within bounds; else their middle."""
    if a.t > b.t:
        a, b = b, a
    p = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = p**2 - a.slope * b.slope
    if not square >= 0:
        return (least + most) / 2.0
    root = np.sqrt(square)
    t = b.t - (b.t - a.t) * ((b.slope + root - p) / (b.slope - a.slope + 2 * root))
    return min(max(t, least), most)
