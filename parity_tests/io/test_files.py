"""Files go both ways between numpy_impl and torch, in every form that torch writes."""

import io
import subprocess
import sys
import zipfile
from collections import Counter, OrderedDict

import numpy as np
import pytest
import safetensors.torch
import torch

import numpy_impl
from numpy_impl import Tensor, nn
from numpy_impl.io import FileError
from torch_ref.redirect import redirected
from torch_ref.vision import import_torchvision

DTYPES = [
    *(torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.bool, torch.uint8),
    *(torch.int8, torch.int16, torch.int32, torch.int64, torch.complex64, torch.complex128),
    *(torch.uint16, torch.uint32, torch.uint64),
]
FORMS = {
    "zip": {},
    "zip, protocol 4": {"pickle_protocol": 4},
    "legacy": {"_use_new_zipfile_serialization": False},
    "legacy, protocol 5": {"_use_new_zipfile_serialization": False, "pickle_protocol": 5},
}


def torch_file(obj, **form) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(obj, file, **form)
    file.seek(0)
    return file


def our_file(obj) -> io.BytesIO:
    file = io.BytesIO()
    numpy_impl.save(obj, file)
    file.seek(0)
    return file


def loaded_from_file(path):
    with open(path, "rb") as file:
        return numpy_impl.load(file)


def rezipped(file, change) -> io.BytesIO:
    """The archive with its records as ``change(name, data)`` wants them; None leaves one out."""
    result = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(result, "w") as new:
        for name in old.namelist():
            if (data := change(name, old.read(name))) is not None:
                new.writestr(name, data)
    result.seek(0)
    return result


def assert_same(ours, theirs) -> None:
    """The same values, dtypes (bfloat16 has become float32) and structure."""
    if isinstance(theirs, torch.Tensor):
        if theirs.requires_grad:
            assert ours.requires_grad
            ours = ours.data
        values = theirs.detach().resolve_conj().resolve_neg()
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
        assert type(ours) is np.ndarray
        np.testing.assert_array_equal(ours, values, strict=True)
    elif isinstance(theirs, dict):
        assert type(ours) is type(theirs)
        assert list(ours) == list(theirs)
        for key in theirs:
            assert_same(ours[key], theirs[key])
    elif isinstance(theirs, list | tuple):
        assert isinstance(ours, list) == isinstance(theirs, list)
        assert len(ours) == len(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            assert_same(mine, other)
    else:
        assert type(ours) is type(theirs)
        assert ours == theirs


def tensors() -> dict:
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(4, 6, 5, generator=generator)
    found = {f"{dtype}": (100 * torch.rand(7, generator=generator)).to(dtype) for dtype in DTYPES}
    return found | {
        "bool": torch.tensor([True, False, True]),
        "special": torch.tensor([np.nan, np.inf, -np.inf, -0.0, 1e-45]),
        "bfloat16 special": torch.tensor([np.nan, -np.inf, 3e38], dtype=torch.bfloat16),
        "0-d": torch.tensor(3),
        "empty": torch.empty(0),
        "empty, two axes": torch.empty(3, 0),
        "transposed": base.transpose(0, 2),
        "a part": base[1:3, ::2, 4],
        "one column": base[:, 1:2, 3:4],
        "expanded": torch.ones(1, 3).expand(1000, 3),
        "channels last": torch.rand(2, 3, 4, 5, generator=generator).to(
            memory_format=torch.channels_last
        ),
        "conjugate": torch.tensor([1 + 2j]).conj(),
        "negative": torch.tensor([1 + 2j]).conj().imag,
        "requires grad": torch.ones(2, requires_grad=True),
    }


PLAIN = {
    "numbers": [0, -1, 255, 256, -(2**31), 2**31, 10**40, -(10**40), 1.5, float("inf"), 1 + 2j],
    "constants": (None, True, False),
    "text": ["", "weight", "größe", "\ud800", "x" * 300],
    "bytes": b"\x00\xff",
    "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, (2, (3, ())))),
    "containers": [{}, [], {"a": {"b": [{}]}}, {1: 2, None: 3, (4, 5): 6}, {1, 2}],
    "ordered": OrderedDict(a=1, b=OrderedDict()),
    "milestones": Counter([3, 3, 5]),
}


def trained(torch_, steps=2):
    """A model and its optimizer after some steps, by the namespace."""
    torch_.manual_seed(0)
    layers = torch_.nn
    model = layers.Sequential(
        layers.Conv2d(3, 4, 3, bias=False),  # a bias would have the gradient 0, and noise
        layers.BatchNorm2d(4),
        layers.Flatten(),
        layers.Linear(16, 2),
    )
    groups = [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[3].parameters()}]
    optimizer = torch_.optim.Adam(groups, amsgrad=True)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch_.randn(5, 3, 4, 4)).sum().backward()
        optimizer.step()
    return model, optimizer


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_what_torch_wrote_is_read(form) -> None:
    theirs = {**tensors(), **PLAIN, "parameter": torch.nn.Parameter(torch.ones(2))}
    ours = numpy_impl.load(torch_file(theirs, **form), map_location="cpu", weights_only=True)
    assert type(ours["parameter"]) is nn.Parameter
    assert_same(ours, theirs)


