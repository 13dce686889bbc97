"""Nested inputs and outputs: tuples, dicts, keywords, numbers, None."""

from typing import Any

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn
from parity_tests.nn.kinds import (
    G2,
    X2,
    G,
    X,
    assert_same,
    linear,
)
from torch_ref.convert import copy_weights


class AddMul(nn.Module):
    """A layer of two inputs and two outputs, in a dict, beside an integer and a number."""

    def forward(self, a, b, index=None):
        self.a, self.b = a, b
        return {"index": index, "n": 3, "add": a + b, "mul": [a * b]}

    def backward(self, grad_output):
        (mul,) = grad_output["mul"]
        add = grad_output["add"]
        return add + mul * self.b, add + mul * self.a


def test_a_layer_with_a_dict_of_outputs() -> None:
    layer = AddMul()
    a, b = (numpy_impl.tensor(x, requires_grad=True) for x in (X, X2))
    first, second = layer(a, b), layer(b=b, a=a)
    assert first["n"] == 3
    assert first["index"] is None
    (first["add"] * G).sum().backward()
    assert_same([a.grad, b.grad], [G, G])
    (second["mul"][0] * G).sum().backward()
    assert_same([a.grad, b.grad], [G + G * X2, G + G * X])
    output = layer(X, X2)
    assert_same(output["mul"], [X * X2])
    grads = {"index": None, "n": None, "add": None, "mul": [G]}
    assert_same(layer.backward(grads), (G * X2, G * X))
    layer(X, X2)
    with pytest.raises(TypeError, match="dict"):
        layer.backward(G)


def test_keyword_inputs_have_the_order_of_forward_s_arguments() -> None:
    class Product(nn.Module):
        def forward(self, a, b, c=None):
            output = a * b if c is None else a * b * c
            self.save_for_backward(output, a, b)
            return output

        def backward(self, grad_output):
            grad_output, a, b = self.saved_for_backward(grad_output)
            return grad_output * b, grad_output * a

    a, b = (numpy_impl.tensor(x, requires_grad=True) for x in (X, X2))
    Product()(b=b, a=a).backward(G)
    assert_same([a.grad, b.grad], [G * X2, G * X])
    Product()(X, numpy_impl.tensor(X2, requires_grad=True)).backward(G)


def test_scalars_and_half_outputs_keep_their_gradients() -> None:
    class Norms(nn.Module):
        def forward(self, x):
            self.x = x
            return None, np.float64((x * x).sum()), x.astype(int), x.sum(0)

        def backward(self, grad_output):
            _, square, _, total = grad_output
            return 2 * self.x * square + total

    x = numpy_impl.tensor(X, requires_grad=True)
    _, square, _, total = Norms()(x)
    (square * 2 + total.sum()).backward()
    assert_same(x.grad, 4 * X + 1)


def structured(world: Any) -> Any:
    class Net(world.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = linear(world)

        def forward(self, x, state, index=None, *, scale=None, flag=True):
            h, (c, _) = state
            h = self.cell(x * h) + c
            if scale is not None:
                h = h * scale
            if index is not None:
                h = h[index]
            return {"h": h, "pair": [h.sum(), (c * 2, x)], "none": None}

    return Net()


def test_nested_inputs_and_outputs_of_a_module_made_of_calls() -> None:
    ours, twin = structured(numpy_impl), structured(torch)
    copy_weights(twin, ours)
    scale, index = np.array(1.5), np.array([2, 0, 0])
    tx, th, tc, ts = (torch.tensor(v, requires_grad=True) for v in (X, X2, G, scale))
    wanted = twin(tx, (th, [tc, None]), torch.tensor(index), scale=ts)
    (wanted["h"] * torch.tensor(G2)).sum().backward(retain_graph=True)
    (wanted["pair"][0] * 2 + (wanted["pair"][1][0] * torch.tensor(G2)).sum()).backward()

    output = ours(X, (X2, [G, None]), index, scale=scale)
    assert_same(output, wanted)
    upstream = {"pair": [np.array(2.0), (G2, None)], "h": G2, "none": None}  # in any order
    dx, (dh, (dc, nothing)), di, ds = ours.backward(upstream)
    assert_same([dx, dh, dc, ds], [tx.grad, th.grad, tc.grad, ts.grad])
    assert nothing is None
    assert di is None

    tensors = [numpy_impl.tensor(v, requires_grad=True) for v in (X, X2, G, scale)]
    x, h, c, s = tensors
    found = ours(x, (h, [c, None]), numpy_impl.tensor(index), scale=s)
    loss = (found["h"] * G2).sum() + found["pair"][0] * 2 + (found["pair"][1][0] * G2).sum()
    loss.backward()
    assert_same([t.grad for t in tensors], [tx.grad, th.grad, tc.grad, ts.grad])


def test_results_share_no_memory() -> None:
    ours = structured(numpy_impl)
    given = [X.copy(), X2.copy(), G.copy()]
    x, h, c = given
    output = ours(x, (h, [c, None]))
    upstream = {"h": G2.copy(), "pair": [np.array(1.0), (X.copy(), X2.copy())], "none": None}
    dx, (dh, (dc, _)) = ours.backward(upstream)
    arrays = [*given, dx, dh, dc, output["h"], output["pair"][1][0], output["pair"][1][1]]
    arrays += [upstream["h"], *upstream["pair"][1], *(p.grad for p in ours.parameters())]
    for i, one in enumerate(arrays):
        for other in arrays[:i]:
            assert not np.shares_memory(one, other)
