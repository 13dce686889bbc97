"""A data loader in forked processes: ``python -m parity_tests.forked``, for test_threads.

The process has used BLAS's threads and the library's own before it forks, and its other threads
are in the middle of an operation. Prints a word for each child: whether its batches are those of
this process, bit for bit.
"""

import multiprocessing
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

import numpy_impl as torch
from experiments.augment import augment
from numpy_impl import nn

Array = np.ndarray


def batches(seed: int) -> list[Array]:
    """Augmented images, and what a network makes of them and learns, in both ways of calling."""
    torch.manual_seed(seed)
    found: list[Array] = []
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout(0.2),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16 * 14 * 14, 10),
    )  # fmt: skip
    for _ in range(2):
        images = torch.rand(24, 28, 28).numpy()
        images = augment(images, uniform, rotate=10.0, shift=2.0, elastic=(20.0, 4.0))
        output = model(torch.from_numpy(images[:, None]))
        output.square().sum().backward()
        grad = model.backward(model(images[:, None]))
        found += [images, output.detach().numpy(), grad, model[0].weight.grad.copy()]
    # large enough for BLAS's own threads
    return [*found, torch.matmul(torch.rand(400, 400), torch.rand(400, 400)).numpy()]


def uniform(low: float, high: float, *size: int) -> Array:
    """As augment wants it, from the library's stream."""
    return low + (high - low) * torch.rand(*size).numpy()


def load(seed: int, sender: Any) -> None:
    """The child's work; before it seeds a stream of its own it draws from the one it found."""
    torch.rand(1)[0].zero_()
    sender.send(batches(seed))
    sender.close()


def busy(stop: threading.Event, work: Callable[[], object]) -> threading.Thread:
    """A thread that works until it is told to stop."""

    def run() -> None:
        while not stop.is_set():
            work()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def main() -> None:
    """Fork, and compare."""
    torch.set_num_threads(2)
    expected = [batches(seed) for seed in range(4)]
    x, leaf = torch.rand(64, 8, 64, 64).numpy(), torch.zeros(10**6).requires_grad_()
    table = torch.zeros(10, 10**6)
    layer = nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU())
    stop, fork = threading.Event(), multiprocessing.get_context("fork")
    children = []
    threads = [
        busy(stop, lambda: layer.backward(layer(x))),
        busy(stop, lambda: (leaf * 2).sum().backward()),
        busy(stop, lambda: torch.rand(10**6)),
        busy(stop, lambda: table[0].add_(1)),
    ]
    try:
        for own in expected * 2:
            receiver, sender = fork.Pipe(duplex=False)
            seed = len(children) % len(expected)
            children.append(fork.Process(target=load, args=(seed, sender), daemon=True))
            children[-1].start()
            if not receiver.poll(10):
                raise TimeoutError("a child hangs")
            print("same" if all(map(np.array_equal, receiver.recv(), own)) else "different")
    finally:
        stop.set()
        for child in children:
            child.kill()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
