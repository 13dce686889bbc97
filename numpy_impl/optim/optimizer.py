"""Optimizer: parameter groups, state, and the walk over parameters that every algorithm shares."""

import functools
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from copy import copy, deepcopy
from typing import Any

import numpy as np

from numpy_impl.grad_mode import enable_grad, no_grad
from numpy_impl.tensor.tensor import RemovableHandle, Tensor

Array = np.ndarray
# elements of the pieces of an update
_BLOCK = 64 * 1024
_HOOKS = ("_step_pre_hooks", "_step_post_hooks")


def _step_with_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """``step`` between its hooks, whose ``args`` begin with the optimizer, as torch's do."""

    @functools.wraps(step)
    def call(*args: Any, **kwargs: Any) -> Any:
        self: Optimizer = args[0]
        for hook in list(self._step_pre_hooks):
            changed = hook(self, args, kwargs)
            if changed is None:
                continue
            if not (isinstance(changed, tuple) and len(changed) == 2):
                raise RuntimeError(
                    f"a step pre-hook must return None or (args, kwargs), got {changed!r}"
                )
            args, kwargs = changed
        result = step(*args, **kwargs)
        self._was_stepped = True
        for hook in list(self._step_post_hooks):
            hook(self, args, kwargs)
        return result

    return call


