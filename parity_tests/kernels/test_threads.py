"""Several threads: the same bits, faults passed on, and nothing left behind."""

import contextlib
import multiprocessing
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import numpy_impl
from numpy_impl import nn, optim
from numpy_impl.kernels import threads as kernel_threads

pytestmark = pytest.mark.skipif(
    kernel_threads._BLAS is None,
    reason="this NumPy's BLAS does not tell its threads: none are used",
)


@pytest.fixture(autouse=True)
def _restore():
    before = numpy_impl.get_num_threads()
    yield
    assert kernel_threads.get_num_threads() in (before, 1, 2, 3, 8)
    numpy_impl.set_num_threads(before)


# large enough to be sliced
LAYERS = [
    ("Conv2d(3, 8, 3, padding=1)", (40, 3, 40, 40)),
    ("Conv2d(8, 16, 3, stride=2)", (9, 8, 61, 61)),
    ("Conv2d(4, 8, 3, groups=2)", (4, 4, 150, 150)),
    ("Conv2d(12, 8, 3, groups=2)", (1, 12, 150, 150)),
    ("Conv2d(16, 16, 3, groups=16)", (16, 16, 40, 40)),
    ("Conv2d(16, 32, 3, stride=2, groups=16)", (16, 16, 60, 60)),
    ("ConvTranspose2d(8, 4, 4, 2, 1)", (16, 8, 40, 40)),
    ("ConvTranspose2d(16, 16, 3, 2, groups=16)", (16, 16, 30, 30)),
    ("Conv1d(8, 8, 5)", (64, 8, 500)),
    ("Conv3d(2, 4, 3)", (16, 2, 20, 20, 20)),
    ("MaxPool2d(2)", (40, 16, 30, 30)),
    ("MaxPool2d(3, 2, 1)", (40, 16, 30, 30)),
    ("AvgPool2d(3, 2, 1)", (40, 16, 30, 30)),
    ("BatchNorm2d(16)", (40, 16, 30, 30)),
    ("BatchNorm1d(700)", (900, 700)),
    ("ReLU()", (33, 16, 30, 30)),
    ("LeakyReLU(0.2)", (33, 16, 30, 30)),
    ("LeakyReLU(-1.5)", (33, 16, 30, 30)),
]


def run(constructor: str, shape: tuple[int, ...], dtype: str, threads: int) -> list[np.ndarray]:
    numpy_impl.set_num_threads(threads)
    numpy_impl.manual_seed(0)
    layer = eval(f"nn.{constructor}", {"nn": nn}).to(dtype)
    rng = np.random.default_rng(0)
    output = layer(rng.standard_normal(shape).astype(dtype))
    grad = layer.backward(rng.standard_normal(output.shape).astype(dtype))
    return [output, grad, *(p.grad for p in layer.parameters()), *layer.buffers()]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("constructor", "shape"), LAYERS, ids=[c for c, _ in LAYERS])
def test_the_number_of_threads_changes_no_bit(constructor, shape, dtype, monkeypatch) -> None:
    started = []
    sound = kernel_threads._Helper.start
    monkeypatch.setattr(
        kernel_threads._Helper, "start", lambda self, work: (started.append(1), sound(self, work))
    )
    one = run(constructor, shape, dtype, 1)
    assert not started
    for threads in (2, 3):
        for a, b in zip(one, run(constructor, shape, dtype, threads), strict=True):
            np.testing.assert_array_equal(a, b)
    assert started, "nothing was sliced: the case proves nothing"


def test_a_middling_product_is_the_same_for_any_number_of_threads() -> None:
    results = []
    for threads in (1, 2, 3):
        results.append(run("Linear(500, 300)", (128, 500), "float64", threads))
        assert numpy_impl.get_num_threads() == threads
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_pieces_do_not_depend_on_the_number_of_threads() -> None:
    found = []
    for threads in (1, 2, 3):
        numpy_impl.set_num_threads(threads)
        found.append(kernel_threads.cache_slices(100, 10_000))
    assert found[0] == found[1] == found[2]
    assert [i for piece in found[0] for i in range(100)[piece]] == list(range(100))
    assert len(found[0]) == 8  # of 13 steps, 131,072 elements at most
    assert kernel_threads.cache_slices(3, 10**9) == [slice(0, 1), slice(1, 2), slice(2, 3)]
    assert kernel_threads.cache_slices(0, 5) == []


