"""Where an optimizer finds parameters and gradients: lists, dicts, objects, arrays, layers."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from torch_ref.checking.failures import CannotDrive
from torch_ref.checking.probe import Array

KEYS = ("W1", "b1", "W2", "b2", "W3", "b3")


class Unit:
    """What one call of an optimizer is about.

    Attributes:
        params, grads: in the form in which they are handed over.
        key: a name for it, where the call wants one.
        layer, layers: one layer, and all of them; None for other forms.
        states: what functions hand back, by the argument's name.
    """

    params: Any = None
    grads: Any = None
    key: Any = None
    layer: Any = None
    layers: Any = None

    def __init__(self) -> None:
        self.states: dict[str, Any] = {}

    def accepts(self, result: Any) -> bool:
        """Whether a result can be the new values."""
        return False

    def take(self, result: Any) -> None:
        """The new values, which a call handed back."""

    def moved(self, result: Any, sign: float) -> Any:
        """The new values, where a call handed back the step."""
        raise CannotDrive("steps handed back are arrays, lists or dicts")


class Lists(Unit):
    """Lists of arrays."""

    style = "over lists"

    def __init__(self, values: Sequence[Array]) -> None:
        super().__init__()
        self.params: Any = list(values)
        self.grads: Any = [np.zeros_like(v) for v in values]

    def units(self, by_layer: bool) -> list[Unit]:
        return [self]

    def feed(self, gradients: Sequence[Array], in_place: bool) -> None:
        for i, gradient in enumerate(gradients):
            if in_place:
                self.grads[i][...] = gradient
            else:
                self.grads[i] = np.array(gradient)

    def read(self) -> list[Array]:
        return [np.asarray(value) for value in self.params]

    def accepts(self, result: Any) -> bool:
        return (
            isinstance(result, list | tuple)
            and len(result) == len(self.params)
            and all(isinstance(r, np.ndarray) for r in result)
        )

    def take(self, result: Any) -> None:
        self.params[:] = result

    def moved(self, result: Any, sign: float) -> Any:
        return [p + sign * r for p, r in zip(self.params, result, strict=True)]


class Dicts(Unit):
    """Dicts of arrays, W1, b1, ...; the gradients under the same keys, or with a d before."""

    style = "over dicts"
    prefix = ""

    def __init__(self, values: Sequence[Array]) -> None:
        super().__init__()
        self.params: Any = dict(zip(KEYS, values, strict=False))
        self.grads: Any = {self.prefix + key: np.zeros_like(v) for key, v in self.params.items()}

    def units(self, by_layer: bool) -> list[Unit]:
        return [self]

    def feed(self, gradients: Sequence[Array], in_place: bool) -> None:
        for key, gradient in zip(self.params, gradients, strict=True):
            if in_place:
                self.grads[self.prefix + key][...] = gradient
            else:
                self.grads[self.prefix + key] = np.array(gradient)

    def read(self) -> list[Array]:
        return [np.asarray(value) for value in self.params.values()]

    def accepts(self, result: Any) -> bool:
        return isinstance(result, dict) and set(result) == set(self.params)

    def take(self, result: Any) -> None:
        self.params.update(result)

    def moved(self, result: Any, sign: float) -> Any:
        return {key: p + sign * result[key] for key, p in self.params.items()}


class DictsD(Dicts):
    style, prefix = "over dicts with dW1 for W1", "d"


class One(Unit):
    """One array, handed over by itself."""

    def __init__(self, value: Array, key: str) -> None:
        super().__init__()
        self.params, self.grads, self.key = value, np.zeros_like(value), key

    def accepts(self, result: Any) -> bool:
        return isinstance(result, np.ndarray) and result.shape == self.params.shape

    def take(self, result: Any) -> None:
        self.params = result

    def moved(self, result: Any, sign: float) -> Any:
        return self.params + sign * result


class Arrays:
    """Each parameter by itself: update(w, dw)."""

    style = "update(w, dw)"

    def __init__(self, values: Sequence[Array]) -> None:
        self.all = [One(value, key) for value, key in zip(values, KEYS, strict=False)]
        self.params, self.layers = [unit.params for unit in self.all], None
        self.grads: Any = None

    def units(self, by_layer: bool) -> list[Unit]:
        return list(self.all)

    def feed(self, gradients: Sequence[Array], in_place: bool) -> None:
        for unit, gradient in zip(self.all, gradients, strict=True):
            unit.grads = np.array(gradient)

    def read(self) -> list[Array]:
        return [np.asarray(unit.params) for unit in self.all]


class Box:
    """A parameter as an object: its value and gradient under each of the usual names."""

    def __init__(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def __setattr__(self, name: str, value: Any) -> None:
        group = next((g for g in (_VALUE, _GRADIENT) if name in g), (name,))
        for other in group:
            object.__setattr__(self, other, value)

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(self.data)

    def zero_grad(self) -> None:
        self.grad = np.zeros_like(self.data)


_VALUE = ("data", "value", "val", "w")
_GRADIENT = ("grad", "gradient", "g", "dw")


class Boxes(Unit):
    """torch-like: objects with .data and .grad."""

    style = "over objects with .data and .grad"

    def __init__(self, values: Sequence[Array]) -> None:
        super().__init__()
        self.boxes = [Box(requires_grad=True) for _ in values]
        for box, value in zip(self.boxes, values, strict=True):
            box.data, box.grad = value, np.zeros_like(value)
        self.params: Any = list(self.boxes)

    def units(self, by_layer: bool) -> list[Unit]:
        return [self]

    def feed(self, gradients: Sequence[Array], in_place: bool) -> None:
        for box, gradient in zip(self.boxes, gradients, strict=True):
            box.grad = np.array(gradient)

    def read(self) -> list[Array]:
        return [np.asarray(box.data) for box in self.boxes]


class NamedBoxes(Boxes):
    style = "over a dict of objects with .data and .grad"

    def __init__(self, values: Sequence[Array]) -> None:
        super().__init__(values)
        self.params = dict(zip(KEYS, self.boxes, strict=False))


_WEIGHT = ("weights", "weight", "W", "w", "kernel")
_BIAS = ("biases", "bias", "b")
_GRADIENT_OF = (
    "d{}", "d_{}", "{}_grad", "grad_{}", "{}_gradient", "grad{}", "{}grad", "dL_d{}", "dloss_d{}",
    "{}_grads", "gradient_{}", "delta_{}",
)  # fmt: skip


class Layer(Unit):
    """A layer with a weight and a bias under all the usual names.

    Args:
        values: its two arrays.
        form: of ``params`` and ``grads``: "dict", "dict-d", "list" or "objects".
        number: which layer of the model it is.
    """

    trainable = requires_grad = True

    def __init__(self, values: Sequence[Array], form: str, number: int) -> None:
        super().__init__()
        self._form, self._now, self.layer = form, list(values), self
        self.name = self.key = f"layer{number}"
        self._boxes = Boxes(values).boxes
        self._put()
        self.feed([np.zeros_like(v) for v in values])

    __hash__ = object.__hash__

    def _put(self) -> None:
        held = self._boxes if self._form == "objects" else self._now
        for box, value in zip(self._boxes, self._now, strict=True):
            box.data = value
        for spellings, one in zip((_WEIGHT, _BIAS), held, strict=True):
            for name in spellings:
                setattr(self, name, one)
        pairs = dict(zip(("W", "b"), held, strict=True))
        self.params = pairs if self._form.startswith("dict") else list(held)

    def feed(self, gradients: Sequence[Array]) -> None:
        for spellings, gradient in zip((_WEIGHT, _BIAS), gradients, strict=True):
            for name in spellings:
                for affix in _GRADIENT_OF:
                    setattr(self, affix.format(name), gradient)
        for box, gradient in zip(self._boxes, gradients, strict=True):
            box.grad = gradient
        keys = ("dW", "db") if self._form == "dict-d" else ("W", "b")
        by_key = dict(zip(keys, gradients, strict=True))
        self.grads = self.gradients = by_key if self._form.startswith("dict") else list(gradients)

    def read(self) -> list[Array]:
        """The values, wherever the optimizer left them; the same everywhere from now on."""
        for i, spellings in enumerate((_WEIGHT, _BIAS)):
            places = [getattr(self, name) for name in spellings]
            places += [
                self.params["Wb"[i]] if isinstance(self.params, dict) else self.params[i],
                self._boxes[i].data,
            ]
            places = [p.data if isinstance(p, Box) else p for p in places]
            new = [p for p in places if p is not self._now[i]]
            self._now[i] = np.asarray(new[0] if new else self._now[i])
        self._put()
        return self._now

    def accepts(self, result: Any) -> bool:
        return (
            isinstance(result, list | tuple)
            and len(result) == 2
            and all(
                isinstance(r, np.ndarray) and r.shape == n.shape
                for r, n in zip(result, self._now, strict=True)
            )
        )

    def take(self, result: Any) -> None:
        self._now = list(result)
        self._put()

    def parameters(self) -> list[Any]:
        return list(self._boxes if self._form == "objects" else self._now)

    def params_and_grads(self) -> Iterator[tuple[Any, Any]]:
        yield from zip(self._now, [box.grad for box in self._boxes], strict=True)

    get_params = parameters

    def get_grads(self) -> list[Any]:
        return [box.grad for box in self._boxes]


class Model(Unit):
    """Layers, as a list and as a model that has them."""

    def __init__(self, values: Sequence[Array], form: str) -> None:
        super().__init__()
        pairs = range(0, len(values), 2)
        self.layers = [Layer(values[i : i + 2], form, i // 2) for i in pairs]
        self.trainable_layers = self.layers
        self._form = form
        self._gather()

    style = "over layers"

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def _gather(self) -> None:
        boxes = [box for layer in self.layers for box in layer._boxes]
        held: list[Any] = boxes if self._form == "objects" else [b.data for b in boxes]
        prefix = "d" if self._form == "dict-d" else ""
        self.params, self.grads = list(held), [box.grad for box in boxes]
        if self._form.startswith("dict"):
            self.params = dict(zip(KEYS, self.params, strict=False))
            self.grads = {prefix + k: g for k, g in zip(KEYS, self.grads, strict=False)}
        self._given = list(held)

    def units(self, by_layer: bool) -> list[Unit]:
        return list(self.layers) if by_layer else [self]

    def feed(self, gradients: Sequence[Array], in_place: bool) -> None:
        for i, layer in enumerate(self.layers):
            layer.feed([np.array(g) for g in gradients[2 * i : 2 * i + 2]])
        self._gather()

    def read(self) -> list[Array]:
        held = list(self.params.values()) if isinstance(self.params, dict) else list(self.params)
        if self._form != "objects":
            for i, (new, old) in enumerate(zip(held, self._given, strict=True)):
                if new is not old:
                    own = self.layers[i // 2]._now[:]
                    own[i % 2] = new
                    self.layers[i // 2].take(own)
        values = [np.asarray(value) for layer in self.layers for value in layer.read()]
        self._gather()
        return values

    def parameters(self) -> list[Any]:
        return [one for layer in self.layers for one in layer.parameters()]

    def params_and_grads(self) -> Iterator[tuple[Any, Any]]:
        for layer in self.layers:
            yield from layer.params_and_grads()


def _models() -> Iterator[Any]:
    for form in ("dict", "list", "objects", "dict-d"):
        yield lambda values, form=form: Model(values, form)


FORMS: tuple[Any, ...] = (Boxes, Lists, Dicts, DictsD, Arrays, NamedBoxes, *_models())
