"""What the benchmark times, written once for both backends; and the worker process that does it.

``python reports/workloads.py numpy`` (or ``torch``) reads workload names from its standard input,
a line each, and answers with the seconds of one call. ``benchmark.py`` starts one such process for
each backend, so that their thread pools cannot get in each other's way.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from experiments.backend import make_backend
from experiments.distributed import Group
from experiments.models import cnn, mlp
from experiments.programs import PROGRAMS
from reports.parts import BATCH, PARTS, Source

Array = np.ndarray
Call = Callable[[], object]
# a timing is the mean over as many calls as fill this
_SECONDS = 0.12


def _random(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def _first(output: Any) -> Any:
    return output[0] if isinstance(output, tuple) else output


def _labels(n: int) -> Array:
    return np.random.default_rng(1).integers(0, 10, n)


class World:
    """One backend, and the few things that differ when a layer is called by hand."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.backend = make_backend(name)
        self.nn, self.optim = self.backend.nn, self.backend.optim
        self.torch = importlib.import_module({"numpy": "numpy_impl"}.get(name, name))
        self.backend.manual_seed(0)

    def tensor(self, array: Array) -> Any:
        if self.name == "numpy":
            return array
        import torch

        return torch.from_numpy(array)

    def forward_backward(self, layer: Any, *inputs: Array) -> Call:
        """Forward, and backward for the inputs and the parameters, with a random upstream.

        Of several outputs (a recurrent layer's states) the first alone gets a gradient.
        """
        parameters = list(layer.parameters())
        if self.name == "numpy":
            output = layer(*inputs)
            upstream: Any = _random(*_first(output).shape)
            if isinstance(output, tuple):
                upstream = (upstream, *[None] * (len(output) - 1))

            def call() -> None:
                for parameter in parameters:
                    parameter.grad = None
                layer(*inputs)
                layer.backward(upstream)

            return call
        tensors = [self.tensor(x).requires_grad_(x.dtype.kind == "f") for x in inputs]
        grad = self.tensor(_random(*_first(layer(*tensors)).shape))

        def call_torch() -> None:
            for leaf in (*tensors, *parameters):
                leaf.grad = None
            _first(layer(*tensors)).backward(grad)

        return call_torch

    def loss(self, criterion: Any, *inputs: Array) -> Call:
        """A loss and its gradients; where there are two inputs the second is the target."""
        parameters = list(criterion.parameters())
        is_tuple = isinstance(criterion(*map(self.tensor, inputs)), tuple)
        if self.name == "numpy":

            def call() -> None:
                for parameter in parameters:
                    parameter.grad = None
                criterion(*inputs)
                criterion.backward((None, 1.0) if is_tuple else 1.0)

            return call
        tensors = [self.tensor(x) for x in inputs]
        leaves = [
            x for x in (tensors[:1] if len(tensors) == 2 else tensors) if x.is_floating_point()
        ]
        for leaf in leaves:
            leaf.requires_grad_()

        def call_torch() -> None:
            for leaf in (*leaves, *parameters):
                leaf.grad = None
            found = criterion(*tensors)
            (found.loss if is_tuple else found).backward()

        return call_torch

    def optimizer_step(self, make: Callable[[Any], Any]) -> Call:
        """One step of all parameters of the lab's MLP and CNN, whose gradients stand."""
        models = [mlp(self.nn, (784, 600, 10)), cnn(self.nn)]
        parameters = [p for model in models for p in model.parameters()]
        for p in parameters:
            p.grad = self.tensor(_random(*p.shape))
        return make(parameters).step

    def large_step(self, make: Callable[[Any], Any]) -> Call:
        """One step of ten million parameters in ten matrices, whose gradients stand."""
        parameters = [self.nn.Parameter(self.tensor(_random(1000, 1000))) for _ in range(10)]
        for p in parameters:
            p.grad = self.tensor(_random(*p.shape))
        return make(parameters).step

    def sparse_step(self) -> Call:
        """One step of a table, whose gradient of few rows stands."""
        table = self.nn.Embedding(10_000, 128, sparse=True)
        index = np.random.default_rng(2).integers(0, 10_000, (32, 64))
        table(self.torch.tensor(index)).sum().backward()
        return self.optim.SparseAdam(table.parameters(), lr=1e-4).step

    def lbfgs_step(self) -> Call:
        """One step with the closure it calls: forward and backward of the lab's MLP, four times."""
        model, criterion = mlp(self.nn, (784, 600, 10)), self.nn.CrossEntropyLoss()
        optimizer = self.optim.LBFGS(model.parameters(), lr=1e-3, max_iter=4)
        images = self.torch.tensor(_random(BATCH, 784))
        labels = self.torch.tensor(_labels(BATCH))

        def closure() -> Any:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            return loss

        return lambda: optimizer.step(closure)

    def training(self, model: Any, images: Array) -> Call:
        """Forward, loss, backward, SGD with momentum."""
        criterion = self.nn.CrossEntropyLoss()
        optimizer = self.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        labels = _labels(len(images))
        step = self.backend.train_step
        return lambda: step(model, criterion, optimizer, images, labels, 1.0, Group())

    def program(self, name: str, sizes: dict[str, Any], batch: dict[str, Any]) -> Call:
        """A training step of one of ``experiments.programs``: forward, loss, backward, SGD."""
        program, torch = PROGRAMS[name], self.torch
        model = program.build(torch, torch.nn, torch.nn.functional, **sizes)
        values = program.batch(np.random.default_rng(0), **batch)
        tensors = {
            key: torch.from_numpy(value.astype(np.float32) if value.dtype.kind == "f" else value)
            for key, value in values.items()
        }
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

        def call() -> None:
            optimizer.zero_grad()
            program.loss(model, tensors, torch, torch.nn.functional).backward()
            optimizer.step()

        return call

    def array_training(self, model: Any, images: Array) -> Call:
        """README's loop on arrays; torch has none, so it is its usual one there."""
        if self.name == "torch":
            return self.training(model, images)
        model.needs_input_grad_(False)
        criterion = self.nn.CrossEntropyLoss()
        optimizer = self.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        labels = _labels(len(images))

        def call() -> None:
            optimizer.zero_grad()
            criterion(model(images), labels)
            model.backward(criterion.backward())
            optimizer.step()

        return call

    def inference(self, model: Any, images: Array) -> Call:
        model.eval()
        return lambda: self.backend.predict(model, images)