class Optimizer:
    """Base of every optimizer.

    A subclass passes its defaults to the constructor and writes ``_update(parameter, group,
    state)``, one step of one parameter; ``_check_options`` and the two names below, if it has
    options to check and arrays to keep. It may write ``step(closure=None)`` instead, as in torch.

    Args:
        params: parameters, pairs of ``named_parameters()``, or dicts with a list of either under
            ``"params"`` and options of their own beside it. Names are kept as ``param_names``.
        defaults: options of groups that do not set them.

    Attributes:
        param_groups: list of dicts: the parameters of a group and all its options.
        state: what the algorithm keeps, by Parameter.

    Raises:
        TypeError: for anything that is no Parameter, nor another leaf Tensor.
        ValueError: for an empty list, a parameter in two groups, names that some lack, or an
            option out of range.

    Source: https://pytorch.org/docs/stable/optim.html
    """

    # arrays of the state that have the parameter's shape, and what no state may lack
    _state_arrays: tuple[str, ...] = ()
    _state_needs: tuple[str, ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in vars(cls):
            cls.step = _step_with_hooks(vars(cls)["step"])  # type: ignore[method-assign]

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self._check_options(defaults)
        self.defaults = defaults
        self.state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._step_pre_hooks: list[Callable[..., Any]] = []
        self._step_post_hooks: list[Callable[..., Any]] = []
        # for schedules, which come after the step: whether one drives this, and a step was made
        self._has_schedule = self._was_stepped = False
        if hasattr(params, "__array__"):
            raise TypeError("params must be an iterable of Parameters or dicts, got a single one")
        groups = _in_order(params)
        if not groups:
            raise ValueError("params must not be empty")
        if not isinstance(groups[0], Mapping):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add a group: a dict with ``"params"`` and options that differ from the defaults.

        A parameter twice in it is warned of: every step would move it twice.
        """
        if not isinstance(param_group, Mapping):
            raise TypeError(f"param_group must be a dict, got {type(param_group).__name__}")
        if "params" not in param_group:
            raise ValueError(f"param_group must have 'params', got {list(param_group)}")
        group = {**self.defaults, **param_group, **_split_names(param_group["params"])}
        self._check_options(group)
        known = {id(p) for p in self._parameters()}
        if any(id(p) in known for p in group["params"]):
            raise ValueError("params must hold each Parameter in one group, one is in two")
        if any(("param_names" in other) != ("param_names" in group) for other in self.param_groups):
            raise ValueError("params must have names in every group or in none")
        if len({id(p) for p in group["params"]}) < len(group["params"]):
            warnings.warn(
                "params hold a Parameter twice in one group: each step will update it twice",
                stacklevel=4,  # whoever called the constructor
            )
        self.param_groups.append(group)

    def _check_options(self, options: Mapping[str, Any]) -> None:
        """Raise for a value out of range, in the defaults or in a group."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients; with ``set_to_none=False`` fill the existing ones with zeros."""
        for param in self._parameters():
            if set_to_none:
                param._grad = None
            elif param.grad is not None:
                param.grad.fill(0)

    @_step_with_hooks
    @no_grad
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; returns the closure's loss, if given.

        Args:
            closure: runs the model forward and backward and returns the loss; gradients are
                enabled in it, even where the caller has disabled them.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    state = self.state.get(param, {})
                    self._update(param, group, state)
                    if state:  # plain SGD keeps none
                        self.state[param] = state
        return loss

    def _update(self, param: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        raise NotImplementedError(f"{type(self).__name__} has no _update")

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` before each step; it may return a new pair.

        ``args`` begins with the optimizer itself, as in torch.
        """
        return RemovableHandle(self._step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook(optimizer, args, kwargs)`` after each step."""
        return RemovableHandle(self._step_post_hooks, hook)

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
        state = {numbers.get(id(key), key): copy(values) for key, values in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over the state of ``state_dict()``, all of it or nothing.

        Arrays are copied, to the parameter's dtype and memory layout; ``step`` keeps its own.
        Parameters are matched by their order: names play no part.

        Raises:
            ValueError: if groups, or the numbers of parameters in them, differ; for an option out
                of range; for an array of another shape, or whose values do not fit the dtype.
        """
        sizes = [len(group["params"]) for group in self.param_groups]
        given = [len(group["params"]) for group in state_dict["param_groups"]]
        if sizes != given:
            raise ValueError(
                f"state_dict must have groups of {sizes} parameters, got groups of {given}"
            )
        groups = []
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            names = {"param_names": group["param_names"]} if "param_names" in group else {}
            loaded = deepcopy({k: v for k, v in saved.items() if k != "params"})
            groups.append({**self.defaults, **names, **loaded, "params": group["params"]})
            self._check_options(groups[-1])
        numbers = [n for group in state_dict["param_groups"] for n in group["params"]]
        by_number = dict(zip(numbers, self._parameters(), strict=True))
        state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        for number, values in state_dict["state"].items():
            if number in by_number:
                param = by_number[number]
                state[param] = self._loaded(param, values, f"parameter {number}")
            else:
                state[number] = deepcopy(values)
        self.param_groups, self.state = groups, state

    def _loaded(self, param: Tensor, values: Mapping[str, Any], name: str) -> dict[str, Any]:
        """The state of one parameter, in arrays of our own."""
        missing = [key for key in self._state_needs if values and key not in values]
        if missing:
            raise ValueError(
                f"state of {name} must have {', '.join(self._state_needs)} for "
                f"{type(self).__name__}, got {', '.join(map(str, values))}"
            )
        loaded = {}
        for key, value in values.items():
            if key in self._state_arrays and value is not None:
                value = np.asarray(value)
                if value.shape != param.shape:
                    raise ValueError(
                        f"{key} of {name} must have shape {param.shape}, got {value.shape}"
                    )
            loaded[key] = _own_copy(param.data, key, value, name)
        return loaded

    def _parameters(self) -> Iterator[Tensor]:
        for group in self.param_groups:
            yield from group["params"]

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the hooks, as in torch: copies and pickles have none."""
        return {key: value for key, value in self.__dict__.items() if key not in _HOOKS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._step_pre_hooks, self._step_post_hooks = [], []

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines += [""] * (i > 0) + [f"Parameter Group {i}"]
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


def _in_order(params: Any) -> list[Any]:
    if isinstance(params, set | frozenset):
        raise TypeError("params must have an order, got a set: use a list")
    return list(params)


def _split_names(params: Any) -> dict[str, Any]:
    """``params`` and, if they are pairs of a name and a Parameter, ``param_names``."""
    found = [params] if isinstance(params, Tensor) else _in_order(params)
    names = [pair[0] for pair in found if isinstance(pair, tuple)]
    if names and len(names) != len(found):
        raise ValueError(f"params must all have names or none, {len(names)} of {len(found)} have")
    found = [pair[1] if isinstance(pair, tuple) else pair for pair in found]
    for param in found:
        if not isinstance(param, Tensor):
            raise TypeError(
                f"params must hold Parameters, got {type(param).__name__}: "
                "nn.Parameter(...) makes one of an array"
            )
        if not param.is_leaf:
            raise ValueError("params must hold leaves: no Tensor that was computed from others")
    return {"params": found, "param_names": names} if names else {"params": found}


def _own_copy(data: Array, key: Any, value: Any, name: str) -> Any:
    """A copy of a value of the state; arrays in the dtype of ``data`` and, of its shape, layout."""
    if isinstance(value, Mapping):
        return {k: _own_copy(data, k, v, name) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_own_copy(data, key, v, name) for v in value)
    if key == "step" or not hasattr(value, "__array__"):
        return deepcopy(value)
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{key} of {name} must hold real numbers, got {array.dtype}")
    own = np.empty_like(data) if array.shape == data.shape else np.empty(array.shape, data.dtype)
    try:
        with np.errstate(over="raise"):
            own[...] = array
    except FloatingPointError:
        raise ValueError(
            f"{key} of {name} must fit {data.dtype}, got values up to {abs(array).max()}"
        ) from None
    return own


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


def lerp_in_place(start: Array, end: Array, weight: np.floating) -> None:
    """``start += weight * (end - start)``, counted from the nearer of the two, as torch does.

    From the further one a small ``end`` would vanish beside a large ``start``.
    """
    step = end - start
    if abs(weight) < 0.5:
        step *= weight
        start += step
    else:
        step *= weight - 1
        np.add(step, end, out=start)


def check_at_least_0(options: Mapping[str, Any], *names: str) -> None:
    """Raise ValueError naming the first of the options that is negative (or NaN)."""
    for name in names:
        value = options[name]
        if isinstance(value, str) or not np.all(value >= 0):
            raise ValueError(f"{name} must be at least 0, got {value!r}")


def refuse(options: Mapping[str, Any], *names: str) -> None:
    """Raise ValueError for an option of torch that has no meaning here, if it is set."""
    for name in names:
        if options[name]:
            raise ValueError(
                f"{name} must be False: it has no meaning for NumPy, got {options[name]!r}"
            )
