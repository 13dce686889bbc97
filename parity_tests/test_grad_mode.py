"""no_grad and its brothers: what torch's do, and what threads and generators need beyond."""

import contextlib
import inspect
import threading

import pytest
import torch

import numpy_impl
from numpy_impl.grad_mode import grad_mode

WORLDS = pytest.mark.parametrize("world", [numpy_impl, torch], ids=["ours", "torch's"])
# how each is made, and the mode that it sets
SWITCHES = pytest.mark.parametrize(
    ("make", "mode"),
    [
        (lambda world: world.no_grad(), False),
        (lambda world: world.enable_grad(), True),
        (lambda world: world.set_grad_enabled(False), False),
        (lambda world: world.set_grad_enabled(True), True),
        (lambda world: world.inference_mode(), False),
        (lambda world: world.inference_mode(False), True),
        (lambda world: world.inference_mode(mode=True), False),
    ],
    ids=["no_grad", "enable_grad", "set_False", "set_True", "inference", "not_inference", "mode="],
)


@pytest.fixture(autouse=True)
def modes_are_put_back():
    assert numpy_impl.is_grad_enabled()
    yield
    now, theirs = numpy_impl.is_grad_enabled(), torch.is_grad_enabled()
    grad_mode.enabled = True
    torch.set_grad_enabled(True)
    assert now
    assert theirs


@WORLDS
@SWITCHES
@pytest.mark.parametrize("outer", [True, False])
def test_contexts_nest_and_end_with_an_exception(world, make, mode, outer) -> None:
    with world.set_grad_enabled(outer):
        with contextlib.suppress(ZeroDivisionError), make(world):
            assert world.is_grad_enabled() is mode
            with world.set_grad_enabled(not mode):
                assert world.is_grad_enabled() is not mode
            assert world.is_grad_enabled() is mode
            raise ZeroDivisionError
        assert world.is_grad_enabled() is outer


@WORLDS
@SWITCHES
def test_decorators_keep_the_function_s_face(world, make, mode) -> None:
    def seen(a: int, *, b: int = 2) -> tuple:
        """What it says."""
        return world.is_grad_enabled(), a, b

    decorated = make(world)(seen)
    assert world.is_grad_enabled()
    with world.set_grad_enabled(not mode):
        assert decorated(1, b=3) == (mode, 1, 3)
        assert world.is_grad_enabled() is not mode
    assert (decorated.__name__, decorated.__doc__) == ("seen", "What it says.")
    assert inspect.signature(decorated) == inspect.signature(seen)


@WORLDS
@pytest.mark.parametrize("name", ["no_grad", "enable_grad", "inference_mode"])
def test_bare_decorators(world, name) -> None:
    mode = name == "enable_grad"

    class Model:
        @getattr(world, name)
        def plain(self) -> bool:
            """A method."""
            return world.is_grad_enabled()

        @getattr(world, name)
        def generator(self):
            yield world.is_grad_enabled()

    with world.set_grad_enabled(not mode):
        assert Model().plain() is mode
        assert list(Model().generator()) == [mode]
        assert world.is_grad_enabled() is not mode
    assert Model.plain.__doc__ == "A method."


@WORLDS
def test_set_grad_enabled_acts_at_once(world) -> None:
    world.set_grad_enabled(False)
    assert not world.is_grad_enabled()
    switch = world.set_grad_enabled(True)
    assert world.is_grad_enabled()
    with switch:
        assert world.is_grad_enabled()
    assert not world.is_grad_enabled()  # as before the constructor
    world.set_grad_enabled(mode=True)
    decorate = world.set_grad_enabled(False)
    assert not world.is_grad_enabled()
    decorate(lambda: None)
    assert world.is_grad_enabled()


@SWITCHES
def test_one_object_may_be_entered_again_while_it_is_open(make, mode) -> None:
    switch = make(numpy_impl)
    with switch:
        with switch, numpy_impl.set_grad_enabled(not mode):
            pass
        assert numpy_impl.is_grad_enabled() is mode
    assert numpy_impl.is_grad_enabled()
    with numpy_impl.set_grad_enabled(not mode):
        with switch:
            assert numpy_impl.is_grad_enabled() is mode
        assert numpy_impl.is_grad_enabled() is not mode


