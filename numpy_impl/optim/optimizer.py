"""Optimizer: parameter groups, state, and the step that every algorithm shares."""

import functools
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from copy import copy, deepcopy
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from numpy_impl.grad_mode import enable_grad, no_grad
from numpy_impl.kernels.elementwise import silently
from numpy_impl.kernels.pieces import laid_out_like, pieces
from numpy_impl.optim.declare import at_least_0, check_ranges, state_names
from numpy_impl.tensor.rows import SparseRows, as_rows, is_sparse, rows_of, zero_
from numpy_impl.tensor.tensor import RemovableHandle, Tensor
from numpy_impl.tensor.views import arrays_changed

Array = NDArray[Any]
Options = Mapping[str, Any]
# types of options that are, or hold, no NumPy number
_PLAIN = frozenset({float, int, bool, str, tuple, list, type(None)})
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
        arrays_changed()
        for hook in list(self._step_post_hooks):
            hook(self, args, kwargs)
        return result

    return call


class Optimizer:
    """Base of every optimizer.

    An algorithm is a constructor with torch's signature, two tables, and its formula, in place on
    arrays of one shape::

        class Signum(Optimizer):
            _ranges = at_least_0("lr", "weight_decay", beta=BELOW_1)
            _state_names = state_names("step", "momentum")

            def __init__(
                self, params: Any, lr: float = 1e-3, beta: float = 0.9, weight_decay: float = 0
            ) -> None:
                super().__init__(params, locals())

            def _rule(self, w: Array, g: Array, group: Options, t: float, m: Array) -> None:
                m += (1 - group["beta"]) * (g - m)
                w -= group["lr"] * np.sign(m)

    g is the gradient, negated for the option ``maximize`` and with ``weight_decay * w`` for the
    option ``weight_decay``, if the constructor has them. Infinities and NaN are computed with, as
    in torch, without NumPy's warnings. State that does not start as zeros comes from ``_start``, a
    NumPy number if it is one; a formula that is not elementwise says ``_pieces = whole``;
    what a parameter needs once, before or after its pieces, stands around ``super()._update``. One
    that takes gradients of few rows says so in ``_gradients``; its formula is then given those rows
    of all arrays.
    As in torch, a subclass may pass a dict of defaults, and write ``_update(param, group,
    state)`` or ``step(closure=None)`` by itself.

    Args:
        params: parameters, pairs of ``named_parameters()``, or dicts with a list of either under
            ``"params"`` and options of their own beside it. Names are kept as ``param_names``.
        defaults: options of groups that do not set them; ``locals()`` at a constructor's start.

    Attributes:
        param_groups: list of dicts: the parameters of a group and all its options.
        state: what the algorithm keeps, by Parameter.

    Raises:
        TypeError: for anything that is no Parameter, nor another leaf Tensor.
        ValueError: for an empty list, a parameter in two groups, names that some lack, or an
            option out of range.
        RuntimeError: for ``fused`` and ``foreach`` at once.

    Source: https://pytorch.org/docs/stable/optim.html
    """

    # what options may be
    _ranges = at_least_0()
    # torch's names of what a parameter keeps: "step" is a counter, the others are arrays or
    # numbers, in the order in which the formula takes them
    _state_names = state_names()
    # the gradients that it takes: arrays ("dense"), those of few rows ("sparse"), or "either"
    _gradients: Literal["dense", "sparse", "either"] = "dense"
    # what "step" is kept as
    _counter: type = np.float32
    # what weight decay does, where no option decoupled_weight_decay says so: adds to g, shrinks w
    # instead, or is left to the formula
    _decay: Literal["coupled", "decoupled", "in the formula"] = "coupled"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in vars(cls):
            cls.step = _step_with_hooks(vars(cls)["step"])  # type: ignore[method-assign]

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        others = ("self", "params", "__class__")
        self.defaults = {key: value for key, value in defaults.items() if key not in others}
        self._check_options(self.defaults)
        if self.defaults.get("fused") and self.defaults.get("foreach"):
            raise RuntimeError("fused and foreach must not both be True")
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
        """Raise ValueError for a value out of range, in the defaults or in a group."""
        check_ranges(options, self._ranges)
        for name in ("capturable", "differentiable"):
            if name in self.defaults and options[name]:
                raise ValueError(
                    f"{name} must be False: it has no meaning for NumPy, got {options[name]!r}"
                )

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients; with ``set_to_none=False`` fill the existing ones with zeros."""
        for param in self._parameters():
            if set_to_none:
                param._grad = None
            elif param.grad is not None:
                zero_(param.grad)

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
            options = in_plain_numbers(group)
            for param in group["params"]:
                if param._grad is not None:
                    self._check_gradient(param._grad, options)
                    state = self.state.get(param, {})
                    is_new = not state
                    self._update(param, options, state)
                    if is_new and state:  # plain SGD keeps none
                        self.state[param] = state
        return loss

    def _check_gradient(self, grad: Any, group: Options) -> None:
        """Raise RuntimeError for a kind of gradient that the algorithm does not take."""
        kind, name = "sparse" if is_sparse(grad) else "dense", type(self).__name__
        if self._gradients not in (kind, "either"):
            other = "SparseAdam" if kind == "sparse" else "Adam"
            raise RuntimeError(f"{name} does not support {kind} gradients: {other} does")
        for option in ("weight_decay", "fused") if kind == "sparse" else ():
            if group.get(option):
                raise RuntimeError(
                    f"{option} is not compatible with sparse gradients, got {group[option]!r}"
                )

    @silently
    def _update(self, param: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        """One step of one parameter: what it keeps, and the formula on each of its pieces."""
        data, grad = param._data, param._grad
        assert grad is not None
        # an algorithm without a counter is told 1 when it starts an array, later 2
        t, kept = 2.0, []
        for name, wanted in self._state_names.items():
            value = state.get(name)
            if name == "step":
                t = 1.0 if value is None else float(value) + 1
                state[name] = self._counter(t)
                continue
            if value is None and (wanted is True or group[wanted]):
                value = self._start(name, data, group)
                if value is not None:
                    state[name] = value
                    t = t if "step" in state else 1.0
            kept.append(value)
        maximize = "maximize" in self.defaults and group["maximize"]
        has_decay = "weight_decay" in self.defaults and self._decay != "in the formula"
        decay = group["weight_decay"] if has_decay else 0
        is_decoupled = group.get("decoupled_weight_decay", self._decay == "decoupled")
        if isinstance(grad, SparseRows):
            found = rows_of(grad, data, *kept)
        else:
            found = self._pieces(data, laid_out_like(grad, data), *kept)
        for w, g, *parts in found:
            if maximize:
                g = -g
            if decay and is_decoupled:
                w *= 1 - group["lr"] * decay
            elif decay:
                g = g + decay * w
            self._rule(w, g, group, t, *parts)

    def _start(self, name: str, w: Array, group: Options) -> Array | np.generic | None:
        """What a parameter keeps under a name before its first step; None if nothing."""
        return np.zeros_like(w)

    _pieces = staticmethod(pieces)

    def _rule(self, w: Array, g: Array, group: Options, t: float, *kept: Any) -> None:
        """The formula: change w and the kept arrays in place, down along g, at t = 1, 2, ..."""
        raise NotImplementedError(f"{type(self).__name__} has neither _rule nor _update")

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
        owners = [(param, group) for group in groups for param in group["params"]]
        by_number = dict(zip(numbers, owners, strict=True))
        state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        for number, values in state_dict["state"].items():
            if number in by_number:
                param, group = by_number[number]
                state[param] = self._loaded(param.data, group, values, f"parameter {number}")
            else:
                state[number] = deepcopy(values)
        self.param_groups, self.state = groups, state

    def _loaded(
        self, data: Array, group: dict[str, Any], values: Mapping[str, Any], name: str
    ) -> dict[str, Any]:
        """The state of one parameter, in arrays of our own."""
        names = self._state_names
        starts = {key: self._start(key, data, group) for key in names if key != "step"}
        needs = [key for key in names if names[key] is True and starts.get(key, data) is not None]
        if values and any(key not in values for key in needs):
            raise ValueError(
                f"state of {name} must have {', '.join(needs)} for "
                f"{type(self).__name__}, got {', '.join(map(str, values))}"
            )
        loaded = {}
        for key, value in values.items():
            start = starts.get(key)
            if value is not None and isinstance(start, np.ndarray):
                value = as_rows(value) if is_sparse(value) else np.asarray(value)
                if value.shape != start.shape:
                    raise ValueError(
                        f"{key} of {name} must have shape {start.shape}, got {value.shape}"
                    )
            if (key == "step" and key in names) or isinstance(start, np.generic):
                # not in the parameter's dtype; a file may have made an array of it
                number = np.asarray(value).item()
                loaded[key] = self._counter(number) if key == "step" else np.float32(number)
            else:
                loaded[key] = _own_copy(data, key, value, name)
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
    if isinstance(value, SparseRows):
        return value.astype(data.dtype)
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


def in_plain_numbers(group: dict[str, Any]) -> dict[str, Any]:
    """The group, or a copy if it has NumPy's numbers, which would lift float32 to float64."""
    kinds = set(map(type, group.values()))
    if tuple in kinds:
        for value in group.values():
            if type(value) is tuple:
                kinds.update(map(type, value))
    if kinds <= _PLAIN:
        return group
    return {key: _plain(value) for key, value in group.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return value.item() if hasattr(value, "__array__") else value
