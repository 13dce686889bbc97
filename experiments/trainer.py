"""The training run, written once for both backends."""

import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments import own_model
from experiments.augment import augment
from experiments.config import Config
from experiments.data import Dataset, split, to_float
from experiments.distributed import Group, share_model
from experiments.errors import NotFinite
from experiments.flags import ways_out
from experiments.models import cnn, cnn3, gpt, gpt_init, lab_init, mlp, row_lstm
from experiments.own_name import is_own

Array = np.ndarray
_EVALUATION_BATCH = 500


@dataclass
class State:
    """Everything that a resumed run needs, in one place; plain values and arrays."""

    epoch: int = 0
    step: int = 0
    weights: dict[str, Array] = field(default_factory=dict)
    optimizer: Any = None
    scheduler: Any = None
    rng: Array | None = None
    best_loss: float = math.inf
    bad_epochs: int = 0
    best_accuracy: float = -1.0
    best_epoch: int = 0
    best_weights: dict[str, Array] = field(default_factory=dict)
    stopped_early: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Callbacks:
    """What the caller hears of a run as it goes."""

    on_step: Callable[[int, int, float, float], None] = lambda *_: None
    on_epoch: Callable[[dict[str, Any]], None] = lambda _: None
    on_warning: Callable[[str], None] = lambda _: None
    on_checkpoint: Callable[[State, bool], None] = lambda *_: None


def build_model(config: Config, backend: Any, data: Dataset) -> Any:
    """The configuration's network with its initial values, drawn in its own precision."""
    nn, size, classes = backend.nn, data.train_images.shape[1:], data.classes
    if is_own(config.model):
        return own_model.build(config.model, nn, size, classes, config.dtype)
    width, dropout = config.hidden[0], config.dropout
    if config.model == "mlp":
        model = mlp(nn, (math.prod(size), *config.hidden, classes), dropout, config.activation)
    elif config.model == "gpt":
        tied = config.head == "tied"
        model = gpt(nn, classes, size[0], width, config.layers, config.heads, dropout, tied)
    elif config.model == "cnn":
        model = cnn(nn, size, classes, width, dropout, config.batch_norm)
    else:
        build = cnn3 if config.model == "cnn3" else row_lstm
        model = build(nn, size, classes, width, dropout)
    model = model.double() if config.dtype == "float64" else model
    if config.model in ("mlp", "cnn"):
        lab_init(nn, model, config.init_scale)
    elif config.model == "gpt":
        gpt_init(nn, model)
    return model


def build_optimizer(config: Config, backend: Any, model: Any) -> Any:
    """The configuration's optimizer over all parameters."""
    optim, parameters = backend.optim, model.parameters()
    if config.optimizer == "momentgd":
        return optim.MomentGD(
            parameters, config.lr, config.momentum, config.lr_decay, config.mu_decay
        )
    if config.optimizer == "adam":
        return optim.Adam(
            parameters,
            lr=config.lr,
            betas=(config.momentum, 0.999),
            weight_decay=config.weight_decay,
        )
    return optim.SGD(
        parameters, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay
    )


def build_scheduler(config: Config, backend: Any, optimizer: Any, steps: int) -> Any:
    """The configuration's schedule, one step an iteration; None for a constant rate."""
    schedules = backend.optim.lr_scheduler
    if config.scheduler == "step":
        return schedules.StepLR(optimizer, config.step_size, config.gamma)
    if config.scheduler == "multistep":
        return schedules.MultiStepLR(optimizer, list(config.milestones), config.gamma)
    if config.scheduler == "exponential":
        return schedules.ExponentialLR(optimizer, config.gamma)
    if config.scheduler == "cosine":
        return schedules.CosineAnnealingLR(optimizer, steps)
    return None


def accuracy(logits: Array, labels: Array) -> float:
    """The share of labels (N, ...) at which the largest of the logits (N, C, ...) stands."""
    return float(np.mean(logits.argmax(1) == labels))


def mean_cross_entropy(logits: Array, labels: Array) -> float:
    """In float64, the same for both backends: the yardstick is not under test."""
    z = logits.astype(np.float64)
    z -= z.max(1, keepdims=True)
    chosen = np.take_along_axis(z, labels[:, None], 1)[:, 0]
    return float(np.mean(np.log(np.exp(z).sum(1)) - chosen))


