"""Optimizer: parameter groups, state, and the walk over parameters that every algorithm shares."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

import numpy as np

from numpy_impl.nn.parameter import Parameter

Array = np.ndarray
# elements of the pieces of an update
_BLOCK = 64 * 1024


class Optimizer:
    """Base of every optimizer.

    A subclass passes its defaults to the constructor and writes ``_update(parameter, group,
    state)``, one step of one parameter.

    Args:
        params: parameters, or dicts with a list of them under ``"params"`` and options of their
            own beside it.
        defaults: options of groups that do not set them.

    Raises:
        TypeError: for anything that is no Parameter.
        ValueError: for an empty list, or a parameter given twice.

    Source: https://pytorch.org/docs/stable/optim.html
    """

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.state: defaultdict[Parameter, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        if isinstance(params, Parameter | np.ndarray):
            raise TypeError("params must be an iterable of Parameters or dicts, got a single one")
        groups = list(params)
        if not groups:
            raise ValueError("params must not be empty")
        if not isinstance(groups[0], Mapping):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(dict(group))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group: a dict with ``"params"`` and options that differ from the defaults."""
        params = param_group["params"]
        params = [params] if isinstance(params, Parameter) else list(params)
        known = {id(p) for group in self.param_groups for p in group["params"]}
        for param in params:
            if not isinstance(param, Parameter):
                raise TypeError(f"params must hold Parameters, got {type(param).__name__}")
            if id(param) in known:
                raise ValueError("params must hold each Parameter once, one is given twice")
            known.add(id(param))
        self.param_groups.append({**self.defaults, **param_group, "params": params})

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients; with ``set_to_none=False`` fill the existing ones with zeros."""
        for group in self.param_groups:
            for param in group["params"]:
                if set_to_none:
                    param.grad = None
                elif param.grad is not None:
                    param.grad.fill(0)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; returns the closure's loss, if given."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    self._update(param, group, self.state[param])
        return loss

    def _update(self, param: Parameter, group: dict[str, Any], state: dict[str, Any]) -> None:
        raise NotImplementedError(f"{type(self).__name__} has no _update")

    def state_dict(self) -> dict[str, Any]:
        """State and options in torch's form: parameters by number, in the order of the groups."""
        numbers = {id(p): i for i, p in enumerate(self._parameters())}
        groups = [
            {
                **{key: value for key, value in group.items() if key != "params"},
                "params": [numbers[id(p)] for p in group["params"]],
            }
            for group in self.param_groups
        ]
        state = {numbers[id(p)]: dict(values) for p, values in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over the state of ``state_dict()``; arrays are copied.

        Raises:
            ValueError: if groups, or the numbers of parameters in them, differ.
        """
        sizes = [len(group["params"]) for group in self.param_groups]
        given = [len(group["params"]) for group in state_dict["param_groups"]]
        if sizes != given:
            raise ValueError(
                f"state_dict must have groups of {sizes} parameters, got groups of {given}"
            )
        numbers = [n for group in state_dict["param_groups"] for n in group["params"]]
        by_number = dict(zip(numbers, self._parameters(), strict=True))
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            group.update(deepcopy({k: v for k, v in saved.items() if k != "params"}))
        self.state = defaultdict(dict)
        for number, values in state_dict["state"].items():
            self.state[by_number[number]] = deepcopy(dict(values))

    def _parameters(self) -> Iterator[Parameter]:
        for group in self.param_groups:
            yield from group["params"]

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines += [""] * (i > 0) + [f"Parameter Group {i}"]
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


def update_in_place(function: Callable[..., object], *arrays: Array) -> None:
    """Call ``function`` on the arrays, which have one shape, in pieces that stay in the cache.

    Where their memory layouts differ they are one piece. Memory is what limits this: a second
    thread would not make it faster.
    """
    first = arrays[0]
    if first.size <= _BLOCK or any(a.strides != first.strides for a in arrays):
        function(*arrays)
        return
    # axes from the largest stride to the smallest: a dense layout is then C-contiguous
    order = sorted(range(first.ndim), key=lambda axis: -first.strides[axis])
    turned = [a.transpose(order) for a in arrays]
    if not turned[0].flags.c_contiguous:
        function(*arrays)
        return
    flat = [a.reshape(-1) for a in turned]
    for start in range(0, first.size, _BLOCK):
        function(*(a[start : start + _BLOCK] for a in flat))


def scalars(dtype: np.dtype, *values: float) -> list[Array]:
    """The values as arrays without axes, which operations take faster than Python's numbers."""
    return [np.array(value, dtype) for value in values]


def laid_out_like(array: Array, model: Array) -> Array:
    """``array`` itself, or a copy in the memory layout of ``model``, so that blocks line up."""
    if array.strides == model.strides:
        return array
    copy = np.empty_like(model)
    copy[...] = array
    return copy


def check_at_least_0(**values: float) -> None:
    """Raise ValueError naming the first value that is negative (or NaN)."""
    for name, value in values.items():
        if not value >= 0:
            raise ValueError(f"{name} must be at least 0, got {value}")


def refuse(**flags: Any) -> None:
    """Raise ValueError for an option of torch that has no meaning here, if it is set."""
    for name, value in flags.items():
        if value:
            raise ValueError(f"{name} must be False: it has no meaning for NumPy, got {value!r}")
