"""Data of one's own: known sets, other IDX files, .npz; where they are; what they must be."""

import dataclasses
import gzip
import hashlib
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from experiments import data, known
from experiments.errors import UserError
from experiments.idx import FILES
from experiments.known import KNOWN
from parity_tests.experiments.calls import about, call, refusal, result
from parity_tests.experiments.test_data import idx
from torch_ref.vision import import_torchvision

QUICK = ("--hidden", "8", "--epochs", "1", "--batch-size", "8", "--evaluations", "1")


def arrays(seed: int = 0, size: tuple[int, int] = (7, 5), classes: int = 3) -> dict:
    rng = np.random.default_rng(seed)
    counts = {"train": 48, "test": 12}
    found = {}
    for half, count in counts.items():
        found[f"{half}_images"] = rng.integers(0, 256, (count, *size)).astype(np.uint8)
        found[f"{half}_labels"] = (np.arange(count) % classes).astype(np.uint8)
    return found


def write(folder: Path, content: dict, packed: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for key, (name, _) in FILES.items():
        file = folder / (name + ".gz" * packed)
        file.write_bytes(gzip.compress(idx(content[key])) if packed else idx(content[key]))
    return folder


@pytest.fixture(autouse=True)
def _no_mnist(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("MNIST_DIR", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def published(monkeypatch):
    """Make ``content`` the published files of a known data set, as a writer of folders."""

    def publish(name: str, content: dict, packed: bool, folder: Path) -> Path:
        write(folder, content, packed)
        files = [folder / (file + ".gz" * packed) for file, _ in FILES.values()]
        checksums = tuple(hashlib.md5(file.read_bytes()).hexdigest() for file in files)
        monkeypatch.setitem(KNOWN, name, dataclasses.replace(KNOWN[name], checksums=checksums))
        return folder

    return publish


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "kmnist"])
def test_a_known_set_is_named_by_its_checksums(name, published, tmp_path) -> None:
    folder = published(name, arrays(classes=10), name != "mnist", tmp_path / "any name")
    loaded = data.load("auto", folder)
    assert loaded.name == name
    assert loaded.source.startswith(f"{KNOWN[name].title} from ")
    assert loaded.names == KNOWN[name].names
    other = "kmnist" if name == "mnist" else "mnist"
    with pytest.raises(UserError, match=f"--dataset {other} was asked for, this is"):
        data.load(other, folder)


def test_the_checksums_are_those_of_torchvision() -> None:
    """Of the .gz files; of MNIST, whose contents are known, too, see test_data."""
    datasets = import_torchvision().datasets
    for name in ("fashion-mnist", "kmnist"):
        theirs = [md5 for _, md5 in getattr(datasets, KNOWN[name].folder).resources]
        assert list(KNOWN[name].checksums) == theirs
    assert KNOWN["fashion-mnist"].names == tuple(datasets.FashionMNIST.classes)
    assert KNOWN["kmnist"].names == tuple(datasets.KMNIST.classes)


@pytest.mark.parametrize("packed", [False, True])
def test_other_files_need_no_checksum(packed, tmp_path) -> None:
    content = arrays(classes=3)
    folder = write(tmp_path / "mine", content, packed)
    with pytest.raises(UserError, match=r"none of MNIST, Fashion-MNIST, KMNIST .*--no-checksum"):
        data.load("auto", folder)
    for loaded in (data.load("auto", folder, unchecked=True), data.load("own", folder)):
        assert loaded.name == "own"
        assert loaded.classes == 3
        assert "own data from" in loaded.source
        assert "checksums not checked" in loaded.source
        for key, array in content.items():
            np.testing.assert_array_equal(getattr(loaded, key), array)
    with pytest.raises(UserError, match="--no-checksum needs --data"):
        data.load("auto", unchecked=True)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("train_images", "test_images", "holds MNIST's test images, not its training images"),
        ("train_labels", "test_labels", "holds MNIST's test labels, not its training labels"),
        ("train_images", "train_labels", "it holds labels; are files swapped"),
    ],
)
@pytest.mark.parametrize("whole", [False, True], ids=["one pair", "both pairs"])
def test_swapped_files_are_told_from_damaged_ones(
    first, second, said, whole, published, tmp_path
) -> None:
    folder = published("mnist", arrays(classes=10), False, tmp_path / "mnist")
    pairs = [(first, second)]
    if whole and said.startswith("holds"):
        pairs = [("train_images", "test_images"), ("train_labels", "test_labels")]
    for pair in pairs:
        a, b = (folder / FILES[key][0] for key in pair)
        content = a.read_bytes()
        a.write_bytes(b.read_bytes())
        b.write_bytes(content)
    with pytest.raises(UserError, match="swapped") as caught:
        data.load("auto", folder)
    assert whole or said in str(caught.value)
    assert "corrupted" not in str(caught.value)


