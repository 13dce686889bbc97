"""The schedules: bit for bit torch's rates."""

import math
import warnings

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn, optim
from numpy_impl.optim import lr_scheduler
from parity_tests.optim.schedules import NOT_CONTINUED, SCHEDULES, Falling, driven

WORLDS = pytest.mark.parametrize("ours", [True, False], ids=["ours", "torch's"])
OF_ALL = pytest.mark.parametrize("case", SCHEDULES, ids=str)


def optimizer_of(ours: bool):
    if ours:
        return optim.SGD([nn.Parameter(np.ones(1))], lr=0.1)
    return torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)


@OF_ALL
def test_rates_are_torch_s_bit_for_bit(case) -> None:
    for result in case.measure("float64"):
        result.check(case.tolerance("float64", result), str(case))


@pytest.mark.parametrize(
    "case", [c for c in SCHEDULES if c.name not in NOT_CONTINUED or "Reduce" in c.name], ids=str
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_steps_to_an_epoch_are_torch_s_bit_for_bit(case) -> None:
    """Forward, back, to where it is, beyond the end, and plain steps from there."""
    jumps = [3, None, 10, 10, None, None, 2, 0, None, 41, 26, None, 27, 1000, None, 13, None]
    rates = []
    for ours in (True, False):
        optimizer, schedule = case.build(ours)
        metric = (1.0,) if case.name == "ReduceLROnPlateau" else ()
        found = []
        for epoch in jumps * 6:
            try:
                schedule.step(*metric, epoch)
            except ValueError:
                found.append(["ValueError"])
            found.append([schedule.last_epoch, *schedule.get_last_lr(), *driven(optimizer)])
        rates.append(found)
    assert rates[0] == rates[1]


@OF_ALL
def test_a_loaded_state_continues(case) -> None:
    optimizer, schedule = case.build(ours=True)
    for t in range(11):
        optimizer.step()
        case.step(schedule, t)
    other_optimizer, other = case.build(ours=True)
    other_optimizer.step()
    other.load_state_dict(schedule.state_dict())
    other_optimizer.load_state_dict(optimizer.state_dict())
    for t in range(30):
        case.step(schedule, t)
        case.step(other, t)
        assert schedule.get_last_lr() == other.get_last_lr()
        assert driven(optimizer) == driven(other_optimizer)


@OF_ALL
def test_states_are_torch_s(case) -> None:
    """Key by key after some steps; ours goes on from torch's, and torch's from ours."""
    (optimizer, schedule), (twin_optimizer, twin) = case.build(True), case.build(False)
    for t in range(1, 6):
        optimizer.step()
        twin_optimizer.step()
        case.step(schedule, t)
        case.step(twin, t)
    assert schedule.state_dict() == twin.state_dict()
    (optimizer, other), (twin_optimizer, other_twin) = case.build(True), case.build(False)
    other.load_state_dict(twin.state_dict())
    other_twin.load_state_dict(schedule.state_dict())
    assert other.state_dict() == other_twin.state_dict() == twin.state_dict()
    optimizer.step()
    twin_optimizer.step()
    for t in range(6, 60):
        case.step(other, t)
        case.step(other_twin, t)
        assert driven(optimizer) == driven(twin_optimizer)


def test_states_and_rates_are_copies() -> None:
    optimizer = optimizer_of(ours=True)
    schedule = lr_scheduler.MultiStepLR(optimizer, [1, 2])
    state = schedule.state_dict()
    state["base_lrs"][0] = state["milestones"][1] = 7
    schedule.get_last_lr()[0] = 7
    assert schedule.base_lrs == schedule.get_last_lr() == [0.1]
    assert schedule.milestones[1] == 1
    state = schedule.state_dict()
    schedule.load_state_dict(state)
    state["base_lrs"][0] = 7
    assert schedule.base_lrs == [0.1]


def warned(function) -> list[str]:
    """The kinds of warnings of a call, by words that ours and torch's have in common."""
    kinds = {
        "order": "optimizer.step()",
        "epoch": "epoch",
        "get_lr": "get_last_lr()",
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    for w in caught:
        assert w.category is UserWarning
        # ours point to the caller; torch's about get_lr to itself
        assert w.filename == __file__ or "torch" in w.filename
    return [
        next(kind for kind, word in kinds.items() if word in str(w.message).replace("`", ""))
        for w in caught
    ]


@WORLDS
def test_a_schedule_that_steps_first_is_warned_of_once(ours) -> None:
    module = lr_scheduler if ours else torch.optim.lr_scheduler
    optimizer = optimizer_of(ours)
    schedule = module.StepLR(optimizer, 3)
    assert warned(lambda: schedule.step()) == ["order"]
    assert warned(lambda: schedule.step()) == []
    # a step before the first schedule was made does not count, one before the second does
    optimizer = optimizer_of(ours)
    optimizer.step()
    schedule = module.StepLR(optimizer, 3)
    assert warned(lambda: schedule.step()) == ["order"]
    optimizer.step()
    other = module.ExponentialLR(optimizer, 0.9)
    assert warned(lambda: other.step()) == []
    # neither does a step that somebody else put in its place
    optimizer = optimizer_of(ours)
    schedule = module.StepLR(optimizer, 3)
    optimizer.step = lambda: None
    optimizer.step()
    assert warned(lambda: schedule.step()) == ["order"]


@WORLDS
def test_the_right_order_gives_no_warning(ours) -> None:
    module = lr_scheduler if ours else torch.optim.lr_scheduler
    optimizer = optimizer_of(ours)
    both = module.StepLR(optimizer, 3), module.ExponentialLR(optimizer, 0.9)
    optimizer.step(lambda: 1.0)
    for schedule in both:
        assert warned(lambda schedule=schedule: schedule.step()) == []

    class Mine(optim.Optimizer if ours else torch.optim.Optimizer):
        def step(self, closure=None) -> None:
            pass

    optimizer = Mine(optimizer.param_groups[0]["params"], {"lr": 0.1})
    schedule = module.StepLR(optimizer, 3)
    optimizer.step()
    assert warned(lambda: schedule.step()) == []


@WORLDS
def test_an_epoch_is_warned_of(ours) -> None:
    module = lr_scheduler if ours else torch.optim.lr_scheduler
    optimizer = optimizer_of(ours)
    schedule = module.StepLR(optimizer, 3)
    optimizer.step()
    assert warned(lambda: schedule.step(epoch=4)) == ["epoch"]
    assert warned(lambda: schedule.step(0)) == ["epoch"]


@WORLDS
@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("LambdaLR", [float]),
        ("MultiplicativeLR", [float]),
        ("StepLR", [1]),
        ("MultiStepLR", [[1]]),
        ("ConstantLR", []),
        ("LinearLR", []),
        ("ExponentialLR", [0.5]),
        ("PolynomialLR", []),
        ("CosineAnnealingLR", [9]),
        ("CosineAnnealingWarmRestarts", [9]),
        ("CyclicLR", [0.1, 1]),
        ("OneCycleLR", [0.1, 9]),
    ],
)
def test_get_lr_is_not_for_users(ours, name, argument) -> None:
    module = lr_scheduler if ours else torch.optim.lr_scheduler
    schedule = getattr(module, name)(optimizer_of(ours), *argument)
    assert "get_lr" in warned(lambda: schedule.get_lr())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_schedule_without_a_closed_form_goes_by_its_steps() -> None:
    found = []
    for ours in (True, False):

        class Mine((lr_scheduler if ours else torch.optim.lr_scheduler).LRScheduler):
            def get_lr(self):
                return [g["lr"] * (1 + self.last_epoch) for g in self.optimizer.param_groups]

        schedule = Mine(optimizer_of(ours))
        rates = []
        for epoch in (None, 5, 2, None):
            schedule.step(epoch)
            rates.append(schedule.get_last_lr())
        found.append(rates)
    assert found[0] == found[1]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_resumed_cosine_s_first_rates() -> None:
    """get_lr before the first step: torch's closed form."""
    found = []
    for module in (optim, torch.optim):
        optimizer = optimizer_of(module is optim)
        optimizer.param_groups[0]["initial_lr"] = 0.3
        schedule = module.lr_scheduler.CosineAnnealingLR(optimizer, 9, last_epoch=4)
        found.append(schedule.get_lr())
    assert found[0] == found[1]


