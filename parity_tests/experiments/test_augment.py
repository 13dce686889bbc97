"""Transformed images: beside torchvision's, bit for bit in both backends, and through a run."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments import augment, checkpoint
from experiments.backend import NumpyBackend, TorchBackend
from experiments.config import Config, resolve
from experiments.data import load
from experiments.errors import UserError
from experiments.models import cnn3
from experiments.recipes import TRANSFORMED
from experiments.trainer import Callbacks, Trainer
from parity_tests.experiments.calls import QUICK, call, refusal, result, start
from torch_ref.vision import import_torchvision

Array = np.ndarray
BACKENDS = {"numpy": NumpyBackend, "torch": TorchBackend}
transforms = import_torchvision().transforms
FLAGS = ["--rotate", "10", "--shift", "1", "--scale", "0.9", "1.1", "--shear", "8"]
FLAGS += ["--elastic", "30", "4"]


def images(*shape: int, dtype: str = "float32", seed: int = 0) -> Array:
    return np.random.RandomState(seed).rand(*shape).astype(dtype)


def seeded(name: str, seed: int) -> Any:
    backend = BACKENDS[name]()
    backend.manual_seed(seed)
    return backend


def check(ours: Array, theirs: Array, places: Array | None) -> None:
    """To 1e-5; where the nearest pixel was asked for, ``places`` (2, HW), but for ties: which of
    two pixels is nearer is there a matter of the last bit of a float32 place."""
    np.testing.assert_array_equal(ours.dtype, theirs.dtype)
    apart = np.abs(ours - theirs)
    if places is not None:
        height, width = ours.shape[1:]
        middle = np.array([[width], [height]]) / 2  # pixels change at whole numbers from a corner
        tied = (np.abs((places + middle + 0.5) % 1 - 0.5) < 1e-4).any(0)
        apart[:, tied.reshape(height, width)] = 0
    assert apart.max() <= 1e-5


def seen(monkeypatch: pytest.MonkeyPatch) -> list[Array]:
    """The places that are read from then on."""
    found: list[Array] = []
    read = augment.read

    def noting(images: Array, places: Array, nearest: bool = False) -> Array:
        found.append(places[0])
        return read(images, places, nearest)

    monkeypatch.setattr(augment, "read", noting)
    return found


def ordered(low: float, high: float) -> st.SearchStrategy[tuple[float, float]]:
    number = st.floats(low, high, width=32)
    return st.tuples(number, number).map(lambda pair: (min(pair), max(pair)))


sides = st.tuples(st.integers(1, 3), st.integers(2, 30), st.integers(2, 30))
modes = st.sampled_from(["nearest", "bilinear"])
affine = {
    "degrees": ordered(-180, 180),
    "translate": st.none() | st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)),
    "scale": st.none() | ordered(0.5, 2),
    "shear": st.none()
    | ordered(-40, 40)
    | st.tuples(ordered(-40, 40), ordered(-40, 40)).map(lambda pairs: (*pairs[0], *pairs[1])),
    "fill": st.sampled_from([0.0, 0.5, 1.0]),
    "center": st.none() | st.tuples(st.floats(0, 28), st.floats(0, 28)),
}


@pytest.mark.parametrize("name", BACKENDS)
@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries(affine), sides, modes, st.integers(0, 2**32))
def test_random_affine_is_torchvision_s(name, options, shape, mode, seed) -> None:
    image = images(*shape)
    ours = seeded(name, seed)
    with pytest.MonkeyPatch.context() as patch:
        places = seen(patch)
        found = augment.random_affine(image, ours.uniform, interpolation=mode, **options)
    state = ours.get_rng_state()
    torch.manual_seed(seed)
    module = transforms.RandomAffine(interpolation=transforms.InterpolationMode(mode), **options)
    expected = module(torch.from_numpy(image)).numpy()
    check(found, expected, places[0] if mode == "nearest" else None)
    np.testing.assert_array_equal(state, torch.get_rng_state().numpy())  # not a draw more or less


pairs = {
    # further than about a width torch's float32 places are themselves off by 1e-5
    "alpha": st.tuples(st.floats(0, 40), st.floats(0, 40)),
    "sigma": st.floats(0.2, 6.5).flatmap(lambda s: st.tuples(st.just(s), st.floats(0.2, 6.5)))
    | st.just((0.0, 0.0)),
    "fill": st.sampled_from([0.0, 0.5, 1.0]),
}


@pytest.mark.parametrize("name", BACKENDS)
@settings(max_examples=100, deadline=None)
@given(st.fixed_dictionaries(pairs), st.integers(29, 32), modes, st.integers(0, 2**32))
def test_elastic_transform_is_torchvision_s(name, options, side, mode, seed) -> None:
    image = images(2, side, side - 1)
    ours = seeded(name, seed)
    with pytest.MonkeyPatch.context() as patch:
        places = seen(patch)
        found = augment.elastic_transform(image, ours.uniform, interpolation=mode, **options)
    state = ours.get_rng_state()
    torch.manual_seed(seed)
    lists = {
        key: list(value) if isinstance(value, tuple) else value for key, value in options.items()
    }
    module = transforms.ElasticTransform(interpolation=transforms.InterpolationMode(mode), **lists)
    expected = module(torch.from_numpy(image)).numpy()
    check(found, expected, places[0] if mode == "nearest" else None)
    np.testing.assert_array_equal(state, torch.get_rng_state().numpy())


def test_a_fill_of_none_is_not_a_fill_of_0() -> None:
    """At the edge of what was inside, 0 weighs a value a second time."""
    image, fixed = images(1, 12, 12) + 1, {"degrees": (30, 30), "interpolation": "bilinear"}
    uniform = NumpyBackend().uniform
    found = {f: augment.random_affine(image, uniform, fill=f, **fixed) for f in (None, 0.0)}
    for fill, ours in found.items():
        theirs = transforms.functional.affine(
            torch.from_numpy(image),
            30.0,
            [0, 0],
            1.0,
            [0.0, 0.0],
            transforms.InterpolationMode.BILINEAR,
            fill,
        )
        check(ours, theirs.numpy(), None)
    assert np.abs(found[None] - found[0.0]).max() > 0.1


@pytest.mark.parametrize("elastic", [(0.0, 4.0), (40.0, 3.0)], ids=["affine", "elastic"])
@pytest.mark.parametrize(("height", "width"), [(28, 28), (9, 14)])
def test_each_image_is_read_once_where_both_transformations_lead(height, width, elastic) -> None:
    """By torch's own grid_sample, a loop over the images, torchvision's blur and matrices."""
    batch = images(6, height, width, dtype="float64")
    torch.manual_seed(3)
    uniform = TorchBackend().uniform
    angle, slant = uniform(-20, 20, 6), uniform(-15, 15, 6)
    factor, offset = uniform(0.7, 1.3, 6), uniform(-3, 3, 6, 2)
    noise = 2 * torch.rand(6, 2, height, width).double() - 1
    reads = transforms.functional
    alpha, sigma = elastic
    if alpha and min(height, width) > 4 * sigma:
        bent = alpha / 2 * reads.gaussian_blur(noise, [int(8 * sigma) + 1] * 2, [sigma] * 2)
    elif alpha:  # torch's padding mirrors once, ours as often as it takes
        g, h = (torch.from_numpy(mirrored(size, sigma)) for size in (height, width))
        bent = alpha / 2 * g @ noise @ h.T
    else:
        bent = torch.zeros(6, 2, height, width).double()
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    points = torch.stack((x - (width - 1) / 2, y - (height - 1) / 2)) + bent
    expected = []
    for i in range(6):
        a, b, tx, c, d, ty = reads._get_inverse_affine_matrix(
            [0, 0], float(angle[i]), offset[i].tolist(), float(factor[i]), [float(slant[i]), 0]
        )
        px, py = points[i]
        grid = torch.stack(
            ((a * px + b * py + tx) / (width / 2), (c * px + d * py + ty) / (height / 2)), -1
        )
        image = torch.from_numpy(batch[i])[None, None]
        expected.append(torch.nn.functional.grid_sample(image, grid[None], align_corners=False))
    torch.manual_seed(3)
    amounts = {"rotate": 20, "shift": 3, "scale": (0.7, 1.3), "shear": 15, "elastic": elastic}
    found = augment.augment(batch, uniform, **amounts)
    np.testing.assert_allclose(found, torch.cat(expected)[:, 0].numpy(), rtol=0, atol=1e-5)


def mirrored(size: int, sigma: float) -> Array:
    """The blur as a matrix, by blurring each unit vector between mirrors without end."""
    reach = int(4 * sigma)
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    columns = []
    for unit in np.eye(size):
        endless = np.tile(np.concatenate((unit, unit[-2:0:-1])), 9)
        middle = 4 * (2 * size - 2)
        blurred = np.convolve(endless, bell / bell.sum(), "same")
        columns.append(blurred[middle : middle + size])
    return np.array(columns).T


@pytest.mark.parametrize(("size", "sigma"), [(28, 4.0), (8, 4.0), (5, 0.5), (2, 1.0)])
def test_the_blur_mirrors_as_often_as_it_takes(size, sigma) -> None:
    matrix = augment.blur(size, sigma, np.dtype("float64"))
    np.testing.assert_allclose(matrix, mirrored(size, sigma), atol=1e-15)
    np.testing.assert_allclose(augment.blur(1, 4.0, np.dtype("float64")), [[1]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("changes", [{}, {"elastic": (0.0, 4.0)}], ids=["all", "affine"])
def test_both_backends_see_the_same_images_bit_for_bit(dtype, changes) -> None:
    batch = images(64, 28, 28, dtype=dtype)
    before = batch.copy()
    ours, twin = (
        augment.augment(batch, seeded(name, 5).uniform, **{**TRANSFORMED, **changes})
        for name in BACKENDS
    )
    assert ours.dtype == dtype
    np.testing.assert_array_equal(ours.view("u1"), twin.view("u1"))
    np.testing.assert_array_equal(batch, before)
    assert np.abs(ours - batch).max() > 0.1
    assert not np.shares_memory(ours, batch)


def test_without_amounts_an_image_stays_as_it_is() -> None:
    batch = images(3, 28, 17)
    np.testing.assert_array_equal(augment.augment(batch, NumpyBackend().uniform), batch)


def test_a_batch_takes_a_tenth_of_torchvision_s_loop() -> None:
    """128 images of 28x28 on this thread."""
    batch, uniform = images(128, 28, 28), NumpyBackend().uniform
    bilinear = transforms.InterpolationMode.BILINEAR
    theirs = transforms.Compose(
        [
            transforms.RandomAffine(10, (0.07, 0.07), (0.9, 1.1), 8, bilinear),
            transforms.ElasticTransform(30.0, 4.0),
        ]
    )

    def fastest(work: Callable[[], Any], times: int) -> float:
        found = []
        for _ in range(times):
            started = time.perf_counter()
            work()
            found.append(time.perf_counter() - started)
        return min(found)

    ours = fastest(lambda: augment.augment(batch, uniform, **TRANSFORMED), 20)
    loop = fastest(lambda: [theirs(image[None]) for image in torch.from_numpy(batch)], 2)
    assert ours < loop / 10


AMOUNTS = {**TRANSFORMED, "shift": 1.0}


@pytest.mark.parametrize(
    "fields",
    [
        {"hidden": (40,), "optimizer": "adam", "lr": 0.01},
        {"model": "cnn3", "hidden": (16,), "dropout": 0.3},
    ],
    ids=str,
)
def test_float64_runs_on_transformed_images_agree_step_by_step(fields) -> None:
    config = Config(dtype="float64", epochs=5, batch_size=64, evaluations=1, **fields, **AMOUNTS)
    runs = []
    for make in BACKENDS.values():
        trainer = Trainer(config, make(), load("digits"))
        history = trainer.run().history
        runs.append([record["loss"] for record in history if record["kind"] == "train"])
    assert len(runs[0]) == 100
    assert runs[0][-1] < 0.9 * runs[0][0]
    np.testing.assert_allclose(*runs, rtol=1e-8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_killed_run_on_transformed_images_goes_on_to_the_same_bits(backend, tmp_path) -> None:
    network = ["--model", "cnn3", "--optimizer", "adam", "--lr", "0.002", "--dropout", "0.3"]
    arguments = [
        *QUICK,
        *network,
        "--scheduler",
        "cosine",
        "--epochs",
        "3",
        "--batch-size",
        "128",
        *FLAGS,
    ]
    arguments += ["--backend", backend]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert call(*arguments, "--out", str(whole)) == 0
    child = start(*arguments, "--out", str(broken), cwd=tmp_path)
    while not (broken / "checkpoint.safetensors").exists() and child.poll() is None:
        time.sleep(0.002)
    child.kill()
    child.communicate()
    assert not (broken / "result.json").exists()
    assert call("--resume", str(broken)) == 0
    a, b = result(whole), result(broken)
    del a["seconds"], b["seconds"]
    assert a == b
    assert (whole / "metrics.jsonl").read_text() == (broken / "metrics.jsonl").read_text()
    for name in ("last.safetensors", "best.safetensors"):
        ours, theirs = (checkpoint.load_arrays(folder / name)[0] for folder in (whole, broken))
        assert ours.keys() == theirs.keys()
        for key in ours:
            np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)


def test_only_training_images_are_transformed() -> None:
    trainer = Trainer(Config(hidden=(5,), rotate=90.0), NumpyBackend(), load("digits"))
    raw = trainer.data.test_images[:20]
    plain = trainer.images(raw)
    assert np.abs(trainer.training_images(raw) - plain).max() > 0.1
    np.testing.assert_array_equal(
        trainer.predict(raw), trainer.backend.predict(trainer.model, plain)
    )
    np.testing.assert_array_equal(trainer.images(raw), plain)


def test_a_run_without_transformations_draws_nothing_for_them() -> None:
    trainer = Trainer(Config(hidden=(5,)), NumpyBackend(), load("digits"))
    before = trainer.backend.get_rng_state()
    trainer.training_images(trainer.data.test_images[:20])
    np.testing.assert_array_equal(trainer.backend.get_rng_state(), before)


def test_one_factor_stands_for_it_and_its_inverse() -> None:
    assert Config(scale=(1.25,)).transformations["scale"] == (0.8, 1.25)
    assert Config(scale=(0.8,)).transformations["scale"] == (0.8, 1.25)
    assert Config(scale=(0.8, 1.0)).transformations["scale"] == (0.8, 1.0)
    assert Config(scale=(1.0,)).transformations == Config().transformations == {}
    assert resolve("augmented", {}).transformations == TRANSFORMED


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rotate", "181"], "--rotate must lie within 0..180 degrees, got 181.0"),
        (["--rotate", "nan"], "--rotate must lie within 0..180 degrees"),
        (["--shift", "-1"], "--shift must lie within 0..1000 pixels, got -1.0"),
        (["--shear", "90"], "--shear must be at least 0 and below 90 degrees, got 90.0"),
        (["--scale", "0"], "--scale must be one factor or the smallest and the largest"),
        (["--scale", "1.1", "0.9"], "--scale must be one factor or the smallest and the largest"),
        (["--scale", "1", "2", "3"], "--scale must be one factor or the smallest and the largest"),
        (["--shift", "1e39"], "--shift must lie within 0..1000 pixels, got 1e+39"),
        (["--elastic", "30", "1e9"], "--elastic must be ALPHA (at least 0) and SIGMA (above 0)"),
        (["--scale", "1", "inf"], "--scale must be one factor or the smallest and the largest"),
        (["--elastic", "30"], "--elastic must be ALPHA (at least 0) and SIGMA (above 0)"),
        (["--elastic", "-1", "4"], "--elastic must be ALPHA (at least 0) and SIGMA (above 0)"),
        (["--elastic", "30", "0"], "--elastic must be ALPHA (at least 0) and SIGMA (above 0)"),
        (["--elastic", "30", "4", "1"], "--elastic must be ALPHA (at least 0) and SIGMA (above 0)"),
        (["--recipe", "gpt", "--rotate", "3"], "--rotate has no effect: it needs --model mlp or"),
        (["--recipe", "gpt", "--scale", "1.1"], "--scale has no effect: it needs --model mlp or"),
    ],
)
def test_wrong_amounts_are_answered_in_one_line(arguments, message, capsys) -> None:
    assert message in refusal(capsys, *arguments)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_largest_and_smallest_amounts_give_finite_images(dtype) -> None:
    batch = images(9, 8, 8, dtype=dtype)
    amounts = {"rotate": 180.0, "shift": 1000.0, "shear": 89.999, "elastic": (1000.0, 1000.0)}
    for scale in ((0.001, 1000.0), (0.001, 0.001), (1000.0, 1000.0)):
        found = augment.augment(batch, NumpyBackend().uniform, scale=scale, **amounts)
        assert np.isfinite(found).all()
        assert found.min() >= 0
        assert found.max() <= batch.max()
    bent = augment.augment(batch, NumpyBackend().uniform, elastic=(1000.0, 1e-300))
    assert 0 <= bent.min() <= bent.max() <= batch.max()


def test_amounts_in_a_config_are_numbers() -> None:
    stored = resolve("augmented", {"dataset": "digits"}).as_dict()
    assert stored["scale"] == [0.9, 1.1]
    assert Config.from_dict(stored).scale == (0.9, 1.1)
    for wrong in ("0.9", [], ["a"], [True], 0.9, None):
        with pytest.raises(UserError, match="scale must be a list of numbers"):
            Config.from_dict({**stored, "scale": wrong})


@pytest.mark.parametrize(("side", "features"), [(28, 1024), (16, 64), (15, 576), (8, 256), (4, 64)])
def test_the_network_fits_images_of_any_size(side, features) -> None:
    for make in BACKENDS.values():
        backend = make()
        model = cnn3(backend.nn, side)
        assert backend.arrays(model)["12.weight"].shape == (128, features)
        assert backend.predict(model, images(2, 1, side, side)).shape == (2, 10)


def test_a_norm_that_moves_hides_no_dead_update() -> None:
    """A batch norm's averages move without learning; the warning is about parameters."""
    for make in BACKENDS.values():
        trainer = Trainer(Config(model="cnn3", hidden=(5,), epochs=1), make(), load("digits"))
        trainer.optimizer.param_groups[0]["lr"] = 0.0
        warnings: list[str] = []
        trainer.callbacks = Callbacks(on_warning=warnings.append)
        trainer.run()
        assert "moved no parameter" in warnings[0]


def test_weights_with_a_norm_s_counts_are_stored_and_evaluated(tmp_path, capsys) -> None:
    out = tmp_path / "run"
    assert call(*QUICK, "--model", "cnn3", "--dtype", "float64", "--out", str(out)) == 0
    arrays, _ = checkpoint.load_arrays(out / "last.safetensors")
    assert arrays["1.num_batches_tracked"].shape == ()
    wanted = f"test accuracy {result(out)['test_accuracy']:.4f}"
    checkpoint.save_arrays(
        out / "bare.safetensors",
        arrays,
        {"config": {"model": "cnn3", "hidden": [20], "dataset": "digits"}},
    )
    for file in ("last", "bare"):
        for backend in BACKENDS:
            capsys.readouterr()
            assert call("--evaluate", str(out / f"{file}.safetensors"), "--backend", backend) == 0
            assert wanted in capsys.readouterr().out
