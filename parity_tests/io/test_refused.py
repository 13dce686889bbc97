"""Files that would take over the machine, or fill it: refused, and nothing of them has run.

Each hostile pickle is first opened by Python's own unpickler, which must create the marker file: so
it is known to be what it claims.
"""

import copyreg
import io
import os
import pickle
import struct
import time
import tracemalloc
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl.io import FileError
from parity_tests.io.test_files import torch_file

EXTENSION = 0x42


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def named(name: str) -> bytes:
    module, _, function = name.rpartition(".")
    return f"c{module}\n{function}\n".encode()


def call(function: bytes, *args: bytes) -> bytes:
    return function + b"(" + b"".join(args) + b"tR"


def hostile(marker: str) -> dict[str, bytes]:
    """Pickles that create ``marker``, by the ways in which a pickle can."""
    touch, code = f"touch {marker}", f"open({marker!r}, 'w').close()"
    system, run = named("os.system"), call(named("os.system"), text(touch))
    mapped = call(named("builtins.map"), system, b"]" + text(touch) + b"a")
    new_map = named("builtins.map") + b"(" + system + b"]" + text(touch) + b"at\x81"
    legacy = legacy_file(b"\x80\x02" + run + b".")
    return {
        "os.system": run,
        "posix.system": call(named("posix.system"), text(touch)),
        "builtins.eval": call(named("builtins.eval"), text(code)),
        "builtins.exec": call(named("builtins.exec"), text(code)),
        "os.mknod": call(named("os.mknod"), text(marker)),
        "subprocess.call": call(
            named("subprocess.call"), b"](" + text("touch") + text(marker) + b"e"
        ),
        "runpy": call(named("runpy._run_code"), text(code), b"}"),
        "a module's attribute": call(
            call(
                named("builtins.getattr"),
                call(named("builtins.__import__"), text("os")),
                text("system"),
            ),
            text(touch),
        ),
        "an attribute's attribute": call(
            call(
                named("builtins.getattr"),
                call(named("builtins.getattr"), named("os.path"), text("os")),
                text("system"),
            ),
            text(touch),
        ),
        "deep inside": b"](}" + text("a") + b"(K\x01](" + run + b"etse",
        "an argument of what is allowed": call(
            named("collections.OrderedDict"), b"](" + text("w") + run + b"\x86e"
        ),
        "a key": b"}(" + run + b"K\x01u",
        "an element of a set": b"\x8f(" + run + b"\x90",
        "thrown away": run + b"0}",
        "between the marks": b"(" + run + b"1}",
        "memo": system + b"q\x000h\x00" + call(b"", text(touch)),
        "memo, put before what is allowed": system
        + b"q\x000"
        + named("collections.OrderedDict")
        + b"q\x01h\x00q\x010h\x01"
        + call(b"", text(touch)),
        "memo, far away": system + b"r\xff\xff\x00\x000j\xff\xff\x00\x00" + call(b"", text(touch)),
        "STACK_GLOBAL": text("os") + text("system") + b"\x93" + call(b"", text(touch)),
        "a dotted name": text("os") + text("path.os.system") + b"\x93" + call(b"", text(touch)),
        "BUILD": call(named("functools.partial"), named("builtins.len"))
        + b"("
        + system
        + b"("
        + text(touch)
        + b"t}Ntb)R",
        "NEWOBJ": named("builtins.bytes") + new_map + b"\x85\x81",
        "NEWOBJ_EX": named("builtins.bytes") + b"(" + mapped + b"t}\x92",
        "INST": b"(" + text(touch) + b"ios\nsystem\n",
        "OBJ": b"(" + system + text(touch) + b"o",
        "EXT1": b"\x82" + bytes([EXTENSION]) + call(b"", text(touch)),
        "EXT2": b"\x83" + struct.pack("<H", EXTENSION) + call(b"", text(touch)),
        "EXT4": b"\x84" + struct.pack("<I", EXTENSION) + call(b"", text(touch)),
        "copyreg": call(
            named("copyreg._reconstructor"),
            named("builtins.bytes"),
            named("builtins.bytes"),
            mapped,
        ),
        "Python 2's eval": call(named("__builtin__.eval"), text(code)),
        "Python 2's imap": call(
            named("builtins.bytes"),
            call(named("itertools.imap"), system, b"]" + text(touch) + b"a"),
        ),
        "Python 2's commands": call(named("commands.getoutput"), text(touch)),
        "a file of torch's inside": call(
            named("torch.storage._load_from_bytes"), b"B" + struct.pack("<I", len(legacy)) + legacy
        ),
        "torch.fx": call(named("torch.fx.graph_module._exec_with_source"), text(code), b"}"),
        "a name inside an allowed module": text("torch._utils")
        + text("sys.modules.get")
        + b"\x93"
        + call(b"", text("os"))
        + b"0"
        + run,
    }