def test_functions_stay_and_objects_are_saved() -> None:
    """A state dict has nothing of functions, and the attributes of objects."""
    for name, argument in (("LambdaLR", Falling(0.2)), ("MultiplicativeLR", Falling(0.2))):
        make = getattr(lr_scheduler, name)
        state = make(optimizer_of(ours=True), argument).state_dict()
        assert state["lr_lambdas"] == [{"rate": 0.2}]
        other = Falling(0.7)
        schedule = make(optimizer_of(ours=True), other)
        schedule.load_state_dict(state)
        assert other.rate == 0.2
        assert schedule.lr_lambdas == [other]
        assert make(optimizer_of(ours=True), math.sqrt).state_dict()["lr_lambdas"] == [None]
    cyclic = [
        lr_scheduler.CyclicLR(
            optimizer_of(ours=True), 0.1, 1, scale_fn=Falling(rate), cycle_momentum=False
        )
        for rate in (0.2, 0.7)
    ]
    cyclic[1].load_state_dict(cyclic[0].state_dict())
    assert cyclic[1]._scale_fn_custom.rate == 0.2


@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_rates_that_are_arrays_are_written_into(kind) -> None:
    """As torch does with Tensors; what get_last_lr and initial_lr hold stays as it is."""
    rate = np.array(0.5) if kind == "array" else numpy_impl.tensor(0.5, dtype=np.float64)
    optimizer = optim.SGD([nn.Parameter(np.ones(1))], lr=rate)
    twin_rate = torch.tensor(0.5, dtype=torch.float64)
    twin_optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=twin_rate)
    schedule = lr_scheduler.CosineAnnealingLR(optimizer, 5)
    twin = torch.optim.lr_scheduler.CosineAnnealingLR(twin_optimizer, 5)
    first = schedule.get_last_lr()
    for _ in range(9):
        for thing in (optimizer, schedule, twin_optimizer, twin):
            thing.step()
        assert float(rate) == float(twin_rate)
        assert float(schedule.get_last_lr()[0]) == float(rate)
    assert optimizer.param_groups[0]["lr"] is rate
    last = float(rate)
    (rate if kind == "array" else rate.data).fill(7)
    assert float(schedule.get_last_lr()[0]) == last
    assert float(first[0]) == 0.5 == float(optimizer.param_groups[0]["initial_lr"])