class Trainer:
    """One run: the model, its data, and the state that moves.

    Args:
        config: what to run.
        backend: from ``experiments.backend``.
        data: the data set.
        callbacks: who hears of it.
        group: the processes that share the run; None for this one alone.
    """

    def __init__(
        self,
        config: Config,
        backend: Any,
        data: Dataset,
        callbacks: Callbacks | None = None,
        group: Group | None = None,
    ) -> None:
        self.config, self.backend, self.data = config, backend, data
        self.group = group or Group()
        self.callbacks = callbacks or Callbacks()
        backend.manual_seed(config.seed)
        train, dev = split(data, backend.randperm(len(data.train_images)))
        self.train = self._train_images, self._train_labels = train
        self._dev_images, self._dev_labels = dev
        self.steps_per_epoch = -(-len(self._train_images) // config.batch_size)
        self.total_steps = self.steps_per_epoch * config.epochs
        self.model = share_model(backend.nn, build_model(config, backend, data), self.group)
        self.criterion = backend.nn.CrossEntropyLoss()
        self.optimizer = build_optimizer(config, backend, self.model)
        self.scheduler = build_scheduler(config, backend, self.optimizer, self.total_steps)
        self.state = State()
        self._movement = self._watch()

    def _watch(self) -> "_Movement":
        learnt = {name for name, _ in self.model.named_parameters()}
        return _Movement(self.backend.arrays(self.model), learnt)

    def images(self, raw: Array) -> Array:
        """Pixels, or symbols, as the model takes them."""
        if self.data.symbols:
            return raw.astype(np.int64)
        flat = self.config.model == "mlp"
        return to_float(raw, self.data.scale, np.dtype(self.config.dtype), flat=flat)

    def training_images(self, raw: Array) -> Array:
        """The same, transformed anew each time if the configuration says so."""
        images, transformations = self.images(raw), self.config.transformations
        if self.data.symbols or not transformations:
            return images
        changed = augment(images.reshape(raw.shape), self.backend.uniform, **transformations)
        return changed.reshape(images.shape)

    def predict(self, raw: Array) -> Array:
        """The logits of raw images, in evaluation mode."""
        self.model.eval()
        starts = range(0, len(raw), _EVALUATION_BATCH)
        own = starts[self.group.part(len(starts))]
        logits = [
            self.backend.predict(self.model, self.images(raw[i : i + _EVALUATION_BATCH]))
            for i in own or range(len(raw), len(raw) + 1)
        ]
        self.model.train()
        return self.group.joined(np.concatenate(logits), own.start, len(raw))

    def step(self, images: Array, labels: Array) -> tuple[float, float]:
        """One step with a batch, shared out: its mean loss, and the share that was right."""
        own = self.group.share(len(images))
        weight, images, labels = len(images[own]) / len(images), images[own], labels[own]
        loss, logits = self.backend.train_step(
            self.model, self.criterion, self.optimizer, images, labels, weight, self.group
        )
        right = weight * accuracy(logits, labels) if weight else 0.0
        loss, right = self.group.sum(np.array([loss, right])).tolist()
        return loss, right

    def resume(self, state: State) -> None:
        """Go on from a state that an earlier run handed to ``on_checkpoint``."""
        self.state = state
        self.backend.load_arrays(self.model, state.weights)
        self.backend.load_optimizer_state(self.optimizer, state.optimizer)
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state.scheduler)
        assert state.rng is not None
        self.backend.set_rng_state(state.rng)
        self._movement = self._watch()

    def run(self) -> State:
        """Train to the end (or to the early stop) and return the state.

        Raises:
            NotFinite: if a loss, a weight or a gradient is not; the message says what, at which
                step, and what to try. Weights that hold such a value never reach a callback.
        """
        self._agree()
        while self.state.epoch < self.config.epochs and not self.state.stopped_early:
            started = time.perf_counter()
            self._epoch()
            self.state.seconds += time.perf_counter() - started
            self._capture()
            improved = self.state.best_epoch == self.state.epoch
            self.callbacks.on_checkpoint(self.state, improved)
        return self.state

    def _epoch(self) -> None:
        state, config, batch = self.state, self.config, self.config.batch_size
        self.model.train()
        before = {name: array.copy() for name, array in self.backend.arrays(self.model).items()}
        order = self.backend.randperm(len(self._train_images))
        evaluate_at = {
            round(self.steps_per_epoch * (i + 1) / config.evaluations)
            for i in range(config.evaluations)
        }
        losses = []
        for i in range(self.steps_per_epoch):
            chosen = order[i * batch : (i + 1) * batch]
            images = self.training_images(self._train_images[chosen])
            loss, share = self.step(images, self._train_labels[chosen])
            lr = self.optimizer.param_groups[0]["lr"]
            if self.scheduler is not None:
                self.scheduler.step()
            state.step += 1
            if not math.isfinite(loss):
                raise self._not_finite(f"the loss is {loss}", lr)
            # a sample of the weights, which the loss does not always show; all at an evaluation
            moved = self._movement.moved()
            if not self._movement.is_finite() or i + 1 in evaluate_at:
                self._check_arrays(lr)
            losses.append(loss)
            state.history.append(
                {"kind": "train", "step": state.step, "loss": loss, "accuracy": share, "lr": lr}
            )
            if not moved:
                self.callbacks.on_warning(
                    f"step {state.step} moved no parameter: learning rate {lr:g}, "
                    f"{self._movement.gradients(self.model)}; nothing is being learnt"
                )
            self.callbacks.on_step(state.step, self.total_steps, loss, share)
            if i + 1 in evaluate_at:
                self._evaluate(lr)
        state.epoch += 1
        self._close_epoch(before, losses)

    def _evaluate(self, lr: float) -> None:
        logits = self.predict(self._dev_images)
        loss = mean_cross_entropy(logits, self._dev_labels)
        if not math.isfinite(loss):
            raise self._not_finite(f"the dev loss is {loss}, of finite weights", lr)
        share = accuracy(logits, self._dev_labels)
        self.state.history.append(
            {"kind": "dev", "step": self.state.step, "loss": loss, "accuracy": share}
        )

    def _check_arrays(self, lr: float) -> None:
        """Raise NotFinite if any weight, or gradient of the last step, is not."""
        found = {
            f"the gradient of {name}": np.asarray(parameter.grad)
            for name, parameter in self.model.named_parameters()
            if parameter.grad is not None
        }
        bad = [
            f"{name} ({bad} of {array.size} values)"
            for name, array in {**found, **self.backend.arrays(self.model)}.items()
            if (bad := array.size - np.count_nonzero(np.isfinite(array)))
        ]
        if bad:
            raise self._not_finite(f"NaN or infinity in {', '.join(bad)}", lr)

    def _not_finite(self, what: str, lr: float) -> NotFinite:
        return NotFinite(
            f"{what} at step {self.state.step} (epoch {self.state.epoch + 1}, learning rate "
            f"{lr:g}): {ways_out(self.config, overflow=True)}"
        )

    def _close_epoch(self, before: dict[str, Array], losses: Sequence[float]) -> None:
        state, config = self.state, self.config
        dev = state.history[-1]
        after = self.backend.arrays(self.model)
        still = [name for name, array in after.items() if np.array_equal(array, before[name])]
        if still:
            self.callbacks.on_warning(
                f"epoch {state.epoch} left {', '.join(still)} exactly as it was"
            )
        if dev["accuracy"] > state.best_accuracy:
            state.best_accuracy, state.best_epoch = dev["accuracy"], state.epoch
            state.best_weights = {name: array.copy() for name, array in after.items()}
        if dev["loss"] < state.best_loss - config.min_delta:
            state.best_loss, state.bad_epochs = dev["loss"], 0
        else:
            state.bad_epochs += 1
        state.stopped_early = bool(config.patience) and state.bad_epochs >= config.patience
        record = {
            "kind": "epoch",
            "epoch": state.epoch,
            "step": state.step,
            "train_loss": math.fsum(losses) / len(losses),
            "dev_loss": dev["loss"],
            "dev_accuracy": dev["accuracy"],
            "weights": {
                name: [float(array.min()), float(array.max())] for name, array in after.items()
            },
        }
        state.history.append(record)
        self.callbacks.on_epoch(record)

    def _capture(self) -> None:
        state = self.state
        state.weights = {n: a.copy() for n, a in self.backend.arrays(self.model).items()}
        state.optimizer = self.backend.optimizer_state(self.optimizer)
        state.scheduler = None if self.scheduler is None else self.scheduler.state_dict()
        state.rng = self.backend.get_rng_state()
        self._agree()

    def _agree(self) -> None:
        """See that all processes stand at the same place with the same weights."""
        self.group.agree("weights", self.backend.arrays(self.model).values())
        self.group.agree("random numbers", [self.backend.get_rng_state(), str(self.state.epoch)])


