"""Averaged models, their BatchNorm statistics, and their schedule: torch's."""

import copy

import numpy as np
import pytest
import torch

import numpy_impl
import torch_ref
from numpy_impl import nn, optim
from numpy_impl.optim import swa_utils
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result
from torch_ref.convert import copy_weights, to_numpy, to_torch

WORLDS = pytest.mark.parametrize("ours", [True, False], ids=["ours", "torch's"])
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def models(dtype="float64", integers=True):
    """A model and its twin, with a frozen parameter and BatchNorm, which counts in integers."""
    pair = []
    for world, kind in ((nn, dtype), (torch.nn, DTYPES[dtype])):
        options = {"dtype": kind}
        pair.append(
            world.Sequential(
                world.Linear(4, 3, **options),
                world.BatchNorm1d(3, **options) if integers else world.Linear(3, 3, **options),
                world.Linear(3, 2, **options),
            )
        )
    pair[0].register_buffer("mean", np.arange(3.0).astype(dtype))
    pair[1].register_buffer("mean", torch.arange(3, dtype=DTYPES[dtype]))
    copy_weights(pair[0], pair[1])
    for model in pair:
        model[0].bias.requires_grad = False
    return pair


def move(model, twin, rng) -> None:
    """New values for every parameter and buffer, the same on both sides."""
    state = {
        key: np.array(value + 3 if value.dtype.kind == "i" else rng.standard_normal(value.shape))
        for key, value in model.state_dict().items()
    }
    model.load_state_dict(state)
    twin.load_state_dict({key: to_torch(value) for key, value in state.items()})


def custom(averaged, current, count):
    return 0.3 * averaged + 0.7 * current / (count + 1)


def in_place(averages, currents, count) -> None:
    for averaged, current in zip(averages, currents, strict=True):
        averaged.mul_(0.3).add_(current / (count + 1), alpha=0.7)