def test_small_operations_stay_in_one_piece(monkeypatch) -> None:
    numpy_impl.set_num_threads(2)
    monkeypatch.setattr(
        kernel_threads._Helper, "start", lambda *_: pytest.fail("a helper was started")
    )
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 9, 10)
    )
    x = np.ones((2, 1, 8, 8), "f")
    model.backward(np.ones_like(model(x)))
    optim.SGD(model.parameters(), lr=0.1, momentum=0.9).step()


def test_a_fault_in_a_slice_is_raised_and_blas_gets_its_threads_back() -> None:
    numpy_impl.set_num_threads(2)

    def fail_late(part: slice) -> None:
        if part.start > 0:
            raise ValueError("in a slice")

    for _ in range(3):
        with pytest.raises(ValueError, match="in a slice"):
            kernel_threads.for_each_slice(fail_late, 10, 10**7)
        assert numpy_impl.get_num_threads() == 2
    seen: list[int] = []
    kernel_threads.for_each_slice(lambda part: seen.extend(range(part.start, part.stop)), 10, 10**7)
    assert sorted(seen) == list(range(10))


@pytest.mark.parametrize(
    "operation",
    [
        lambda: nn.Conv2d(3, 8, 3)(np.ones((4, 3, 128, 128), "f")),
        lambda: nn.MaxPool2d(2)(np.ones((4, 16, 70, 70), "f")),
        lambda: nn.Linear(300, 200)(np.ones((64, 300), "f")),
        lambda: kernel_threads.for_each(int, [1]),
        lambda: kernel_threads.for_each(int, [1, 2]),
        lambda: kernel_threads.for_each(int, ["one"]),
        lambda: kernel_threads.for_each(int, [1, "two", 3]),
        lambda: kernel_threads.with_one_blas_thread(lambda: int("one")),
        lambda: kernel_threads.for_each(lambda _: kernel_threads.for_each(int, [1, 2]), [1, 2, 3]),
        lambda: kernel_threads.with_one_blas_thread(
            lambda: kernel_threads.for_each(int, [1, "two"])
        ),
    ],
)
def test_the_number_of_threads_is_put_back(operation) -> None:
    numpy_impl.set_num_threads(8)
    with contextlib.suppress(ValueError):
        operation()
    assert numpy_impl.get_num_threads() == 8


def test_the_last_of_overlapping_callers_puts_the_number_back() -> None:
    numpy_impl.set_num_threads(3)
    entered, leave = [[threading.Event() for _ in range(2)] for _ in range(2)]
    seen: list[int] = []

    def call(number: int) -> None:
        def stay() -> None:
            entered[number].set()
            leave[number].wait(30)
            seen.append(numpy_impl.get_num_threads())

        kernel_threads.with_one_blas_thread(stay)

    callers = [threading.Thread(target=call, args=(i,)) for i in range(2)]
    for number, caller in enumerate(callers):
        caller.start()
        assert entered[number].wait(30)
    for number, caller in enumerate(callers):  # the first one in is the first one out
        leave[number].set()
        caller.join(30)
    assert seen == [1, 1], "BLAS had several threads while one caller was still inside"
    assert numpy_impl.get_num_threads() == 3


def test_many_overlapping_callers_leave_the_number_as_it_was() -> None:
    numpy_impl.set_num_threads(3)

    def call(_: int) -> None:
        for items in ([1], [1, 2], [1, 2, 3]):
            kernel_threads.for_each(int, items)
            kernel_threads.with_one_blas_thread(int)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(call, range(200)))
    assert numpy_impl.get_num_threads() == 3


def test_a_number_set_meanwhile_holds_afterwards() -> None:
    numpy_impl.set_num_threads(3)
    kernel_threads.with_one_blas_thread(lambda: numpy_impl.set_num_threads(2))
    assert numpy_impl.get_num_threads() == 2


