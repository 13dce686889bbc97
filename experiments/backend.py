"""The one place where the two backends differ: everything else runs on either."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from experiments.config import BACKENDS
from experiments.distributed import Group
from experiments.errors import UserError

Array = np.ndarray


class Backend(Protocol):
    """What the trainer asks of a backend; arrays in and out are NumPy's."""

    name: str
    nn: Any
    optim: Any

    def manual_seed(self, seed: int) -> None: ...
    def get_rng_state(self) -> Array: ...
    def set_rng_state(self, state: Array) -> None: ...
    def randperm(self, n: int) -> Array: ...
    def uniform(self, low: float, high: float, *size: int) -> Array:
        """float32 numbers from [low, high), the same from either backend."""
        ...

    def train_step(
        self,
        model: Any,
        criterion: Any,
        optimizer: Any,
        images: Array,
        labels: Array,
        weight: float,
        group: Group,
    ) -> tuple[float, Array]:
        """Forward, loss, backward, update with this process's rows of a batch.

        Args:
            weight: the share of the batch that they are.

        Returns:
            Their part of the batch's mean loss, and their logits.
        """
        ...

    def predict(self, model: Any, images: Array) -> Array:
        """The logits, keeping nothing for backward."""
        ...

    def arrays(self, model: Any) -> dict[str, Array]:
        """Parameters and buffers by name: live NumPy arrays, not copies."""
        ...

    def load_arrays(self, model: Any, arrays: dict[str, Array]) -> None: ...
    def optimizer_state(self, optimizer: Any) -> Any:
        """The state dict, with NumPy arrays for tensors."""
        ...

    def load_optimizer_state(self, optimizer: Any, state: Any) -> None: ...


class _Stepping:
    """The step, the same for either backend."""

    _tensor: Callable[[Array], Any]

    def train_step(
        self,
        model: Any,
        criterion: Any,
        optimizer: Any,
        images: Array,
        labels: Array,
        weight: float,
        group: Group,
    ) -> tuple[float, Array]:
        optimizer.zero_grad()
        logits = model(self._tensor(images))
        # no rows have no mean; what is backpropagated then is 0, and what layers sum is summed
        loss = weight * (criterion(logits, self._tensor(labels)) if weight else logits.sum())
        loss.backward()
        grads = (parameter.grad for parameter in model.parameters())
        group.sum_in_place(np.asarray(grad) for grad in grads if grad is not None)
        optimizer.step()
        return loss.item(), logits.detach().numpy()


class NumpyBackend(_Stepping):
    """numpy_impl; never imports torch."""

    name = "numpy"

    def __init__(self) -> None:
        import numpy_impl

        self.nn, self.optim, self._impl = numpy_impl.nn, numpy_impl.optim, numpy_impl
        self._tensor = numpy_impl.from_numpy
        self.manual_seed = numpy_impl.manual_seed
        self.get_rng_state = numpy_impl.get_rng_state
        self.set_rng_state = numpy_impl.set_rng_state
        self.randperm = numpy_impl.random.randperm

    def uniform(self, low: float, high: float, *size: int) -> Array:
        return self._impl.random.uniform_(np.empty(size, np.float32), low, high)

    def predict(self, model: Any, images: Array) -> Array:
        with self._impl.no_grad():
            return model(images)

    def arrays(self, model: Any) -> dict[str, Array]:
        return dict(model.state_dict())

    def load_arrays(self, model: Any, arrays: dict[str, Array]) -> None:
        model.load_state_dict(arrays)

    def optimizer_state(self, optimizer: Any) -> Any:
        return optimizer.state_dict()

    def load_optimizer_state(self, optimizer: Any, state: Any) -> None:
        optimizer.load_state_dict(state)


class TorchBackend(_Stepping):
    """torch_ref, which is PyTorch itself wherever PyTorch has the part."""

    name = "torch"

    def __init__(self) -> None:
        import torch

        import torch_ref

        self.nn, self.optim, self._torch = torch_ref.nn, torch_ref.optim, torch
        self._tensor = torch.from_numpy

    def manual_seed(self, seed: int) -> None:
        self._torch.manual_seed(seed)

    def get_rng_state(self) -> Array:
        return self._torch.get_rng_state().numpy().copy()

    def set_rng_state(self, state: Array) -> None:
        self._torch.set_rng_state(self._torch.from_numpy(state.copy()))

    def randperm(self, n: int) -> Array:
        return self._torch.randperm(n).numpy()

    def uniform(self, low: float, high: float, *size: int) -> Array:
        return self._torch.empty(size).uniform_(low, high).numpy()

    def predict(self, model: Any, images: Array) -> Array:
        with self._torch.no_grad():
            return model(self._torch.from_numpy(images)).numpy()

    def arrays(self, model: Any) -> dict[str, Array]:
        return {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}

    def load_arrays(self, model: Any, arrays: dict[str, Array]) -> None:
        tensors = {name: self._torch.from_numpy(value.copy()) for name, value in arrays.items()}
        model.load_state_dict(tensors)

    def optimizer_state(self, optimizer: Any) -> Any:
        return _map_leaves(
            optimizer.state_dict(),
            lambda leaf: leaf.detach().numpy() if isinstance(leaf, self._torch.Tensor) else leaf,
        )

    def load_optimizer_state(self, optimizer: Any, state: Any) -> None:
        optimizer.load_state_dict(
            _map_leaves(
                state,
                lambda leaf: (
                    self._torch.from_numpy(leaf.copy()) if isinstance(leaf, np.ndarray) else leaf
                ),
            )
        )


def make_backend(name: str) -> Any:
    """The backend called ``name``.

    Raises:
        UserError: if there is none of that name, or torch is not installed.
    """
    if name == "numpy":
        return NumpyBackend()
    if name != "torch":
        raise UserError(f"--backend must be one of {', '.join(BACKENDS)}, got {name!r}")
    try:
        return TorchBackend()
    except ModuleNotFoundError as error:
        raise UserError(
            f"--backend torch needs PyTorch ({error}): pip install -r requirements.txt, "
            "or use --backend numpy"
        ) from None


def _map_leaves(tree: Any, function: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _map_leaves(value, function) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_map_leaves(value, function) for value in tree)
    return function(tree)