def kaggle(folder: Path) -> Path:
    for name, _ in FILES.values():
        file = folder / name
        content = file.read_bytes()
        file.unlink()
        file.mkdir()
        (file / name).write_bytes(content)
    return folder


def kaggle_dotted(folder: Path) -> Path:
    for name, _ in FILES.values():
        shutil.copy(folder / name, folder / name.replace("-idx", ".idx"))
    return kaggle(folder)


def kaggle_dotted_below(folder: Path) -> Path:
    for name, _ in FILES.values():
        dotted = name.replace("-idx", ".idx")
        (folder / "x").mkdir()
        (folder / name).rename(folder / "x" / dotted)
        (folder / "x").rename(folder / dotted)
    return folder


def torchvision(folder: Path) -> Path:
    (folder / "MNIST" / "raw").mkdir(parents=True)
    for name, _ in FILES.values():
        (folder / name).rename(folder / "MNIST" / "raw" / name)
    return folder


def torchvision_below(folder: Path) -> Path:
    return torchvision(folder) / "MNIST"


def dotted(folder: Path) -> Path:
    for name, _ in FILES.values():
        (folder / name).rename(folder / name.replace("-idx", ".idx"))
    return folder


LAYOUTS = (kaggle, kaggle_dotted, kaggle_dotted_below, torchvision, torchvision_below, dotted)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("variable", [False, True], ids=["--data", "MNIST_DIR"])
def test_the_layouts_that_people_have(layout, variable, published, tmp_path, monkeypatch) -> None:
    folder = layout(published("mnist", arrays(classes=10), False, tmp_path / "here"))
    if variable:
        monkeypatch.setenv("MNIST_DIR", str(folder))
    loaded = data.load("mnist", None if variable else folder)
    np.testing.assert_array_equal(loaded.train_images, arrays(classes=10)["train_images"])


def test_a_root_of_several_sets_asks_which(tmp_path) -> None:
    for name in ("MNIST", "KMNIST"):
        write(tmp_path / name / "raw", arrays())
    with pytest.raises(UserError, match=r"several data sets: take --data \S+/MNIST/raw or"):
        data.load("own", tmp_path)
    assert data.load("own", tmp_path / "KMNIST").path == str(tmp_path / "KMNIST")


def test_emnist_s_names(tmp_path) -> None:
    for prefix in ("emnist-letters-", "emnist-digits-"):
        for key, (name, _) in FILES.items():
            content = arrays(len(prefix))[key]
            file = tmp_path / (prefix + name.replace("t10k", "test") + ".gz")
            file.write_bytes(gzip.compress(idx(content)))
    with pytest.raises(UserError, match=r"several data sets: take --data \S+/emnist-digits or"):
        data.load("own", tmp_path)
    loaded = data.load("own", tmp_path / "emnist-letters")
    np.testing.assert_array_equal(loaded.test_images, arrays(15)["test_images"])


NAMES = ("x_train", "y_train", "x_test", "y_test")


def npz(path: Path, content: dict, names=NAMES, **more) -> Path:
    np.savez_compressed(path, **dict(zip(names, content.values(), strict=True)), **more)
    return path


