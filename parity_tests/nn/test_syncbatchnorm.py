"""SyncBatchNorm: a batch that several processes share is normalised as one."""

import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

import torch_ref
from numpy_impl import nn
from parity_tests.cases import Case, ModuleParity

ROWS = [(3, 4), (4, 0, 3), (0, 0, 7, 0), (1, 1, 1, 1, 1, 1, 1)]


CASES = [
    Case("SyncBatchNorm", "5", (6, 5)),
    Case("SyncBatchNorm", "3", (4, 3, 5, 6)),
    Case("SyncBatchNorm", "3", (2, 3, 2, 2, 3, 2), "four axes of positions"),
    Case("SyncBatchNorm", "3, momentum=None", (4, 3, 7)),
    Case("SyncBatchNorm", "3, affine=False", (4, 3, 7), train=False),
    Case("SyncBatchNorm", "3, bias=False", (4, 3, 7)),
    Case("SyncBatchNorm", "3, track_running_stats=False", (4, 3, 7), train=False),
]


class TestAlone(ModuleParity):
    """Without a group it is torch's in one process."""

    cases = CASES


class Threads:
    """A group whose processes are threads; they take turns until each waits for a sum."""

    def __init__(self, size: int) -> None:
        self.size, self._local = size, threading.local()
        self._barrier = threading.Barrier(size)
        self._given: dict[int, np.ndarray] = {}

    def sum(self, array: np.ndarray) -> np.ndarray:
        self._given[self._local.rank] = array
        self._barrier.wait(10)
        total = sum(self._given[rank] for rank in range(self.size))
        self._barrier.wait(10)
        return total

    def run(self, work: Callable[[int], object]) -> list[object]:
        """``work`` of each rank, all at once; their results."""
        results: list[object] = [None] * self.size

        def one(rank: int) -> None:
            self._local.rank = rank
            try:
                results[rank] = work(rank)
            except BaseException as error:
                results[rank] = error
                self._barrier.abort()

        threads = [threading.Thread(target=one, args=(rank,)) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for result in results:
            if isinstance(result, BaseException) and not isinstance(
                result, threading.BrokenBarrierError
            ):
                raise result
        return results


def shared_out(
    rows: Sequence[int], x: np.ndarray, dy: np.ndarray, layers: list[nn.SyncBatchNorm]
) -> tuple[np.ndarray, np.ndarray]:
    """Output and input gradient of all rows, computed by one thread for each share."""
    group = Threads(len(rows))
    ends = np.cumsum(rows)

    def work(rank: int) -> tuple[np.ndarray, np.ndarray]:
        layer, part = layers[rank], slice(ends[rank] - rows[rank], ends[rank])
        layer.process_group = group
        return layer(x[part]), layer.backward(dy[part])

    outputs, gradients = zip(*group.run(work), strict=True)
    return np.concatenate(outputs), np.concatenate(gradients)


@pytest.mark.parametrize("rows", ROWS, ids=str)
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("centre", [0.0, 1000.0])
def test_shares_are_as_the_whole(rows, momentum, centre) -> None:
    rng = np.random.default_rng(0)
    twin = torch.nn.BatchNorm2d(3, momentum=momentum, dtype=torch.float64)
    with torch.no_grad():
        twin.weight.copy_(torch.from_numpy(rng.standard_normal(3)))
        twin.bias.copy_(torch.from_numpy(rng.standard_normal(3)))
    layers = [nn.SyncBatchNorm(3, momentum=momentum, dtype="float64") for _ in rows]
    for layer in layers:
        layer.load_state_dict(twin.state_dict())
    for _ in range(2):
        x = centre + rng.standard_normal((sum(rows), 3, 2, 4)) * [[[2.0]], [[3.0]], [[0.5]]]
        dy = rng.standard_normal(x.shape)
        theirs = torch.from_numpy(x).requires_grad_()
        expected = twin(theirs)
        expected.backward(torch.from_numpy(dy))
        output, gradient = shared_out(rows, x, dy, layers)
        close = {"rtol": 1e-9, "atol": 1e-11 * max(centre, 1)}
        np.testing.assert_allclose(output, expected.detach().numpy(), **close)
        np.testing.assert_allclose(gradient, theirs.grad.numpy(), **close)
    for name in ("weight", "bias"):
        total = sum(getattr(layer, name).grad for layer in layers)
        np.testing.assert_allclose(total, getattr(twin, name).grad.numpy(), **close)
    for layer in layers:
        for name, value in twin.named_buffers():
            np.testing.assert_allclose(layer.get_buffer(name), value.numpy(), rtol=1e-9)


@pytest.mark.parametrize("rows", ROWS, ids=str)
@pytest.mark.parametrize("momentum", [0.1, None])
def test_the_twin_of_shares(rows, momentum) -> None:
    """torch's own refuses the CPU: that of torch_ref is torch's BatchNorm of all rows, too."""
    rng = np.random.default_rng(0)
    whole = torch.nn.BatchNorm2d(3, momentum=momentum, dtype=torch.float64)
    x = torch.from_numpy(rng.standard_normal((sum(rows), 3, 2, 4))).requires_grad_()
    dy = torch.from_numpy(rng.standard_normal(x.shape))
    expected = whole(x)
    expected.backward(dy)
    group, parts, upstream = Threads(len(rows)), x.detach().split(rows), dy.split(rows)

    def work(rank: int) -> tuple[torch.Tensor, ...]:
        twin = torch.nn.BatchNorm2d(3, momentum=momentum, dtype=torch.float64)
        twin = torch_ref.nn.SyncBatchNorm.convert_sync_batchnorm(twin, group)
        part = parts[rank].clone().requires_grad_()
        output = twin(part)
        output.backward(upstream[rank])
        for name, value in whole.named_buffers():
            torch.testing.assert_close(twin.get_buffer(name), value)
        return output, part.grad, twin.weight.grad, twin.bias.grad

    output, gradient, weight, bias = zip(*group.run(work), strict=True)
    torch.testing.assert_close(torch.cat(output), expected)
    torch.testing.assert_close(torch.cat(gradient), x.grad)
    torch.testing.assert_close(sum(weight), whole.weight.grad)
    torch.testing.assert_close(sum(bias), whole.bias.grad)


def test_float32_far_from_zero_is_as_accurate_as_the_whole() -> None:
    rng = np.random.default_rng(1)
    x = (300_000 + rng.standard_normal((8, 3, 6, 6))).astype("f")
    dy = rng.standard_normal(x.shape).astype("f")
    whole = nn.BatchNorm2d(3)
    expected = whole(x), whole.backward(dy)
    found = shared_out((5, 3), x, dy, [nn.SyncBatchNorm(3) for _ in range(2)])
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_one_value_among_all_processes_is_refused() -> None:
    x = np.ones((1, 3))
    layers = [nn.SyncBatchNorm(3, dtype="float64") for _ in range(2)]
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        shared_out((1, 0), x, x, layers)


def test_in_evaluation_the_group_is_not_asked() -> None:
    class Silent:
        def sum(self, array: np.ndarray) -> np.ndarray:
            raise AssertionError("asked")

    x = np.ones((2, 3), np.float32)
    for tracked in (True, False):  # without running statistics the process's own serve, as torch's
        layer = nn.SyncBatchNorm(3, track_running_stats=tracked, process_group=Silent()).eval()
        layer.backward(layer(x))
        with pytest.raises(AssertionError, match="asked"):
            layer.train()(x)


def test_convert() -> None:
    group = Threads(1)
    inner = nn.BatchNorm1d(4, momentum=None, affine=False).eval()
    model = nn.Sequential(nn.Linear(2, 4), nn.Sequential(inner), nn.BatchNorm1d(4, bias=False))
    before, weight = model.state_dict(), model[2].weight
    assert nn.SyncBatchNorm.convert_sync_batchnorm(model, group) is model
    assert [type(m).__name__ for m in model.modules()][1:] == [
        "Linear",
        "Sequential",
        "SyncBatchNorm",
        "SyncBatchNorm",
    ]
    assert list(model.state_dict()) == list(before)
    assert model[2].weight is weight
    assert model[2].process_group is group
    assert model[1][0].process_group is group
    assert not model[1][0].training
    assert model[1][0].momentum is None
    single = nn.SyncBatchNorm.convert_sync_batchnorm(inner)
    assert isinstance(single, nn.SyncBatchNorm)
    assert single.running_mean is inner.running_mean


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.SyncBatchNorm(0), ValueError, "num_features"),
        (lambda: nn.SyncBatchNorm(2, process_group=3), TypeError, "process_group must have"),
        (
            lambda: nn.SyncBatchNorm(2)(np.ones(2, "f")),
            ValueError,
            "input must be at least 2-d, got",
        ),
        (lambda: nn.SyncBatchNorm(2)(np.ones((1, 2), "f")), ValueError, "more than 1 value"),
    ],
)
def test_wrong_use(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()