# what makes the arguments, and whether integer buffers can be averaged
FUNCTIONS = {
    "default": (lambda U: {}, True),
    "swa": (lambda U: {"avg_fn": U.get_swa_avg_fn()}, True),
    "swa of lists": (lambda U: {"multi_avg_fn": U.get_swa_multi_avg_fn()}, False),
    "ema": (lambda U: {"avg_fn": U.get_ema_avg_fn()}, True),
    "ema 0.7": (lambda U: {"avg_fn": U.get_ema_avg_fn(0.7)}, True),
    "ema of lists": (lambda U: {"multi_avg_fn": U.get_ema_multi_avg_fn()}, True),
    "ema of lists 0.7": (lambda U: {"multi_avg_fn": U.get_ema_multi_avg_fn(decay=0.7)}, True),
    "ema of lists 0.2": (lambda U: {"multi_avg_fn": U.get_ema_multi_avg_fn(0.2)}, True),
    "of one's own": (lambda U: {"avg_fn": custom}, True),
    "of one's own, of lists": (lambda U: {"multi_avg_fn": in_place}, False),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_averages_are_torch_s(name, use_buffers, dtype) -> None:
    arguments, averages_integers = FUNCTIONS[name]
    model, twin = models(dtype, averages_integers)
    averaged = swa_utils.AveragedModel(model, use_buffers=use_buffers, **arguments(swa_utils))
    twin_averaged = torch.optim.swa_utils.AveragedModel(
        twin, use_buffers=use_buffers, **arguments(torch.optim.swa_utils)
    )
    rng = np.random.default_rng(3)
    for _ in range(5):
        move(model, twin, rng)
        averaged.update_parameters(model)
        twin_averaged.update_parameters(twin)
        theirs = twin_averaged.state_dict()
        assert list(averaged.state_dict()) == list(theirs)
        for key, value in averaged.state_dict().items():
            result = Result(key, "step", value, to_numpy(theirs[key]))
            result.check(tolerance(dtype, "step"), name)


def test_integers_can_t_be_averaged_in_lists() -> None:
    for U in (swa_utils, torch.optim.swa_utils):
        model = models()[U is not swa_utils]
        fn = U.get_swa_multi_avg_fn()
        averaged = U.AveragedModel(model, multi_avg_fn=fn, use_buffers=True)
        averaged.update_parameters(model)
        with pytest.raises(RuntimeError, match="averaged_param_list" if U is swa_utils else None):
            averaged.update_parameters(model)


@pytest.mark.parametrize("share_of", ["a number", "a Tensor"])
def test_functions_by_themselves(share_of) -> None:
    """On arrays, with the count as a number; the average is updated, nothing else."""
    rng = np.random.default_rng(0)
    average, current = rng.standard_normal((2, 40))
    for make in ("get_swa_multi_avg_fn", "get_ema_multi_avg_fn"):
        ours, theirs = average.copy(), to_torch(average)
        count = 2 if share_of == "a number" else numpy_impl.tensor(2)
        twin_count = 2 if share_of == "a number" else torch.tensor(2)
        kept = current.copy()
        getattr(swa_utils, make)()([ours], [current], count)
        getattr(torch.optim.swa_utils, make)()([theirs], [to_torch(current)], twin_count)
        Result(make, "step", ours, to_numpy(theirs)).check(tolerance("float64", "step"))
        np.testing.assert_array_equal(current, kept)
    for make in ("get_swa_avg_fn", "get_ema_avg_fn"):
        ours = getattr(swa_utils, make)()(average, current, 2)
        theirs = getattr(torch.optim.swa_utils, make)()(to_torch(average), to_torch(current), 2)
        np.testing.assert_array_equal(ours, theirs.numpy())


def test_the_copy_is_a_module_of_its_own() -> None:
    model, twin = models()
    averaged, twin_averaged = (
        swa_utils.AveragedModel(model),
        torch.optim.swa_utils.AveragedModel(twin),
    )
    assert repr(averaged) == repr(twin_averaged)
    assert averaged.n_averaged.dtype == np.int64
    x = np.random.default_rng(1).standard_normal((5, 4))
    before = averaged.eval()(x)
    np.testing.assert_allclose(before, twin_averaged.eval()(to_torch(x)).detach(), rtol=1e-9)
    move(model, twin, np.random.default_rng(2))
    np.testing.assert_array_equal(averaged(x), before)
    # both ways of calling have gradients
    upstream = np.random.default_rng(2).standard_normal(before.shape)
    averaged(x)
    grad = averaged.backward(upstream)
    tensor = numpy_impl.tensor(x, requires_grad=True)
    averaged(tensor).backward(numpy_impl.tensor(upstream))
    np.testing.assert_allclose(tensor.grad, grad, rtol=1e-12)
    other = copy.deepcopy(averaged)
    other.load_state_dict({k: v + 1 for k, v in averaged.state_dict().items()})
    assert other.n_averaged == 1
    assert averaged.n_averaged == 0


def batches(rng, kind):
    arrays = [rng.standard_normal((6, 4)) for _ in range(4)]
    forms = {
        "arrays": (arrays, [to_torch(a) for a in arrays]),
        "tensors": ([numpy_impl.tensor(a) for a in arrays], [to_torch(a) for a in arrays]),
        "tuples": ([(a, 3) for a in arrays], [(to_torch(a), 3) for a in arrays]),
        "lists": ([[a] for a in arrays], [[to_torch(a)] for a in arrays]),
        "an iterator": (iter(arrays), map(to_torch, arrays)),
    }
    return forms[kind]


@pytest.mark.parametrize("kind", ["arrays", "tensors", "tuples", "lists", "an iterator"])
@pytest.mark.parametrize("training", [True, False])
def test_update_bn(kind, training) -> None:
    model, twin = models()
    rng = np.random.default_rng(5)
    move(model, twin, rng)
    model[1].momentum = twin[1].momentum = 0.3
    ours, theirs = batches(rng, kind)
    swa_utils.update_bn(ours, model.train(training), device="cpu")
    torch.optim.swa_utils.update_bn(theirs, twin.train(training), device="cpu")
    for key, value in model.state_dict().items():
        Result(key, "buffer", value, to_numpy(twin.state_dict()[key])).check(
            tolerance("float64", "buffer")
        )
    assert model[1].momentum == 0.3
    assert model[1].num_batches_tracked == 4
    assert all(module.training is training for module in model.modules())


def test_update_bn_leaves_others_alone() -> None:
    """InstanceNorm's statistics; and a model without BatchNorm is not even called."""
    model = nn.Sequential(nn.InstanceNorm1d(4, track_running_stats=True), nn.BatchNorm1d(4))
    model[0].running_mean += 7
    swa_utils.update_bn([np.ones((2, 4, 3), np.float32)], model)
    assert (model[0].running_mean > 5).all()
    assert model[0].momentum == 0.1

    class Never(nn.Module):
        def forward(self, input):
            raise AssertionError("called")

    swa_utils.update_bn([np.ones(3)], Never())
    with numpy_impl.enable_grad():
        model = nn.BatchNorm1d(2)
        swa_utils.update_bn([np.ones((2, 2), np.float32)], model)
        with pytest.raises(RuntimeError, match="without a forward"):
            model.backward(np.ones((2, 2), np.float32))


SWALRS = [
    "0.05",
    "0.5, anneal_epochs=20, anneal_strategy='linear'",
    "[0.05, 0.7], 7",
    "(0.05, 0.7), anneal_epochs=0",
    "swa_lr=0.01, anneal_epochs=1, anneal_strategy='linear'",
    "0.2, 0, 'linear'",
]


def schedule_of(ours: bool, args: str):
    """Two groups, a schedule that comes first, and SWALR."""
    module = optim if ours else torch_ref.optim
    params = [nn.Parameter(np.ones(1)) if ours else torch.nn.Parameter(torch.ones(1)) for _ in "12"]
    groups = [{"params": [params[0]], "lr": 0.3}, {"params": [params[1]]}]
    optimizer = module.SGD(groups, lr=0.1)
    first = module.lr_scheduler.ExponentialLR(optimizer, 0.9)
    swa = eval(
        f"SWALR(optimizer, {args})", {"SWALR": module.swa_utils.SWALR, "optimizer": optimizer}
    )
    return optimizer, first, swa


@pytest.mark.parametrize("args", SWALRS)
def test_rates_are_torch_s_bit_for_bit(args) -> None:
    """After another schedule, alone, and from a loaded state."""
    found = []
    for ours in (True, False):
        optimizer, first, swa = schedule_of(ours, args)
        rates = []
        for t in range(100):
            optimizer.step()
            (first if t < 9 else swa).step()
            rates.append([g["lr"] for g in optimizer.param_groups])
            if t == 15:
                state = swa.state_dict()
        other_optimizer, _, other = schedule_of(ours, "3.0")
        other.load_state_dict(state)
        other_optimizer.step()
        for _ in range(9):
            other.step()
            rates.append(other.get_last_lr())
        found.append((rates, state))
    assert found[0] == found[1]


@WORLDS
def test_wrong_use(ours) -> None:
    U = swa_utils if ours else torch.optim.swa_utils
    model = models()[not ours]
    optimizer, _, swa = schedule_of(ours, "0.1")

    def said(text):
        return text if ours else None

    with pytest.raises(AssertionError, match=said("must not both be given")):
        U.AveragedModel(model, avg_fn=custom, multi_avg_fn=in_place)
    for make in (U.get_ema_avg_fn, U.get_ema_multi_avg_fn):
        for decay in (-0.1, 1.1):
            with pytest.raises(ValueError, match=said(rf"decay must lie in \[0, 1\], got {decay}")):
                make(decay)
    with pytest.raises(ValueError, match=said("swa_lr must have one value for each of 2 groups")):
        U.SWALR(optimizer, [0.1])
    with pytest.raises(ValueError, match=said("anneal_strategy must be one of .* got 'cosine'")):
        U.SWALR(optimizer, 0.1, anneal_strategy="cosine")
    for epochs in (-1, 2.0):
        with pytest.raises(ValueError, match=said(f"anneal_epochs must be an .* got {epochs}")):
            U.SWALR(optimizer, 0.1, epochs)
    with pytest.warns(UserWarning, match="get_last_lr"):
        swa.get_lr()


def test_no_other_device_and_no_other_optimizer() -> None:
    model, _ = models()
    with pytest.raises(RuntimeError, match="device must be None or 'cpu', got 'cuda'"):
        swa_utils.AveragedModel(model, "cuda")
    with pytest.raises(RuntimeError, match="device must be None or 'cpu', got 'cuda'"):
        swa_utils.update_bn([], model, "cuda")
    with pytest.raises(TypeError, match="optimizer must be an Optimizer, got int"):
        swa_utils.SWALR(3, 0.1)
