"""Models trained at once in several threads, and in forked processes: bit for bit as alone."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numpy_impl as torch
from numpy_impl import nn, optim

Array = np.ndarray
ROOT = Path(__file__).parent.parent
STEPS = 4


def _cnn() -> Any:
    """Its first maps are large enough to be worked on in slices."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, groups=8), nn.GELU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(),
        nn.Linear(128, 10),
    )  # fmt: skip


def _upsampler() -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2), nn.GroupNorm(2, 4), nn.PReLU(4),
        nn.ConvTranspose2d(4, 4, 3, stride=2), nn.InstanceNorm2d(4), nn.AvgPool2d(2),
        nn.Upsample(scale_factor=0.5), nn.Flatten(), nn.LazyLinear(10),
    )  # fmt: skip


class _Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(32, 16, num_layers=2, bidirectional=True, batch_first=True)
        self.out = nn.Linear(32, 10)

    def forward(self, x: Any) -> Any:
        return self.out(self.lstm(x[:, 0])[0][:, -1])


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.norm = nn.RMSNorm(32)
        self.out = nn.Linear(32, 10)

    def forward(self, x: Any) -> Any:
        return self.out(self.norm(self.layer(x[:, 0])).mean(1))


MODELS: dict[str, Callable[[], Any]] = {
    "cnn": _cnn, "upsampler": _upsampler, "recurrent": _Recurrent, "attention": _Attention,
}  # fmt: skip
OPTIMIZERS = {"cnn": optim.Adam, "upsampler": optim.RMSprop, "recurrent": optim.SGD,
              "attention": optim.AdamW}  # fmt: skip
JOBS = [(name, style) for name in MODELS for style in ("arrays", "tensors")]


def prepared(name: str, style: str) -> Callable[[], list[Array]]:
    """A training run that draws nothing: its losses, predictions and last weights."""
    torch.manual_seed(len(name))
    model = MODELS[name]()
    x, y = torch.randn(64, 1, 32, 32).numpy(), torch.randint(10, (64,)).numpy()
    model(x)  # lazy layers draw their weights now
    optimizer = OPTIMIZERS[name](model.parameters(), lr=0.01)
    loss_of = nn.CrossEntropyLoss()

    def run() -> list[Array]:
        found = []
        for _ in range(STEPS):
            optimizer.zero_grad()
            if style == "tensors":
                loss = loss_of(model(torch.from_numpy(x)), torch.from_numpy(y))
                loss.backward()
                found.append(np.array(loss.data))
            else:
                found.append(np.array(loss_of(model(x), y)))
                model.backward(loss_of.backward())
            optimizer.step()
            with torch.no_grad():
                found.append(model.eval()(x[:8]))
            assert torch.is_grad_enabled()
            model.train()
        return [*found, *model.state_dict().values()]

    return run


@pytest.fixture
def switching() -> Iterator[None]:
    """Threads take turns a thousand times as often as they do."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("threads", [1, 2])
def test_models_trained_at_once_are_what_each_is_alone(threads, switching) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        alone = {job: prepared(*job)() for job in JOBS}
        at_once = together({job: prepared(*job) for job in JOBS})
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for job in JOBS:
        assert same(alone[job], at_once[job]), job


def same(a: list[Array], b: list[Array]) -> bool:
    return len(a) == len(b) and all(map(np.array_equal, a, b))


def together(runs: dict[Any, Callable[[], Any]]) -> dict[Any, Any]:
    """What each gives, called at the same time in a thread of its own; or what it raised."""
    start, found = threading.Barrier(len(runs)), {}

    def call(name: Any) -> None:
        start.wait()
        try:
            found[name] = runs[name]()
        except BaseException as error:
            found[name] = error

    threads = [threading.Thread(target=call, args=(name,)) for name in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in found.values():
        if isinstance(result, BaseException):
            raise result
    return found


def test_a_generator_of_its_own_is_a_stream_of_its_own(switching) -> None:
    def draw(seed: int) -> list[Array]:
        own = torch.Generator().manual_seed(seed)
        return [
            draw.numpy()
            for _ in range(50)
            for draw in (torch.rand(7, generator=own), torch.randn(3, generator=own),
                         torch.randperm(9, generator=own))
        ]  # fmt: skip

    seeds = range(6)
    found = together({seed: lambda seed=seed: draw(seed) for seed in seeds})
    assert all(same(found[seed], draw(seed)) for seed in seeds)


def test_the_default_stream_is_shared_out_and_nothing_of_it_is_lost(switching) -> None:
    torch.manual_seed(0)
    expected = torch.rand(6 * 200).numpy()
    torch.manual_seed(0)
    found = together({i: lambda: [torch.rand(1).numpy() for _ in range(200)] for i in range(6)})
    drawn = np.concatenate([value for values in found.values() for value in values])
    np.testing.assert_array_equal(np.sort(drawn), np.sort(expected))


def test_a_forked_loader_gives_the_batches_of_one_process() -> None:
    command = [sys.executable, "-W", "ignore", "-m", "parity_tests.forked"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["same"] * 8
