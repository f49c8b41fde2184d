"""Signals that arrive where Python ignores exceptions."""

from __future__ import annotations

import gc
import signal
import time
import weakref
from collections.abc import Callable, Iterator

import pytest

from bench import cli
from bench.execution import timeouts


class Deleted:
    """Calls a function when it is deleted."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act

    def __del__(self) -> None:
        self.act()


def in_destructor(act: Callable[[], object]) -> None:
    Deleted(act)


def in_collection(act: Callable[[], object]) -> None:
    def callback(phase: str, _: object) -> None:
        if phase == "start":
            act()

    gc.callbacks.append(callback)
    try:
        gc.collect()
    finally:
        gc.callbacks.remove(callback)


class _Removals(list[object]):
    """Pending removals of a dictionary of weak references, which calls a function."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__()
        self.act = act

    def append(self, _: object) -> None:
        self.act()


def in_weak_reference(act: Callable[[], object]) -> None:
    values: weakref.WeakValueDictionary[int, Deleted] = weakref.WeakValueDictionary()
    values[0] = value = Deleted(lambda: None)
    vars(values).update(_iterating={0}, _pending_removals=_Removals(act))
    del value


PLACES = (in_destructor, in_collection, in_weak_reference)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Those of Python: the tests may run where signals are ignored, as in the background."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("place", PLACES)
def test_a_run_is_not_interrupted_there(place: Callable[[Callable[[], object]], None]) -> None:
    """An ignored exception is a warning, which fails the test, and the run would go on."""

    def busy() -> None:
        end = time.monotonic() + 0.2
        while time.monotonic() < end:
            pass

    def run() -> None:
        with timeouts.time_limit(0.1, "too long"):
            place(busy)
            time.sleep(60)

    with pytest.raises(timeouts.RunTimeoutError):
        run()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, cli.INTERRUPTED), (signal.SIGTERM, 143)]
)
def test_a_command_ends_a_little_later(
    place: Callable[[Callable[[], object]], None],
    number: signal.Signals,
    code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def command() -> int:
        place(lambda: signal.raise_signal(number))
        time.sleep(60)
        return 0

    try:
        found: object = cli.run_guarded(command)
    except SystemExit as end:
        found = end.code
    assert found == code
    assert "Traceback" not in capsys.readouterr().err