def legacy_file(pickled: bytes, *, keys=(), data: bytes = b"") -> bytes:
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    return (
        b"".join(pickle.dumps(part, 2) for part in head)
        + pickled
        + pickle.dumps(list(keys), 2)
        + data
    )


def zip_file(pickled: bytes, compression: int = zipfile.ZIP_STORED, **records: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        for name, data in {"version": b"3\n", **records}.items():
            archive.writestr(f"archive/{name.replace('_', '/')}", data)
    return file.getvalue()


WAYS = list(hostile("marker"))
FORMS = {"zip": zip_file, "legacy": legacy_file}


@pytest.fixture
def extension():
    copyreg.add_extension("os", "system", EXTENSION)
    yield
    copyreg.remove_extension("os", "system", EXTENSION)
    copyreg.clear_extension_cache()


@pytest.mark.parametrize("way", WAYS)
def test_nothing_that_a_pickle_says_is_run(tmp_path, way, extension) -> None:
    marker = tmp_path / "marker"
    # Python maps the names of Python 2 in pickles of its protocols alone
    protocol = b"\x80\x02" if "Python 2" in way else b"\x80\x04"
    pickled = protocol + hostile(str(marker))[way] + b"."
    pickle.loads(pickled)
    assert marker.exists(), "the pickle is not hostile"
    marker.unlink()
    for form, wrapped in FORMS.items():
        path = tmp_path / f"{form}.pt"
        path.write_bytes(wrapped(pickled))
        with pytest.raises(
            FileError, match=f"{form}.pt: (asks for .* refused|has the pickle instr)"
        ):
            numpy_impl.load(path, weights_only=False)
        assert not marker.exists()


def test_the_error_is_one_of_those_that_torch_raises() -> None:
    assert issubclass(FileError, pickle.UnpicklingError)
    assert issubclass(FileError, RuntimeError)


def test_the_name_that_was_asked_for_is_told() -> None:
    with pytest.raises(FileError, match=r"asks for torch\.nn\.modules\.linear\.Linear"):
        numpy_impl.load(torch_file(torch.nn.Linear(1, 1)))
    with pytest.raises(FileError, match="a TorchScript program"):
        numpy_impl.load(io.BytesIO(zip_file(b"", **{"constants.pkl": b""})))


class Id:
    def __init__(self, value) -> None:
        self.value = value


class Call:
    def __init__(self, function, *args) -> None:
        self.call = (function, args)

    def __reduce__(self):
        return self.call


class Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        return obj.value if isinstance(obj, Id) else None


def pickled(obj) -> bytes:
    file = io.BytesIO()
    Pickler(file, 2).dump(obj)
    return file.getvalue()


def a_tensor(offset=0, size=(2, 3), stride=(3, 1), numel=6, storage=None, **options) -> Call:
    storage = storage or Id(("storage", torch.FloatStorage, "0", "cpu", numel))
    return Call(
        torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, OrderedDict()
    )


def nested() -> tuple:
    """Of which the text, and the hash, would take longer than anybody has."""
    value = ()
    for _ in range(100):
        value = (value, value)
    return value


SIX = np.arange(6, dtype=np.float32).tobytes()
TENSORS = {
    "negative offset": a_tensor(offset=-1),
    "offset too large": a_tensor(offset=1),
    "offset of a boolean": a_tensor(offset=True),
    "no integer": a_tensor(size=(2.0, 3)),
    "negative size": a_tensor(size=(-2, 3)),
    "negative stride": a_tensor(offset=5, stride=(-3, -1)),
    "size too large": a_tensor(size=(3, 3)),
    "stride too large": a_tensor(stride=(4, 1)),
    "axes that do not agree": a_tensor(size=(2, 3, 1)),
    "too many axes": a_tensor(size=(1,) * 65, stride=(1,) * 65),
    "overflow": a_tensor(size=(2**62, 2**62), stride=(0, 0)),
    "overflow of strides": a_tensor(size=(2**33, 2), stride=(2**31, 2**62)),
    "huge integers": a_tensor(size=(2**20000,) * 60, stride=(0,) * 60),
    "storage larger than the record": a_tensor(numel=7),
    "storage smaller than the record": a_tensor(numel=5),
    "storage larger than anything": a_tensor(numel=2**60),
    "negative storage": a_tensor(numel=-1),
    "two sizes of a storage": [a_tensor(), a_tensor(numel=7)],
    "two dtypes of a storage": [
        a_tensor(),
        a_tensor(storage=Id(("storage", torch.IntStorage, "0", "cpu", 6))),
    ],
    "no such storage": a_tensor(storage=Id(("storage", torch.FloatStorage, "1", "cpu", 6))),
    "no storage": a_tensor(storage=1),
    "a tensor for a storage": a_tensor(storage=a_tensor()),
    "nested": a_tensor(size=nested()),
    "a nested storage": a_tensor(storage=nested()),
    "too few arguments": Call(torch._utils._rebuild_tensor_v2, 1),
    "a parameter of nothing": Call(torch._utils._rebuild_parameter, None, True, OrderedDict()),
    "a size of text": Call(torch.Size, "ab"),
    "bytes in another encoding": Call(__import__("_codecs").encode, "ab", "rot13"),
    "an OrderedDict of a nested key": Call(OrderedDict, [(nested(), 1)]),
    "an object array": np.array([{}]),
    "an array of text": np.array(["ab"]),
}
IDS = [
    *(None, 1, "0", b"0", (), ("storage",), [1], nested(), ("module", 1, "a", "b", 3)),
    ("storage", torch.FloatStorage, 0, "cpu", 6),
    ("storage", torch.float32, "0", "cpu", 6),
    ("storage", torch.FloatStorage, "0", "cpu", "6"),
    ("storage", torch.FloatStorage, "0", "cpu", True),
    ("storage", torch.FloatStorage, "0", "cpu", 6, ("1", 0, 3)),
    ("storage", torch.FloatStorage, "../../version", "cpu", 6),
    ("storage", nested(), "0", "cpu", 6),
]


def refuse(data: bytes) -> None:
    """A FileError, at once, with little memory."""
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(FileError):
            numpy_impl.load(io.BytesIO(data))
        assert tracemalloc.get_traced_memory()[1] < 20 * len(data) + 500_000
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - start < 2


def test_a_tensor_as_it_should_be() -> None:
    """The cases below have one fault each."""
    array = numpy_impl.load(io.BytesIO(zip_file(pickled(a_tensor()), data_0=SIX)))
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]
    empty = a_tensor(offset=2**40, size=(0, 3), stride=(2**40, 1))
    assert numpy_impl.load(io.BytesIO(zip_file(pickled(empty), data_0=SIX))).shape == (0, 3)


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_that_reach_beyond_their_storage_and_other_nonsense(name) -> None:
    refuse(zip_file(pickled(TENSORS[name]), data_0=SIX))
    if "record" not in name and "no such" not in name:
        refuse(legacy_file(pickled(TENSORS[name]), keys=["0"], data=struct.pack("<q", 6) + SIX))


