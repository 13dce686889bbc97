"""What a module owns: parameters, buffers and child modules, and the walk over the tree of them.

Each is a plain attribute of the module; ``_members`` has the names in their order, and of what
kind each is.
"""

from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

import numpy as np

from numpy_impl.grad_mode import grad_mode
from numpy_impl.nn.call import summary
from numpy_impl.nn.parameter import Buffer, Parameter
from numpy_impl.tensor.tensor import Tensor, to_array

if TYPE_CHECKING:
    from numpy_impl.nn.module import Module

Array = np.ndarray


class Registry(MutableMapping[str, Any]):
    """The members of one kind by name: a view, as torch's ``_parameters`` and its like.

    Args:
        owner: the module.
        kind: ``"parameter"``, ``"buffer"`` or ``"module"``.
    """

    def __init__(self, owner: "Members", kind: str) -> None:
        self._owner, self._kind = owner, kind

    def __getitem__(self, name: str) -> Any:
        if self._owner._members.get(name) != self._kind:
            raise KeyError(name)
        return self._owner.__dict__[name]

    def __setitem__(self, name: str, member: Any) -> None:
        self._owner._own(name, member, self._kind)

    def __delitem__(self, name: str) -> None:
        if self._owner._members.get(name) != self._kind:
            raise KeyError(name)
        self._owner._forget(name)

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in self._owner._of_kind(self._kind)])

    def __len__(self) -> int:
        return len(self._owner._of_kind(self._kind))

    def __repr__(self) -> str:
        return repr(dict(self))