@WORLDS
def test_a_plateau_with_a_group_added_since(ours) -> None:
    module = lr_scheduler if ours else torch.optim.lr_scheduler
    parameter = nn.Parameter(np.ones(1)) if ours else torch.nn.Parameter(torch.ones(1))
    for min_lr in (0.01, [0.01]):
        optimizer = optimizer_of(ours)
        schedule = module.ReduceLROnPlateau(optimizer, patience=0, min_lr=min_lr)
        optimizer.add_param_group({"params": [parameter], "lr": 0.5})
        schedule.step(1.0)
        if min_lr == [0.01]:
            with pytest.raises(RuntimeError, match="min_lrs"):
                schedule.step(1.0)
        else:
            schedule.step(1.0)
            assert schedule.get_last_lr() == [0.1 * 0.1, 0.5 * 0.1]


@WORLDS
def test_one_cycle_ends(ours) -> None:
    module = lr_scheduler if ours else torch.optim.lr_scheduler
    optimizer = optimizer_of(ours)
    schedule = module.OneCycleLR(optimizer, 0.1, 3, pct_start=0.5, cycle_momentum=False)
    optimizer.step()
    for _ in range(3):
        schedule.step()
    with pytest.raises(ValueError, match="3"):
        schedule.step()


class Plain(optim.Optimizer):
    """An optimizer without momentum."""

    def __init__(self, params) -> None:
        super().__init__(params, {"lr": 0.1})