@pytest.mark.parametrize("number", range(len(IDS)))
def test_persistent_ids_that_are_no_storage(number) -> None:
    refuse(zip_file(pickled(a_tensor(storage=Id(IDS[number]))), data_0=SIX))
    refuse(zip_file(pickled([Id(IDS[number])] if IDS[number] is not None else Id(1)), data_0=SIX))
    refuse(zip_file(b"\x80\x02P0\n.", data_0=SIX))


NESTED = b")" + 100 * b"2\x86"  # nested() again: Python itself could not make a key of it
PROGRAMS = {
    "a nested key": b"}" + NESTED + b"K\x01s.",
    "a nested element": b"\x8f(" + NESTED + b"\x90.",
    "a nested element by name": b"c__builtin__\nset\n](" + NESTED + b"e\x85R.",
    "memo": b"}r\xff\xff\xff\xff0.",
    "no such memo": b"h\x07.",
    "memo of nothing": b"q\x01.",
    "a text's size": b"X\xff\xff\xff\xffab.",
    "a long text's size": b"\x8d" + struct.pack("<Q", 2**62) + b"ab.",
    "bytes' size": b"\x8e" + struct.pack("<Q", 2**40) + b"ab.",
    "a bytearray's size": b"\x96" + struct.pack("<Q", 2**33) + b"ab.",
    "a bytearray by name": b"c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
    "bytes by name": b"c__builtin__\nbytes\nJ\xff\xff\xff\x7f\x85R.",
    "a range": b"c__builtin__\nrange\nJ\xff\xff\xff\x7f\x85R.",
    "an integer's size": b"\x8b\xff\xff\xff\x7fab.",
    "an integer's digits": b"I" + b"9" * 100_000 + b"\n.",
    "too little": b"0.",
    "too few": b"K\x01\x86.",
    "no mark": b"K\x01t.",
    "a mark left": b"(.",
    "something left": b"K\x01K\x02.",
    "no end": b"K\x01",
    "nothing": b"",
    "append to a number": b"K\x01K\x02a.",
    "items of a list": b"]K\x01K\x02s.",
    "an odd dict": b"}(K\x01u.",
    "a call of a number": b"K\x01)R.",
    "a call of a text": text("os.system") + b")R.",
    "a call of an allowed type": b"cnumpy\nndarray\n(J\xff\xff\xff\x7ftR.",
    "a call of a result": b"ccollections\nOrderedDict\n)R)R.",
    "a call without a tuple": b"ccollections\nOrderedDict\n]R.",
    "state of a dict": b"}}" + text("__class__") + b"K\x01sb.",
    "state of an OrderedDict": b"ccollections\nOrderedDict\n)R}" + text("keys") + b"K\x01sb.",
    "state of a function": b"ccollections\nOrderedDict\n}" + text("call") + b"K\x01sb.",
    "state of an array": b"cnumpy.core.multiarray\n_reconstruct\n(NNNtR(K\x01J\xff\xff\xff\x7f\x85"
    b"cnumpy\ndtype\n" + text("f8") + b"\x85R\x89" + text("") + b"tb.",
    "a list for a key": b"}]K\x01s.",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_pickles_that_fill_memory_or_make_no_sense(name) -> None:
    refuse(zip_file(PROGRAMS[name]))
    refuse(legacy_file(PROGRAMS[name]))


def test_zip_bombs() -> None:
    data = zip_file(pickled(a_tensor(numel=10**7)), zipfile.ZIP_DEFLATED, data_0=bytes(4 * 10**7))
    assert len(data) < 10**5
    refuse(data)
    refuse(zip_file(b"\x80\x02]" + b"]a" * 10**6 + b".", zipfile.ZIP_DEFLATED))
    # sizes that the directory declares and the file does not have
    data = bytearray(zip_file(pickled(a_tensor(numel=2**28)), data_0=SIX))
    for signature, offset in ((b"PK\x01\x02", 20), (b"PK\x03\x04", 18)):
        at = data.rindex(signature, 0, data.rindex(b"archive/data/0") if offset == 20 else None)
        struct.pack_into("<II", data, at + offset, 2**30, 2**30)
    refuse(bytes(data))


def test_storages_are_together_no_larger_than_the_file() -> None:
    ids = [Id(("storage", torch.FloatStorage, str(i), "cpu", 1000)) for i in range(1000)]
    refuse(legacy_file(pickled(ids) + bytes(4000), keys=map(str, range(1000))))


def test_npz_bombs() -> None:
    for shape, descr in (((2**40,), "<f8"), ((2**62, 2**62), "<f8"), ((3,), "<f8"), ((1,), "|O")):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"shape": shape, "fortran_order": False, "descr": descr}
        )
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("w.npy", header.getvalue() + b"12345678")
        refuse(file.getvalue())
    data = bytearray(file.getvalue())
    struct.pack_into("<I", data, data.rindex(b"PK\x01\x02") + 24, 2**30)
    refuse(bytes(data))


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\x03\x04", b"\x80\x02.", b"text", bytes(100)])
def test_files_of_no_known_format(data) -> None:
    refuse(data)


def test_os_errors_stay_what_they_are(tmp_path) -> None:
    with pytest.raises(IsADirectoryError):
        numpy_impl.load(tmp_path)
    if os.geteuid():
        (tmp_path / "w").touch(0)
        with pytest.raises(PermissionError):
            numpy_impl.load(tmp_path / "w")