def test_torch_reads_what_is_written_here() -> None:
    ours = {**numpy_impl.load(torch_file(tensors())), **PLAIN}
    for weights_only in (True, False):
        theirs = torch.load(our_file(ours), weights_only=weights_only)
        assert_same(ours, theirs)
        assert theirs["torch.uint16"].dtype == torch.uint16
        assert theirs["expanded"].stride() == (0, 1)
        assert theirs["channels last"].is_contiguous(memory_format=torch.channels_last)
    assert_same(numpy_impl.load(our_file(ours)), torch.load(our_file(ours)))


def test_parameters_and_tensors_are_written_as_such() -> None:
    ours = [
        nn.Parameter(np.ones(2, np.float32)),
        nn.Parameter(np.ones(2, np.float32), requires_grad=False),
        Tensor(np.ones(2)),
        Tensor(np.ones(2), requires_grad=True) * 2,
        np.float32(3),
        np.int64(3),
        np.float64(0.1),  # one of Python's floats
    ]
    theirs = torch.load(our_file(ours))
    kinds = [torch.nn.Parameter] * 2 + [torch.Tensor] * 4 + [float]
    assert [type(value) for value in theirs] == kinds
    assert [value.requires_grad for value in theirs[:6]] == [True, False, False, True, False, False]
    assert [str(value.dtype) for value in theirs[4:6]] == ["torch.float32", "torch.int64"]
    assert theirs[4].shape == ()
    assert theirs[6] == 0.1


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_shared_memory_stays_shared(form) -> None:
    base = torch.zeros(6)
    ours = numpy_impl.load(torch_file([base, base[2:4], base], **form))
    ours[0][2] = 7
    assert ours[1][0] == 7
    assert ours[2] is ours[0]
    array = np.zeros(6, np.float32)
    for load in (torch.load, numpy_impl.load):
        loaded = load(our_file([array[::2], array[2:4], array[5:], array.view(np.int32)]))
        loaded[1][0] = 7
        assert loaded[0][1] == 7
        assert loaded[3][2] == 0, "arrays of two dtypes share no storage"


def test_what_an_array_was_cut_from_is_not_written() -> None:
    """Neither the rest of its base, nor what lies between its elements: it may be a secret."""
    base = np.frombuffer(b"secret! " * 1000, np.float64).copy()
    base[3:5] = base[100::100] = 1
    for part in (base[3:5], base[100::100]):
        file = our_file({"part": part})
        assert b"secret" not in file.getvalue()
        np.testing.assert_array_equal(torch.load(file)["part"].numpy(), part)