@WORLDS
@SWITCHES
@pytest.mark.parametrize("outer", [True, False])
def test_a_generator_has_the_mode_whenever_it_runs(world, make, mode, outer) -> None:
    seen = []

    def body():
        """A generator."""
        try:
            received = yield world.is_grad_enabled()
            seen.append((received, world.is_grad_enabled()))
            try:
                yield 2
            except KeyError as error:
                seen.append((error.args[0], world.is_grad_enabled()))
            yield 3
        finally:
            seen.append(("end", world.is_grad_enabled()))
        return "result"

    decorated = make(world)(body)
    assert inspect.isgeneratorfunction(decorated)
    assert decorated.__doc__ == "A generator."

    def check(value, expected) -> None:
        assert value == expected
        assert world.is_grad_enabled() is outer

    with world.set_grad_enabled(outer):
        generator = decorated()
        check(next(generator), mode)
        check(generator.send("sent"), 2)
        check(generator.throw(KeyError("thrown")), 3)
        with pytest.raises(StopIteration) as stop:
            next(generator)
        check(stop.value.value, "result")
        check(seen, [("sent", mode), ("thrown", mode), ("end", mode)])
        seen.clear()
        generator = decorated()
        next(generator)
        generator.close()
        check(seen, [("end", mode)])
        generator = decorated()
        next(generator)
        with pytest.raises(ValueError, match="unhandled"):
            generator.throw(ValueError("unhandled"))
        check(seen, [("end", mode)] * 2)


def run_in_threads(*functions) -> None:
    """Each function in a thread of its own; their exceptions come out here."""
    errors: list[BaseException] = []

    def guarded(function) -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(f,)) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@SWITCHES
@pytest.mark.parametrize("use", ["context", "decorator"])
def test_threads_may_share_one_object(make, mode, use) -> None:
    """One thread starts in either mode, and each ends in its own."""
    with numpy_impl.set_grad_enabled(True):
        switch = make(numpy_impl)
        both = threading.Barrier(2, timeout=20)

        def inside() -> None:
            both.wait()  # both have entered
            assert numpy_impl.is_grad_enabled() is mode
            both.wait()

        def thread(start: bool, first: bool):
            def run() -> None:
                numpy_impl.set_grad_enabled(start)
                both.wait()
                if not first:  # enter in turn, leave in the same turn: not nested
                    both.wait()
                if use == "decorator":
                    switch(leave)()
                else:
                    with switch:
                        leave()
                assert numpy_impl.is_grad_enabled() is start
                if first:
                    both.wait()

            def leave() -> None:
                if first:
                    both.wait()
                inside()
                if not first:
                    both.wait()

            return run

        run_in_threads(thread(True, first=True), thread(False, first=False))


def test_a_thread_starts_with_gradients() -> None:
    with numpy_impl.no_grad():
        found = []
        run_in_threads(lambda: found.append(numpy_impl.is_grad_enabled()))
        assert found == [True]


def test_a_context_in_a_plain_generator_returns_to_its_own_mode() -> None:
    """Whatever its caller opened and closed in between; and when another thread closes it."""

    def body():
        with numpy_impl.enable_grad():
            yield

    with numpy_impl.no_grad():
        generator = body()
        next(generator)
    assert numpy_impl.is_grad_enabled()

    def other_thread() -> None:
        generator.close()
        assert numpy_impl.is_grad_enabled()

    run_in_threads(other_thread)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: numpy_impl.no_grad(Exception), "got the class Exception: decorate its methods"),
        (lambda: numpy_impl.enable_grad()(int), "enable_grad decorates functions, got the class"),
        (lambda: numpy_impl.no_grad(3), "no_grad decorates functions, got 3"),
        (lambda: numpy_impl.set_grad_enabled(0), "mode must be True or False, got 0"),
        (lambda: numpy_impl.set_grad_enabled(len), "mode must be True or False, got <built-in"),
        (lambda: numpy_impl.inference_mode(1), "mode must be True or False, got 1"),
        (lambda: numpy_impl.no_grad(wait), "can't decorate wait, which is async"),
    ],
)
def test_wrong_use(make, message) -> None:
    with pytest.raises(TypeError, match=message):
        make()


async def wait() -> None:
    pass


def test_they_say_what_they_are() -> None:
    switches = (numpy_impl.no_grad(), numpy_impl.enable_grad(), numpy_impl.inference_mode())
    assert [repr(s) for s in switches] == [
        "no_grad()",
        "enable_grad()",
        "inference_mode(mode=True)",
    ]
    assert repr(numpy_impl.set_grad_enabled(True)) == "set_grad_enabled(mode=True)"