def in_order(content: dict) -> dict:
    return {key: content[key] for key in FILES}


def test_an_npz_with_keras_s_names_is_known_if_it_is_mnist(published, tmp_path) -> None:
    content = in_order(arrays(classes=10))
    published("mnist", content, False, tmp_path / "idx")
    folder, file = data.load("mnist", tmp_path / "idx"), npz(tmp_path / "mnist.npz", content)
    loaded = data.load("auto", file)
    assert loaded.name == "mnist"
    assert loaded.checksum == folder.checksum
    assert str(file) in loaded.source


@pytest.mark.parametrize(
    ("change", "scale"),
    [
        (lambda images: images, 255.0),
        (lambda images: images[..., None], 255.0),
        (lambda images: images[:, None], 255.0),
        (lambda images: images.reshape(len(images), -1), 255.0),
        (lambda images: images.astype(np.int64), 255.0),
        (lambda images: images.astype(np.float32), 255.0),
        (lambda images: images / 255, 1.0),
    ],
    ids=["bytes", "channel last", "channel first", "rows", "int64", "float32", "fractions"],
)
def test_the_kinds_of_images_in_an_npz(change, scale, tmp_path) -> None:
    content = in_order(arrays(size=(6, 6)))
    given = {key: change(a) if key.endswith("images") else a for key, a in content.items()}
    loaded = data.load("auto", npz(tmp_path / "a.npz", given))
    assert (loaded.name, loaded.scale) == ("own", scale)
    fractions = data.to_float(loaded.train_images, loaded.scale, np.dtype("float64"), flat=False)
    np.testing.assert_allclose(fractions[:, 0], content["train_images"] / 255, rtol=1e-6)


def test_medmnist_s_names_and_labels(tmp_path) -> None:
    content = in_order(arrays())
    given = {key: a[:, None] if key.endswith("labels") else a for key, a in content.items()}
    loaded = data.load("auto", npz(tmp_path / "a.npz", given, tuple(FILES), val_images=np.ones(3)))
    np.testing.assert_array_equal(loaded.test_labels, content["test_labels"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": np.zeros((48, 6, 6, 3), np.uint8)}, "x_train must be grey images"),
        ({"x_train": np.full((48, 6, 6), np.nan)}, "x_train must lie within 0..1 or 0..255"),
        ({"x_train": np.full((48, 6, 6), -1)}, "must lie within 0..1 or 0..255, got -1..-1"),
        ({"x_train": np.zeros((48, 6, 0), np.uint8)}, "x_train must be grey images"),
        ({"x_train": np.zeros((48, 6, 7), np.uint8)}, "has images of 6x6 pixels, .* of 6x7"),
        ({"x_train": np.zeros((4, 6, 6), np.uint8)}, "holds 4 images, .* 48 labels"),
        ({"y_train": np.full(48, -1)}, r"y_train must lie within 0..9999, got -1..-1"),
        ({"y_train": np.full(48, 1e9)}, r"y_train must lie within 0..9999"),
        ({"y_train": np.full(48, 0.5)}, "y_train must be whole numbers"),
        ({"y_train": np.eye(48)}, "y_train must be whole numbers .*take the argmax"),
        ({"y_train": np.full(48, np.nan)}, "y_train must be whole numbers"),
        ({"y_train": np.array(["a"] * 48)}, "no sound .npz file .*only numbers and bools"),
        ({"y_train": np.array([None] * 48)}, "no sound .npz file"),
        ({"x_test": None}, "must hold x_train, y_train, x_test, y_test or train_images, .* it has"),
    ],
)
def test_an_npz_that_holds_something_else(change, message, tmp_path) -> None:
    content = dict(zip(NAMES, in_order(arrays(size=(6, 6))).values(), strict=True)) | change
    file = tmp_path / "a.npz"
    np.savez(file, **{name: a for name, a in content.items() if a is not None})
    with pytest.raises(UserError, match=message) as caught:
        data.load("auto", file)
    assert "\n" not in str(caught.value)