def test_arrays_as_numpy_has_them_and_torch_does_not() -> None:
    array = np.arange(6.0)
    fields = np.zeros(3, [("a", "i1"), ("b", "<f4")])
    fields["b"] = [1, 2, 3]
    found = [array[::-1], array.astype(">f8"), fields["b"], array.reshape(2, 3)[:, ::-1].T]
    for ours, theirs in zip(found, torch.load(our_file(found)), strict=True):
        np.testing.assert_array_equal(theirs.numpy(), ours)


def test_state_dicts_go_both_ways() -> None:
    (ours, our_optimizer), (theirs, their_optimizer) = trained(numpy_impl), trained(torch)
    fresh, fresh_optimizer = trained(torch, steps=0)
    fresh.load_state_dict(torch.load(our_file(ours.state_dict()), weights_only=True))
    fresh_optimizer.load_state_dict(torch.load(our_file(our_optimizer.state_dict())))
    back, back_optimizer = trained(numpy_impl, steps=0)
    back.load_state_dict(numpy_impl.load(torch_file(theirs.state_dict())))
    back_optimizer.load_state_dict(numpy_impl.load(torch_file(their_optimizer.state_dict())))
    assert_same(dict(ours.state_dict()), dict(fresh.state_dict()))
    assert_same(dict(back.state_dict()), dict(theirs.state_dict()))
    for mine, other in ((our_optimizer, fresh_optimizer), (back_optimizer, their_optimizer)):
        mine, other = mine.state_dict()["state"], other.state_dict()["state"]
        assert mine.keys() == other.keys()
        for number in mine:
            assert mine[number].keys() == other[number].keys()
            for key, value in mine[number].items():
                np.testing.assert_array_equal(value, other[number][key].numpy(), strict=True)
    # and they go on training alike
    for model, optimizer, torch_ in (
        (back, back_optimizer, numpy_impl),
        (theirs, their_optimizer, torch),
    ):
        torch_.manual_seed(3)
        optimizer.zero_grad()
        model(torch_.randn(5, 3, 4, 4)).sum().backward()
        optimizer.step()
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(back.state_dict()[name], value.numpy(), rtol=1e-4, atol=1e-5)


def test_a_schedule_s_state_goes_both_ways() -> None:
    states = []
    for torch_, file in ((numpy_impl, our_file), (torch, torch_file)):
        _, optimizer = trained(torch_, steps=0)
        schedule = torch_.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4, 4])
        for load in (torch.load, numpy_impl.load):
            states.append(load(file(schedule.state_dict()))["milestones"])
    assert states == [Counter([2, 4, 4])] * 4


def test_a_state_dict_s_metadata_stay() -> None:
    theirs = torch.nn.BatchNorm1d(3).state_dict()
    ours = numpy_impl.load(torch_file(theirs))
    assert ours._metadata == theirs._metadata
    assert torch.load(our_file(ours))._metadata == theirs._metadata
    nn.BatchNorm1d(3).load_state_dict(ours)


def test_older_zip_files_and_a_big_endian_machine_s() -> None:
    theirs = {"w": torch.arange(6.0), "n": torch.tensor([1, 256]), "b": torch.ones(3).bfloat16()}

    def as_in_1_6(name, data):
        name = name.partition("/")[2]
        return data if name in ("data.pkl", "version") or name.startswith("data/") else None

    file = rezipped(torch_file(theirs), as_in_1_6)
    assert [name.split("/", 1)[1] for name in zipfile.ZipFile(file).namelist()] == [
        *("data.pkl", "data/0", "data/1", "data/2", "version")
    ]
    assert_same(numpy_impl.load(file), theirs)

    def of_big_endian(name, data):
        kinds = {"archive/data/0": "f4", "archive/data/1": "i8", "archive/data/2": "u2"}
        if name in kinds:
            return np.frombuffer(data, kinds[name]).byteswap().tobytes()
        return b"big" if name == "archive/byteorder" else data

    assert_same(numpy_impl.load(rezipped(torch_file(theirs), of_big_endian)), theirs)


