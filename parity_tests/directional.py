"""The second oracle: a float64 directional derivative, which needs no torch.

For a function f of many arrays and a random direction d,
``(f(x + h d) - f(x - h d)) / 2h`` must equal ``<gradient, d>``.
"""

from collections.abc import Callable, Sequence

import numpy as np

Array = np.ndarray


def check_directional(
    function: Callable[[], float],
    arrays: Sequence[Array],
    gradients: Sequence[Array],
    rng: np.random.Generator,
    step: float = 1e-6,
    tolerance: float = 1e-6,
) -> None:
    """Raise AssertionError unless ``gradients`` predict how ``function`` changes.

    Args:
        function: reads ``arrays`` and returns a float64 scalar.
        arrays: float64 arrays, moved in place along the direction and put back.
        gradients: the claimed gradient for each.
        rng: draws the directions; each array is tested alone as well as all together, so that
            errors cannot cancel.
        step: h.
        tolerance: allowed difference, relative to the size of the derivative's terms.
    """
    directions = [rng.standard_normal(array.shape) for array in arrays]
    selections = [[i] for i in range(len(arrays))]
    if len(arrays) > 1:
        selections.append(list(range(len(arrays))))
    for selection in selections:
        claimed = sum(float(np.sum(gradients[i] * directions[i])) for i in selection)
        originals = {i: arrays[i].copy() for i in selection}
        values = {}
        for sign in (-1, 0, 1):
            for i in selection:
                arrays[i][...] = originals[i] + sign * step * directions[i]
            values[sign] = function()
        for i in selection:
            arrays[i][...] = originals[i]
        left, right = (values[0] - values[-1]) / step, (values[1] - values[0]) / step
        measured = (values[1] - values[-1]) / (2 * step)
        scale = max(1.0, abs(measured), abs(values[0]))
        # a smooth function's one-sided slopes differ by about h * f''; a kink's by its jump
        if abs(right - left) > 1e-3 * scale:
            raise AssertionError(
                f"arrays {selection}: a kink lies within {step} (slopes {left:.6g} and "
                f"{right:.6g}): choose inputs away from it"
            )
        if not abs(measured - claimed) <= tolerance * scale:
            raise AssertionError(
                f"arrays {selection}: the function changes by {measured:.12g} along the "
                f"direction, the gradient says {claimed:.12g}"
            )
