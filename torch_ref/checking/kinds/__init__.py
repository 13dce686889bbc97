"""What components there are, a file for each family: names, experiments, mistakes, conventions."""

from torch_ref.checking.explain import Explanation
from torch_ref.checking.kinds import (
    attention,
    conv,
    dropout,
    elementwise,
    linear,
    losses,
    norm,
    optimizers,
    pooling,
    recurrent,
)
from torch_ref.checking.probe import Kind

_FAMILIES = (
    elementwise,
    linear,
    conv,
    pooling,
    norm,
    recurrent,
    attention,
    dropout,
    losses,
    optimizers,
)
KINDS: dict[str, Kind] = {kind.like: kind for family in _FAMILIES for kind in family.KINDS}
EXPLANATIONS: tuple[Explanation, ...] = tuple(
    explanation for family in _FAMILIES for explanation in family.EXPLANATIONS
)