def test_files_without_checksums() -> None:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        file = torch_file(tensors())
    finally:
        torch.serialization.set_crc32_options(before)
    assert_same(numpy_impl.load(file), tensors())


@pytest.mark.parametrize("form", [FORMS["zip"], FORMS["legacy"]], ids=["zip", "legacy"])
def test_numpy_s_own_values_in_torch_s_files(form) -> None:
    """As training loops leave them: a best score, a generator's state."""
    theirs = {
        "best": np.float64(0.5),
        "epoch": np.int32(3),
        "state": np.random.default_rng(0).integers(0, 99, (3, 4)),
        "fortran": np.asfortranarray(np.random.default_rng(0).random((3, 4))),
        "flags": np.array([True, False]),
        "empty": np.empty((0, 3), np.float32),
    }
    ours = numpy_impl.load(torch_file(theirs, **form))
    for key, value in theirs.items():
        assert type(ours[key]) is type(value)
        np.testing.assert_array_equal(ours[key], value, strict=True)


def test_dtypes_sizes_and_devices() -> None:
    theirs = [torch.float32, torch.bfloat16, torch.int64, torch.Size([2, 3]), torch.device("cuda")]
    f32, i64 = np.dtype(np.float32), np.dtype(np.int64)
    ours = numpy_impl.load(torch_file(theirs))
    assert ours == [f32, f32, i64, (2, 3), numpy_impl.device("cpu")]
    back = torch.load(our_file(ours))
    assert back == [torch.float32, torch.float32, torch.int64, (2, 3), torch.device("cpu")]


def test_lists_that_hold_themselves() -> None:
    ours = [1]
    ours.append({"again": ours})
    theirs = torch.load(our_file(ours))
    assert theirs[1]["again"] is theirs
    again = numpy_impl.load(our_file(ours))
    assert again[1]["again"] is again
    pair = ([],)
    pair[0].append(pair)
    with pytest.raises(ValueError, match="a tuple that contains itself"):
        our_file(pair)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".npz", ".safetensors"])
def test_paths_and_suffixes(tmp_path, suffix) -> None:
    model, _ = trained(numpy_impl)
    for path in (tmp_path / f"weights{suffix}", str(tmp_path / f"text{suffix}")):
        numpy_impl.save(model.state_dict(), path)
        for loaded in (numpy_impl.load(path), loaded_from_file(path)):
            assert set(loaded) == set(model.state_dict())
            for name, value in model.state_dict().items():
                np.testing.assert_array_equal(loaded[name], value, strict=True)
                assert loaded[name].flags.writeable
    if suffix == ".npz":
        assert list(np.load(path)) == list(model.state_dict())
    elif suffix == ".safetensors":
        assert set(safetensors.torch.load_file(path)) == set(model.state_dict())
    else:
        torch.load(path, mmap=True, weights_only=True)


def test_each_storage_is_aligned_for_memory_maps(tmp_path) -> None:
    numpy_impl.save([np.ones(n) for n in range(1, 9)], path := tmp_path / "w.pt")
    assert all(value.data_ptr() % 64 == 0 for value in torch.load(path, mmap=True))


def test_equal_weights_make_equal_files() -> None:
    assert our_file([np.ones(3)]).getvalue() == our_file([np.ones(3)]).getvalue()


def test_npz_of_numpy_s(tmp_path) -> None:
    arrays = {
        "file": np.asfortranarray(np.ones((3, 4))),
        "a/b": np.zeros((200, 200)),
        "0": np.int8(3),
    }
    with open(tmp_path / "w.npz", "wb") as file, zipfile.ZipFile(file, "w", 8) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as record:
                np.lib.format.write_array(record, np.asarray(array))
    loaded = numpy_impl.load(tmp_path / "w.npz")
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
    np.savez(tmp_path / "o.npz", objects=np.array([{}], object))
    with pytest.raises(FileError, match=r"o\.npz: objects\.npy has elements of object"):
        numpy_impl.load(tmp_path / "o.npz")