class _Movement:
    """Whether the last step moved any parameter, and left all finite, found out cheaply.

    A sample of every array is looked at after each step. Only when none of it moved are whole
    copies kept over the next step, so that silence about a dead update is impossible and a
    sample's chance stillness raises no alarm.
    """

    def __init__(self, arrays: dict[str, Array], learnt: Collection[str]) -> None:
        self._arrays, self._learnt = arrays, learnt  # the others, statistics, always move
        self._samples = {name: self._sample(array) for name, array in arrays.items()}
        self._whole: dict[str, Array] | None = None

    @staticmethod
    def _sample(array: Array) -> Array:
        return array[(slice(-2, None),) * array.ndim].copy()

    def moved(self) -> bool:
        samples = {name: self._sample(array) for name, array in self._arrays.items()}
        still = all(np.array_equal(samples[name], self._samples[name]) for name in self._learnt)
        self._samples = samples
        if not still:
            self._whole = None
            return True
        previous, self._whole = self._whole, {n: a.copy() for n, a in self._arrays.items()}
        if previous is None:
            return True
        return any(not np.array_equal(previous[n], self._arrays[n]) for n in self._learnt)

    def is_finite(self) -> bool:
        """Whether the samples hold neither NaN nor infinity."""
        return bool(np.isfinite(np.concatenate(list(self._samples.values()), axis=None)).all())

    @staticmethod
    def gradients(model: Any) -> str:
        grads = [parameter.grad for parameter in model.parameters()]
        if all(grad is None for grad in grads):
            return "no parameter has a gradient (was backward called?)"
        largest = max(float(abs(grad).max()) for grad in grads if grad is not None)
        return f"largest gradient {largest:.3g}"