class TorchPlain(torch.optim.Optimizer):
    """The same for torch."""

    def __init__(self, params) -> None:
        super().__init__(params, {"lr": 0.1})


WRONG = [
    ("StepLR", "3, 1", TypeError, "optimizer must be an Optimizer, got int"),
    ("LambdaLR", "opt, [len, len]", ValueError, "lr_lambda must have one .* 1 groups, got 2"),
    ("MultiplicativeLR", "opt, []", ValueError, "lr_lambda must have one .* 1 groups, got 0"),
    ("LambdaLR", "opt, 3", TypeError, "lr_lambda must be a function, got int"),
    ("MultiplicativeLR", "opt, [3]", TypeError, "lr_lambda must be a function, got int"),
    ("ConstantLR", "opt, 1.5", ValueError, r"factor must lie in \[0, 1\], got 1.5"),
    ("ConstantLR", "opt, -0.1", ValueError, r"factor must lie in \[0, 1\], got -0.1"),
    ("LinearLR", "opt, 0", ValueError, r"start_factor must lie in \(0, 1\], got 0"),
    ("LinearLR", "opt, 1.1", ValueError, r"start_factor must lie in \(0, 1\], got 1.1"),
    ("LinearLR", "opt, 1, -1", ValueError, r"end_factor must lie in \[0, 1\], got -1"),
    ("LinearLR", "opt, 1, 2", ValueError, r"end_factor must lie in \[0, 1\], got 2"),
    ("CosineAnnealingWarmRestarts", "opt, 0", ValueError, "T_0 must be a positive .* got 0"),
    ("CosineAnnealingWarmRestarts", "opt, 2.0", ValueError, "T_0 must be a positive .* got 2.0"),
    ("CosineAnnealingWarmRestarts", "opt, 2, 0", ValueError, "T_mult must be a positive .* got 0"),
    ("CosineAnnealingWarmRestarts", "opt, 2, 1, '0'", ValueError, "eta_min must be a number"),
    ("CosineAnnealingWarmRestarts", "opt, 2).step(-1", ValueError, "epoch must not be .* got -1"),
    ("CyclicLR", "3, 0.1, 1", TypeError, "optimizer must be an Optimizer, got int"),
    ("CyclicLR", "opt, 0.1, 1, mode='up'", ValueError, "mode must be one of .* got 'up'"),
    ("CyclicLR", "opt, [0.1, 1], 1", ValueError, "base_lr must have one .* 1 groups, got 2"),
    ("CyclicLR", "opt, 0.1, ()", ValueError, "max_lr must have one .* 1 groups, got 0"),
    ("CyclicLR", "plain, 0.1, 1", ValueError, "cycle_momentum needs .* got (Torch)?Plain"),
    ("OneCycleLR", "3, 0.1, 9", TypeError, "optimizer must be an Optimizer, got int"),
    ("OneCycleLR", "opt, 0.1", ValueError, "total_steps, or epochs and .* must be given"),
    ("OneCycleLR", "opt, 0.1, epochs=3", ValueError, "epochs=3, steps_per_epoch=None"),
    ("OneCycleLR", "opt, 0.1, 0", ValueError, "total_steps must be a positive .* got 0"),
    ("OneCycleLR", "opt, 0.1, 9.0", ValueError, "total_steps must be a positive .* got 9.0"),
    ("OneCycleLR", "opt, 0.1, None, 0, 1", ValueError, "epochs must be a positive .* got 0"),
    ("OneCycleLR", "opt, 0.1, None, 1, 0", ValueError, "steps_per_epoch must be a positive"),
    ("OneCycleLR", "opt, 0.1, 9, pct_start=2.0", ValueError, "pct_start must be .* got 2.0"),
    ("OneCycleLR", "opt, 0.1, 9, pct_start=1", ValueError, "pct_start must be a float .* got 1"),
    ("OneCycleLR", "opt, 0.1, 9, anneal_strategy=1", ValueError, "anneal_strategy .* got 1"),
    ("OneCycleLR", "opt, [0.1, 1], 9", ValueError, "max_lr must have one .* 1 groups, got 2"),
    ("OneCycleLR", "plain, 0.1, 9", ValueError, "cycle_momentum needs .* got (Torch)?Plain"),
    ("ReduceLROnPlateau", "3", TypeError, "optimizer must be an Optimizer, got int"),
    ("ReduceLROnPlateau", "opt, factor=1.0", ValueError, "factor must be below 1, got 1.0"),
    ("ReduceLROnPlateau", "opt, 'best'", ValueError, "mode must be one of .* got 'best'"),
    ("ReduceLROnPlateau", "opt, threshold_mode='x'", ValueError, "threshold_mode must be .*'x'"),
    ("ReduceLROnPlateau", "opt, min_lr=[1, 2]", ValueError, "min_lr must have .* got 2"),
    ("ReduceLROnPlateau", "opt).step(1).get_lr(", AttributeError, "NoneType"),
    ("ReduceLROnPlateau", "opt).get_lr(", NotImplementedError, "ReduceLROnPlateau has no get_lr"),
    ("SequentialLR", "opt, [], []", ValueError, "schedulers must hold at least one .* got none"),
    ("SequentialLR", "opt, [step], [3]", ValueError, "milestones must be one less .* 1 .* got 1"),
    ("SequentialLR", "opt, [3], []", TypeError, r"schedulers\[0\] must be one, got int"),
    ("SequentialLR", "opt, [plateau], []", ValueError, "got a ReduceLROnPlateau"),
    ("SequentialLR", "plain, [step], []", ValueError, r"got another in schedulers\[0\]"),
    ("ChainedScheduler", "[]", ValueError, "schedulers must hold at least one .* got none"),
    ("ChainedScheduler", "[3], opt", TypeError, r"schedulers\[0\] must be one, got int"),
    ("ChainedScheduler", "[plateau]", ValueError, "got a ReduceLROnPlateau"),
    ("ChainedScheduler", "[step, other]", ValueError, r"got another in schedulers\[1\]"),
    ("ChainedScheduler", "[step]).step(3", TypeError, "positional argument"),
    ("SequentialLR", "opt, [step], []).step(3", TypeError, "positional argument"),
    ("LRScheduler", "opt", NotImplementedError, "LRScheduler has no get_lr"),
    ("StepLR", "opt, 1, last_epoch=3", KeyError, "needs initial_lr"),
]


@pytest.mark.parametrize(("name", "args", "error", "message"), WRONG)
def test_wrong_use(name, args, error, message) -> None:
    """Refused with torch's kind of error."""
    for ours in (True, False):
        module = lr_scheduler if ours else torch.optim.lr_scheduler
        opt, other = optimizer_of(ours), optimizer_of(ours)
        names = {
            "opt": opt,
            "plain": (Plain if ours else TorchPlain)(opt.param_groups[0]["params"]),
            "make": getattr(module, name),
        }
        if "step]" in args or "step," in args:
            names["step"] = module.StepLR(opt, 1)
            names["other"] = module.StepLR(other, 1)
        if "plateau" in args:
            names["plateau"] = module.ReduceLROnPlateau(opt)
        with pytest.raises(error, match=message if ours else None):
            eval(f"make({args})", names)