def test_safetensors_of_torch_s() -> None:
    theirs = {str(d): torch.ones(2, 3).to(d) for d in DTYPES if d != torch.complex128}
    file = io.BytesIO(safetensors.torch.save(theirs))
    ours = numpy_impl.load(file)
    assert_same({name: ours[name] for name in theirs}, theirs)
    float8 = io.BytesIO(safetensors.torch.save({"w": torch.ones(2).to(torch.float8_e4m3fn)}))
    with pytest.raises(FileError, match="F8_E4M3, which NumPy does not know"):
        numpy_impl.load(float8)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize(
    "obj", [[1], {1: np.ones(2)}, {"a": {"b": np.ones(2)}}, {"a": np.array("x")}]
)
def test_files_of_arrays_hold_nothing_else(tmp_path, suffix, obj) -> None:
    with pytest.raises(TypeError, match=f"a {suffix} file holds"):
        numpy_impl.save(obj, tmp_path / f"w{suffix}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("obj", "name"),
    [
        (object(), "builtins.object"),
        (len, "builtin_function_or_method"),
        ({"model": nn.Linear(1, 1)}, "numpy_impl.nn.linear.Linear"),
        (np.array(["text"]), "<U4"),
        (np.array([object()]), "object"),
        (np.longdouble(1), "array of"),
        ([nn.LazyLinear(3).weight], "lazy module"),
        (2**5000, "255 bytes"),
    ],
)
def test_what_can_t_be_saved_is_named_and_no_file_harmed(tmp_path, obj, name) -> None:
    path = tmp_path / "w.pt"
    path.write_text("what was there")
    with pytest.raises((TypeError, ValueError), match=name):
        numpy_impl.save(obj, path)
    assert path.read_text() == "what was there"


def test_arguments(tmp_path) -> None:
    numpy_impl.save([1], path := tmp_path / "w.pt")
    for place in (None, "cpu", numpy_impl.device("cpu"), torch.device("cpu")):
        assert numpy_impl.load(path, place, mmap=True, weights_only=False) == [1]
    with pytest.raises(ValueError, match="map_location must be None or 'cpu', got 'cuda'"):
        numpy_impl.load(path, "cuda")
    with pytest.raises(ValueError, match="pickle_module must be None"):
        numpy_impl.load(path, pickle_module=io)
    with pytest.raises(FileNotFoundError):
        numpy_impl.load(tmp_path / "none.pt")


def test_neither_torch_nor_safetensors_is_needed(tmp_path) -> None:
    numpy_impl.save({"w": np.ones(3)}, tmp_path / "w.safetensors")
    torch.save({"w": torch.ones(3)}, tmp_path / "w.pt")
    program = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['torch', 'safetensors']))\n"
        "import numpy_impl\n"
        "numpy_impl.save(numpy_impl.load('w.pt'), 'again.pt')\n"
        "try: numpy_impl.load('w.safetensors')\n"
        "except ImportError as error: print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(next(iter(numpy_impl.__path__)).removesuffix("numpy_impl"))},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "files of safetensors need its library" in result.stdout
    assert torch.load(tmp_path / "again.pt")["w"].tolist() == [1, 1, 1]


def test_a_resnet_18_from_its_file(tmp_path) -> None:
    """torchvision's architecture: torch's weights, by way of a file, give torch's logits."""
    torch.manual_seed(0)
    theirs = import_torchvision().models.resnet18(num_classes=10).eval()
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    ours = redirected("torchvision.models.resnet").resnet18(num_classes=10).eval()
    ours.load_state_dict(numpy_impl.load(tmp_path / "resnet18.pth", map_location="cpu"))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad(), numpy_impl.no_grad():
        logits, expected = ours(images.numpy()), theirs(images).numpy()
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