Workload = Callable[[World], Call]

GROWTH = {
    "batch, the CNN's training step": (1, 4, 16, 64, 256, 1024),
    "channels, Conv2d(c, c, 3) on 16x16, batch 32": (8, 16, 32, 64, 128),
    "image size, Conv2d(16, 16, 3), batch 16": (14, 28, 56, 112),
    "kernel size, Conv2d(32, 32, k) on 28x28, batch 16": (1, 3, 5, 7),
}


# name: (program, sizes of the model, sizes of the batch)
WHOLE: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "ResNet, 8x3x64x64": ("resnet", {"width": 16, "layers": (2, 2, 2, 2)}, {"size": 8}),
    "U-Net, 4x1x64x64": ("unet", {"width": 8, "depth": 3}, {"size": 4, "side": 64}),
    "LSTM cells, 100 steps": ("lstm_cell_loop", {"hidden": 32}, {"steps": 100, "size": 16}),
}


def _grown(axis: str, n: int) -> Workload:
    if axis.startswith("batch"):
        return lambda w: w.training(cnn(w.nn), _random(n, 1, 28, 28))
    if axis.startswith("channels"):
        constructor, shape = f"Conv2d({n}, {n}, 3, padding=1)", (32, n, 16, 16)
    elif axis.startswith("image"):
        constructor, shape = "Conv2d(16, 16, 3, padding=1)", (16, 16, n, n)
    else:
        constructor, shape = f"Conv2d(32, 32, {n}, padding={n // 2})", (16, 32, 28, 28)
    return _layer(constructor, shape)


def workloads() -> dict[str, Workload]:
    """Every workload that both backends have, by name."""
    found: dict[str, Workload] = {
        "MLP training step": lambda w: w.training(mlp(w.nn, (784, 600, 10)), _random(BATCH, 784)),
        "CNN training step": lambda w: w.training(cnn(w.nn), _random(BATCH, 1, 28, 28)),
        "64->64 convolution": lambda w: w.forward_backward(
            w.nn.Conv2d(64, 64, 3, padding=1), _random(32, 64, 32, 32)
        ),
        "MLP, one image": lambda w: w.inference(mlp(w.nn, (784, 600, 10)), _random(1, 784)),
        "CNN, one image": lambda w: w.inference(cnn(w.nn), _random(1, 1, 28, 28)),
        "CrossEntropyLoss": lambda w: w.loss(
            w.nn.CrossEntropyLoss(), _random(BATCH, 10), _labels(BATCH)
        ),
        "NLLLoss": lambda w: w.loss(w.nn.NLLLoss(), _random(BATCH, 10), _labels(BATCH)),
        "MSELoss": lambda w: w.loss(w.nn.MSELoss(), _random(BATCH, 784), _random(BATCH, 784)),
        "SGD": lambda w: w.optimizer_step(lambda p: w.optim.SGD(p, lr=1e-4, momentum=0.9)),
        "MomentGD": lambda w: w.optimizer_step(lambda p: w.optim.MomentGD(p, lr=1e-4)),
        "Adam": lambda w: w.optimizer_step(lambda p: w.optim.Adam(p, lr=1e-4)),
        "Adagrad": lambda w: w.optimizer_step(lambda p: w.optim.Adagrad(p, lr=1e-4)),
        "Muon": lambda w: w.optimizer_step(
            lambda p: w.optim.Muon([matrix for matrix in p if matrix.ndim == 2], lr=1e-4)
        ),
        "LBFGS": lambda w: w.lbfgs_step(),
        "SparseAdam": lambda w: w.sparse_step(),
        "SGD, 10M parameters": lambda w: w.large_step(
            lambda p: w.optim.SGD(p, lr=1e-4, momentum=0.9)
        ),
        "Adam, 10M parameters": lambda w: w.large_step(lambda p: w.optim.Adam(p, lr=1e-4)),
        **{name: _optimizer(name) for name in _BY_THEIR_RATE},
    }
    found |= {name: _program(*described) for name, described in WHOLE.items()}
    found["MLP training step, arrays"] = lambda w: w.array_training(
        mlp(w.nn, (784, 600, 10)), _random(BATCH, 784)
    )
    found |= {name: _layer(*described) for name, described in PARTS.items()}
    for axis, sizes in GROWTH.items():
        found |= {f"{axis}: {n}": _grown(axis, n) for n in sizes}
    return found


