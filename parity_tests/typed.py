"""What a type checker must know of programs that use numpy_impl: test_typing.py runs mypy on this.

An ``ignore`` names the error that must be found there: one that is not is an error itself.
"""

from typing import Any, assert_type

import numpy as np

import numpy_impl as torch
from numpy_impl import Tensor, nn
from numpy_impl.types import Array


class Square(nn.Module):
    """A layer, written for arrays."""

    def forward(self, input: np.ndarray) -> np.ndarray:
        return np.array(input * input)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        return grad_output


class Net(nn.Module):
    """A model, written for Tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor, *, twice: bool = False) -> Tensor:
        return self.fc(self.fc(x) if twice else x)


class Heads(nn.Module):
    """A model with two results."""

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return x, {"x": x}


def calls(x: Tensor, a: Array, anything: Any, module: nn.Module) -> None:
    assert_type(nn.Linear(4, 2)(a), Array)
    assert_type(nn.Linear(4, 2)(x), Tensor)
    assert_type(nn.MSELoss()(a, a), Array)
    assert_type(nn.MSELoss()(x, a), Tensor)
    assert_type(nn.Sequential(nn.Linear(4, 2), nn.ReLU())(a), Array)
    assert_type(nn.Sequential(nn.Linear(4, 2), nn.ReLU())(x), Tensor)
    assert_type(Square()(a), Array)
    assert_type(Square()(x), Tensor)
    assert_type(Net()(a), Array)
    assert_type(Net()(x), Tensor)
    assert_type(Net()(x, twice=True), Tensor)
    assert_type(Heads()(x), tuple[Tensor, dict[str, Tensor]])
    assert_type(Net()(anything), Any)
    assert_type(module(x), Any)  # who knows


def attributes(x: Tensor) -> None:
    assert_type(x.data, Array)
    assert_type(x.grad, Array | None)
    assert_type(x.shape, tuple[int, ...])
    assert_type(x.size(), tuple[int, ...])
    assert_type(x.size(0), int)
    assert_type(x.T, Tensor)
    assert_type(x.numpy(), Array)
    x.grad = x
    assert_type(x.nonsense, Any)  # type: ignore[attr-defined]
    x.data = "text"  # type: ignore[assignment]


def operators(x: Tensor, a: Array) -> None:
    assert_type(x + x, Tensor)
    assert_type(x - a, Tensor)
    assert_type(2 * x, Tensor)
    assert_type(1 / x, Tensor)
    assert_type(x**2, Tensor)
    assert_type(x @ x, Tensor)
    assert_type(-x, Tensor)
    assert_type(~(x > 0), Tensor)
    assert_type(x <= 1, Tensor)
    assert_type(x == 1, Tensor)
    assert_type(x != x, Tensor)
    assert_type(x[0, ..., None], Tensor)
    x[x < 0] = 0
    x *= 2
    x + "text"  # type: ignore[arg-type]


def methods(x: Tensor, a: Array) -> None:
    assert_type(x.sum(0, keepdim=True), Tensor)
    assert_type(x.view(x.size(0), -1), Tensor)
    assert_type(x.max(), Tensor)
    assert_type(x.max(1).indices, Tensor)
    assert_type(x.topk(2)[0], Tensor)
    assert_type(x.split(2), tuple[Tensor, ...])
    assert_type(x.where(x > 0, 0.0), Tensor)
    assert_type(x.float().long().to(torch.float64), Tensor)
    assert_type(x.type(), str)
    assert_type(x.type(torch.int64), Tensor)
    assert_type(x.new_zeros(2, 3), Tensor)
    assert_type(x.add_(1, alpha=2), Tensor)
    assert_type(nn.Parameter(a).mul_(2).zero_(), nn.Parameter)
    x.sum(dims=0)  # type: ignore[call-arg]
    x.reshape("text")  # type: ignore[arg-type]
    x.add("text")  # type: ignore[arg-type]


def functions(x: Tensor, a: Array) -> None:
    assert_type(torch.cat([x, x], dim=1), Tensor)
    assert_type(torch.max(x, x), Tensor)
    assert_type(torch.max(x, 1).values, Tensor)
    assert_type(torch.where(x > 0), tuple[Tensor, ...])
    assert_type(torch.where(x > 0, x, 0), Tensor)
    assert_type(torch.randint(0, 10, (3,)), Tensor)
    assert_type(torch.zeros(2, 3, dtype=torch.float64, device="cpu"), Tensor)
    assert_type(torch.unique(x), Tensor)
    assert_type(torch.nonzero(x, as_tuple=True), tuple[Tensor, ...])
    torch.zeros("text")  # type: ignore[arg-type]
    torch.exp("text")  # type: ignore[arg-type]


@torch.no_grad()
def update(model: nn.Module, lr: float) -> nn.Module:
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter -= lr * parameter.grad
    return model


assert_type(update(Net(), 0.1), nn.Module)
