"""How close is "the same": the one table, by dtype and direction.

An exception to it stands beside its case, with its reason.
"""

from torch_ref.compare import Direction, Tolerance

# float64: everything, one thousandth of what float32 can resolve
_FLOAT64 = Tolerance(rtol=1e-9, atol=1e-11, scaled=True)
# float32 sums: the rounding error scales with the largest term
_FLOAT32 = Tolerance(rtol=1e-5, atol=1e-6, scaled=True)
# float32 elementwise: torch.testing.assert_close's own
_FLOAT32_ELEMENTWISE = Tolerance(rtol=1.3e-6, atol=1e-5)

_DIRECTIONS: tuple[Direction, ...] = ("forward", "input_grad", "param_grad", "buffer", "step")

TOLERANCES: dict[tuple[str, Direction], Tolerance] = {
    **{("float64", direction): _FLOAT64 for direction in _DIRECTIONS},
    **{("float32", direction): _FLOAT32 for direction in _DIRECTIONS},
}


def tolerance(dtype: str, direction: Direction, elementwise: bool = False) -> Tolerance:
    """What the table allows for one array of a case."""
    if elementwise and dtype == "float32":
        return _FLOAT32_ELEMENTWISE
    return TOLERANCES[dtype, direction]