# those whose benchmark sets nothing but a rate
_BY_THEIR_RATE = (
    *("ASGD", "Adadelta", "Adafactor", "AdamW", "Adamax"),
    *("NAdam", "RAdam", "RMSprop", "Rprop"),
)


def _optimizer(name: str) -> Workload:
    return lambda w: w.optimizer_step(lambda p: getattr(w.optim, name)(p, lr=1e-4))


def _program(name: str, sizes: dict[str, Any], batch: dict[str, Any]) -> Workload:
    return lambda w: w.program(name, sizes, batch)


def _layer(constructor: str, *sources: Source) -> Workload:
    def make(world: World) -> Call:
        inputs = [source() if callable(source) else _random(*source) for source in sources]
        run = world.loss if constructor.split("(")[0].endswith("Loss") else world.forward_backward
        return run(eval(f"nn.{constructor}", {"nn": world.nn}), *inputs)

    return make


def floors() -> dict[str, Callable[[], Call]]:
    """The bare matrix products of a workload, all preallocated: what no code can go below."""

    def products(*shapes: tuple[int, int, int]) -> Call:
        arrays = [
            (_random(m, k), _random(k, n), np.empty((m, n), np.float32)) for m, k, n in shapes
        ]

        def call() -> None:
            for a, b, out in arrays:
                np.matmul(a, b, out=out)

        return call

    dense = [(BATCH, 128, 10), (10, BATCH, 128), (BATCH, 10, 128)]
    dense += [(BATCH, 1568, 128), (128, BATCH, 1568), (BATCH, 128, 1568)]
    first, second = BATCH * 784, BATCH * 196
    return {
        "MLP training step": lambda: products(
            (BATCH, 784, 600),
            (600, BATCH, 784),
            (BATCH, 600, 10),
            (10, BATCH, 600),
            (BATCH, 10, 600),
        ),
        "CNN training step": lambda: products(
            (first, 9, 16),
            (9, first, 16),
            (second, 144, 32),
            (144, second, 32),
            (second, 288, 16),
            *dense,
        ),
        "64->64 convolution": lambda: products(
            (32768, 576, 64), (576, 32768, 64), (32768, 576, 64)
        ),
    }


def scikit_learn_step() -> Call:
    """One batch through scikit-learn's MLPClassifier, of the same shape and optimizer."""
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(
        (600,), solver="sgd", batch_size=BATCH, learning_rate_init=0.01, nesterovs_momentum=False
    )
    images, labels = _random(BATCH, 784), _labels(BATCH)
    return lambda: model.partial_fit(images, labels, classes=range(10))


def memory_of_training(name: str, steps: int = 30) -> dict[str, float]:
    """Peak resident memory of a process that trains the CNN, in MiB, and after its imports."""
    world = World(name)
    imported = _peak_memory()
    call = world.training(cnn(world.nn), _random(BATCH, 1, 28, 28))
    for _ in range(steps):
        call()
    return {"imported": imported, "peak": _peak_memory()}


def _peak_memory() -> float:
    """Of this process, in MiB; getrusage would count the process that started it, too."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        import resource

        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def seconds_of(call: Call) -> float:
    """The mean duration over enough calls; the first ones, which warm up, are not counted."""
    call()
    started = time.perf_counter()
    call()
    once = time.perf_counter() - started
    count = max(1, int(_SECONDS / max(once, 1e-7)))
    started = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - started) / count


def serve(name: str) -> None:
    """Answer each line of standard input; workloads are built once and kept."""
    world, known, built = World(name), workloads(), {}
    for line in sys.stdin:
        wanted = line.strip()
        if wanted not in built:
            if wanted.startswith("floor: "):
                built[wanted] = floors()[wanted.removeprefix("floor: ")]()
            elif wanted == "scikit-learn":
                built[wanted] = scikit_learn_step()
            else:
                built[wanted] = known[wanted](world)
        print(json.dumps(seconds_of(built[wanted])), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "memory":
        print(json.dumps(memory_of_training(sys.argv[2])))
    else:
        serve(sys.argv[1])