def test_an_interrupted_wait_leaves_no_answer_for_the_next_caller(monkeypatch) -> None:
    numpy_impl.set_num_threads(2)
    done: list[int] = []

    def work(item: int) -> None:  # the helper is the last to finish
        time.sleep(0.02 if threading.current_thread() is threading.main_thread() else 0.2)
        done.append(item)

    with monkeypatch.context() as patch:
        patch.setattr(
            kernel_threads._Helper, "finish", lambda _: signal.raise_signal(signal.SIGINT)
        )
        with pytest.raises(KeyboardInterrupt):
            kernel_threads.for_each(work, range(4))
    assert numpy_impl.get_num_threads() == 2
    time.sleep(0.5)  # until its answer to the interrupted caller is there
    done.clear()
    kernel_threads.for_each(work, range(4))
    assert sorted(done) == [0, 1, 2, 3]


def test_blas_has_one_thread_inside_slices() -> None:
    numpy_impl.set_num_threads(2)
    seen: list[int] = []
    kernel_threads.for_each_slice(lambda _: seen.append(numpy_impl.get_num_threads()), 10, 10**7)
    kernel_threads.for_each(lambda _: seen.append(numpy_impl.get_num_threads()), [0])
    assert seen == [1, 1, 1]
    assert numpy_impl.get_num_threads() == 2


def test_once_a_thread() -> None:
    """One object for each thread, and the same one again."""
    own = kernel_threads.once_a_thread(list)
    with ThreadPoolExecutor(1) as pool:
        theirs = [pool.submit(own).result() for _ in range(2)]
    assert own() is own()
    assert theirs[0] is theirs[1]
    assert own() is not theirs[0]


def test_errstate_holds_in_the_helpers() -> None:
    numpy_impl.set_num_threads(2)
    x = np.full((40, 16, 30, 30), 3e38, "f")
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        nn.AvgPool2d(2)(x)


def test_several_callers_at_once() -> None:
    numpy_impl.set_num_threads(2)
    constructor, shape = LAYERS[0]
    wanted = run(constructor, shape, "float32", 2)[0]
    layers = []
    for _ in range(3):
        numpy_impl.manual_seed(0)
        layers.append(eval(f"nn.{constructor}", {"nn": nn}))
    x = np.random.default_rng(0).standard_normal(shape).astype("f")
    outputs: dict[int, np.ndarray] = {}
    threads = [
        threading.Thread(target=lambda i=i: outputs.update({i: layers[i](x)})) for i in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for output in outputs.values():
        np.testing.assert_array_equal(output, wanted)
    assert len(outputs) == 3


def _in_child(queue) -> None:
    numpy_impl.set_num_threads(2)
    queue.put(nn.ReLU()(np.ones((40, 16, 30, 30), "f")).sum())


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_starts_its_own_helpers() -> None:
    if "fork" not in multiprocessing.get_all_start_methods():
        return  # nothing is inherited there
    numpy_impl.set_num_threads(2)
    nn.ReLU()(np.ones((40, 16, 30, 30), "f"))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(queue,))
    child.start()
    assert queue.get(timeout=30) == 40 * 16 * 900
    child.join()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_forked_meanwhile_has_the_number_too() -> None:
    if "fork" not in multiprocessing.get_all_start_methods():
        return
    numpy_impl.set_num_threads(3)
    entered, leave = threading.Event(), threading.Event()

    def stay() -> None:
        entered.set()
        leave.wait(60)

    caller = threading.Thread(target=kernel_threads.with_one_blas_thread, args=(stay,))
    caller.start()
    assert entered.wait(30)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_numbers, args=(queue,))
    child.start()
    assert queue.get(timeout=30) == [3, 1, 3]
    child.join()
    leave.set()
    caller.join(30)
    assert numpy_impl.get_num_threads() == 3


def _numbers(queue) -> None:
    number = numpy_impl.get_num_threads
    queue.put([number(), kernel_threads.with_one_blas_thread(number), number()])


@pytest.mark.parametrize("num", [0, -1, 1.5, True, "2"])
def test_wrong_numbers_are_refused(num) -> None:
    with pytest.raises(ValueError, match="num must be an int of at least 1"):
        numpy_impl.set_num_threads(num)