def test_an_npz_that_is_none(tmp_path) -> None:
    file = npz(tmp_path / "a.npz", in_order(arrays()))
    whole = file.read_bytes()
    for broken in (b"", b"PK", whole[:-30], whole[:200] + b"?" + whole[201:]):
        file.write_bytes(broken)
        with pytest.raises(UserError, match=re.escape(f"{file}: no sound .npz file")):
            data.load("auto", file)
    with pytest.raises(UserError, match=r"gone\.npz: no such file"):
        data.load("auto", tmp_path / "gone.npz")
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(UserError, match="it is a named pipe"):
        data.load("auto", tmp_path / "pipe.npz")


def test_a_file_among_the_four_is_no_folder(tmp_path) -> None:
    folder = write(tmp_path / "mine", arrays())
    with pytest.raises(UserError, match=r"takes an \.npz, or the folder that holds four IDX files"):
        data.load("own", folder / FILES["train_images"][0])


@pytest.mark.parametrize(
    ("half", "count", "message"),
    [("train", 5, "must hold at least 6 images, got 5"), ("test", 0, "at least 1 images, got 0")],
)
def test_too_few_images(half, count, message, tmp_path) -> None:
    content = arrays()
    content |= {key: a[:count] for key, a in content.items() if key.startswith(half)}
    with pytest.raises(UserError, match=message):
        data.load("own", write(tmp_path / "few", content))


def test_a_larger_set_than_mnist_and_a_header_that_lies(tmp_path) -> None:
    content = arrays()
    folder = write(tmp_path / "large", content, packed=True)
    file = folder / (FILES["train_images"][0] + ".gz")
    header = bytes([0, 0, 8, 3]) + np.array([70_000, 28, 28], ">u4").tobytes()
    file.write_bytes(gzip.compress(header + bytes(9)))
    with pytest.raises(UserError, match=r"MNIST's have at most .*needs --no-checksum"):
        data.load("auto", folder)
    with pytest.raises(UserError, match=r"truncated \(\d+ bytes can't hold 54,880,000\)"):
        data.load("own", folder)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("model", ["mlp", "cnn", "lstm"])
def test_networks_are_built_for_other_sizes_and_classes(backend, model, tmp_path, capsys) -> None:
    folder = write(tmp_path / "mine", arrays(size=(9, 6), classes=13))
    out = tmp_path / "run"
    flags = ["--data", str(folder), "--no-checksum", "--model", model, "--backend", backend]
    assert call(*flags, *QUICK, "--out", str(out)) == 0
    printed = capsys.readouterr().out
    assert f"on own data from {folder}, checksums not checked (48 training" in printed
    noted = about(out)["data"]
    assert (noted["name"], noted["shape"], noted["classes"]) == ("own", [9, 6], 13)
    assert result(out)["data"] == noted
    assert np.shape(result(out)["confusion"]) == (13, 13)
    # the data is found again, and known again
    assert call("--evaluate", str(out)) == 0
    assert call("--resume", str(out)) == 0
    content = arrays(1, (9, 6), 13)
    assert call("--evaluate", str(out), "--data", str(write(tmp_path / "other", content))) == 0
    assert "this is other data than the run's" in capsys.readouterr().out
    assert "was started on" in refusal(
        capsys, "--resume", str(out), "--data", str(tmp_path / "other")
    )


def test_images_too_small_for_the_cnn(tmp_path, capsys) -> None:
    folder = write(tmp_path / "mine", arrays(size=(9, 3)))
    said = refusal(capsys, "--data", str(folder), "--no-checksum", "--model", "cnn")
    assert "--model cnn needs images of at least 4x4 pixels, these have 9x3" in said


def test_a_set_of_which_nothing_is_known_is_named_nothing() -> None:
    parts = {key: known.Part(np.zeros(1), key, frozenset(["0"])) for key in FILES}
    assert known.identify(parts) == ""