class Members:
    """The part of a Module that keeps what it owns."""

    _members: dict[str, str]  # "parameter", "buffer" or "module", by name
    _non_persistent: set[str]  # buffers that state_dict() leaves out
    _is_plain: bool
    if TYPE_CHECKING:
        _with_hooks: Any

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        kind = own["_members"].get(name) if "_members" in own else None
        new = _kind_of(value)
        if new is None and kind is None:
            if name == "forward":
                self._with_hooks()  # a forward of this object's own: calls must look for it
            elif isinstance(value, list | dict) or (
                isinstance(value, tuple) and any(isinstance(part, Members) for part in value)
            ):
                own["_is_plain"] = False  # parts that are not registered may be in it
            object.__setattr__(self, name, value)
        elif "_members" not in own:
            raise AttributeError(
                f"cannot assign {name!r}: call super().__init__() first in {type(self).__name__}"
            )
        elif isinstance(value, Buffer):
            self._forget(name)
            self.register_buffer(name, value.data, value.persistent)
        elif new == "parameter" or (new == "module" and kind != "parameter"):
            if new != kind:  # else it keeps its place in the order
                self._forget(name)
                _check_name(name)
            self._own(name, value, new)
        elif kind == "buffer":
            self._own(name, _as_buffer(value, name), kind)
        elif value is None:
            own[name] = None
        else:
            what = "Parameter" if kind == "parameter" else "Module"
            raise TypeError(f"{name} must be a {what} or None, got {summary(value)}")

    def __getattr__(self, name: str) -> Any:
        # only called when the ordinary look-up has failed
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        if not self._forget(name):
            object.__delattr__(self, name)

    def _own(self, name: str, member: Any, kind: str) -> None:
        own = self.__dict__
        self._members[name] = kind
        own[name] = member
        if kind == "module":
            own["_is_plain"] = False

    def _forget(self, name: str) -> bool:
        self._members.pop(name, None)
        self._non_persistent.discard(name)
        return self.__dict__.pop(name, self) is not self

    def _of_kind(self, kind: str) -> list[tuple[str, Any]]:
        own = self.__dict__
        return [(name, own[name]) for name, k in own["_members"].items() if k == kind]

    @property
    def _parameters(self) -> Registry:
        return Registry(self, "parameter")

    @property
    def _buffers(self) -> Registry:
        return Registry(self, "buffer")

    @property
    def _modules(self) -> Registry:
        return Registry(self, "module")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Own ``param`` under ``name``; ``None`` reserves the name, as ``bias=False`` does.

        Raises:
            KeyError: if the name is taken by something else.
        """
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"param must be a Parameter or None, got {summary(param)}")
        self._register(name, param, "parameter")

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Own an array that is state but not trained (BatchNorm's running mean).

        Args:
            name: the attribute's name and its key in ``state_dict()``.
            tensor: the array, a Tensor (its array is taken), or ``None`` to reserve the name.
            persistent: False leaves it out of ``state_dict()``.

        Raises:
            RuntimeError: for a Tensor that requires grad: the array would not; ``detach()`` first.
        """
        self._register(name, _as_buffer(tensor, name), "buffer")
        if persistent:
            self._non_persistent.discard(name)
        else:
            self._non_persistent.add(name)

    def register_module(self, name: str, module: "Module | None") -> None:
        """Same as :meth:`add_module`."""
        self.add_module(name, module)

    def add_module(self, name: str, module: "Module | None") -> None:
        """Own ``module`` as a child called ``name``."""
        if module is not None and not isinstance(module, Members):
            raise TypeError(f"module must be a Module or None, got {summary(module)}")
        self._register(name, module, "module")

    def _register(self, name: str, member: Any, kind: str) -> None:
        _check_name(name)
        if self._members.get(name) != kind and hasattr(self, name):
            raise KeyError(f"attribute {name!r} already exists")
        self._own(name, member, kind)

    # -- walking the tree ----------------------------------------------------------------------

    def named_modules(
        self,
        memo: set["Module"] | None = None,
        prefix: str = "",
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, "Module"]]:
        """Yield this module and all below it with their dotted names, each module once."""
        memo = set() if memo is None else memo
        module: Any = self
        if module in memo:
            return
        if remove_duplicate:
            memo.add(module)
        yield prefix, module
        for name, child in self._of_kind("module"):
            if child is not None:
                yield from child.named_modules(memo, join(prefix, name), remove_duplicate)

    def modules(self) -> Iterator["Module"]:
        """Yield this module and all below it, each once."""
        for _, module in self.named_modules():
            yield module

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """Yield the direct children with their names, each module once."""
        seen: set[Module] = set()
        for name, child in self._of_kind("module"):
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator["Module"]:
        """Yield the direct children, each once."""
        for _, child in self.named_children():
            yield child

    def _named_members(
        self, kind: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for module_name, module in modules:
            for name, member in module._of_kind(kind):
                if member is None or (remove_duplicate and id(member) in seen):
                    continue
                seen.add(id(member))
                yield join(module_name, name), member

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield the parameters with their dotted names, a shared one once."""
        return self._named_members("parameter", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters: what an optimizer is given."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Array]]:
        """Yield the buffers with their dotted names."""
        return self._named_members("buffer", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Array]:
        """Yield the buffers."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def get_submodule(self, target: str) -> "Module":
        """The module at a dotted path; ``""`` is this one.

        Raises:
            AttributeError: naming the part of the path that is missing.
        """
        module: Any = self
        for name in target.split(".") if target else []:
            child = getattr(module, name, None) if module._members.get(name) == "module" else None
            if child is None:
                raise AttributeError(f"{type(module).__name__} has no child {name!r} ({target!r})")
            module = child
        return module

    def set_submodule(self, target: str, module: "Module", strict: bool = False) -> None:
        """Put ``module`` at a dotted path.

        Args:
            target: the path; its last part is replaced, or added unless ``strict``.
            module: what to put there.
            strict: raise if there is nothing yet.

        Raises:
            ValueError: if the path is empty, or ``module`` is no Module.
            AttributeError: naming the part of the path that is missing.
        """
        if not target or not isinstance(module, Members):
            raise ValueError(
                f"set_submodule needs a path and a Module, got {target!r}, {summary(module)}"
            )
        parent, _, name = target.rpartition(".")
        owner = self.get_submodule(parent)
        if strict:
            self.get_submodule(target)
        if owner._members.get(name) != "module" and hasattr(owner, name):
            raise AttributeError(f"{target!r} is no Module, it can't be replaced by one")
        owner._own(name, module, "module")

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path.

        Raises:
            AttributeError: if it is missing, or no Parameter.
        """
        return self._member("parameter", target)

    def get_buffer(self, target: str) -> Array:
        """The buffer at a dotted path.

        Raises:
            AttributeError: if it is missing, or no buffer.
        """
        return self._member("buffer", target)

    def _member(self, kind: str, target: str) -> Any:
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        member = getattr(owner, name, None) if owner._members.get(name) == kind else None
        if member is None:
            raise AttributeError(f"{type(owner).__name__} has no {kind} {name!r} ({target!r})")
        return member


def _kind_of(value: Any) -> str | None:
    """What kind of member an attribute of that value is, if it makes itself one."""
    if isinstance(value, Parameter):
        return "parameter"
    if isinstance(value, Buffer):
        return "buffer"
    return "module" if isinstance(value, Members) else None


def _as_buffer(value: Any, name: str) -> Array | None:
    if grad_mode.enabled and isinstance(value, Tensor) and value.requires_grad:
        raise RuntimeError(
            f"{name} must not require grad: it becomes a buffer, an array, and the gradient would "
            "be lost; take detach() or data"
        )
    value = to_array(value)
    if value is not None and not isinstance(value, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, a Tensor or None, got {summary(value)}")
    return value


def join(prefix: str, name: str) -> str:
    """A dotted name."""
    return f"{prefix}.{name}" if prefix else name


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {summary(name)}")
    if not name or "." in name:
        raise KeyError(f"name must not be empty or contain a dot, got {name!r}")
