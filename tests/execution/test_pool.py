"""Worker processes: interruptions while they start, and what killed programs leave."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from joblib.externals.loky import process_executor

from bench.execution import pool
from bench.execution.timeouts import RunTimeoutError, time_limit

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


def interrupt() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


@pytest.mark.parametrize("in_main_thread", [True, False])
def test_an_interruption_while_workers_start_is_not_lost(in_main_thread: bool) -> None:
    """The operating system may deliver a signal of the process to any thread."""
    reached: list[str] = []
    go = threading.Event()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt_when_told() -> None:
        go.wait()
        if not in_main_thread:
            signal.raise_signal(signal.SIGINT)

    other = threading.Thread(target=interrupt_when_told)  # before SIGINT is blocked
    other.start()

    def start_workers() -> None:
        with pool._interrupts_deferred():
            if in_main_thread:
                interrupt()
            go.set()
            other.join()
            reached.append("the end of the block")

    try:
        with pytest.raises(KeyboardInterrupt):
            start_workers()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert reached
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_an_ignored_interruption_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pool._interrupts_deferred():
            interrupt()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_items_that_wait_when_the_pool_is_closed_end_no_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An interruption may come between an item and the thread that passes it to the workers."""
    manager, failed = process_executor._ExecutorManagerThread, []
    stopped, go = threading.Event(), threading.Event()
    wait = manager.wait_result_broken_or_wakeup

    def wait_and_stop(self: object) -> object:
        found = wait(self)
        stopped.set()
        go.wait()
        return found

    monkeypatch.setattr(manager, "wait_result_broken_or_wakeup", wait_and_stop)
    monkeypatch.setattr(threading, "excepthook", failed.append)
    workers = pool.WorkerPool(1)
    workers._submit(abs, [1])
    flags = workers._executor._flags
    flag = flags.flag_as_shutting_down

    def flag_and_go(kill_workers: bool | None = None) -> None:
        flag(kill_workers)
        go.set()

    monkeypatch.setattr(flags, "flag_as_shutting_down", flag_and_go)
    stopped.wait()
    workers._submit(abs, [2])
    workers.close()
    assert failed == []


def test_semaphores_of_killed_programs_are_removed(tmp_path: Path) -> None:
    (gone,) = (n for n in [2**22 + 1] if not Path(f"/proc/{n}").exists())
    files = {
        f"sem.loky-{gone}-abc": False,
        f"sem.loky-{gone}-new": True,
        f"sem.loky-{os.getpid()}-abc": True,
        "sem.mp-abc": True,
        "sem.loky-other": True,
    }
    for name in files:
        (tmp_path / name).touch()
        if not name.endswith("-new"):
            os.utime(tmp_path / name, (0, 0))
    pool._remove_semaphores(tmp_path)
    assert {name: (tmp_path / name).exists() for name in files} == files


def test_a_timeout_does_not_interrupt_an_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module would stay initialized in part, and later runs would fail."""
    (tmp_path / "slow_import.py").write_text("import time\ntime.sleep(0.4)\nDONE = True\n")
    monkeypatch.syspath_prepend(tmp_path)

    def run() -> None:
        with time_limit(0.1, "late"):
            importlib.import_module("slow_import")
            time.sleep(60)

    with pytest.raises(RunTimeoutError, match="late"):
        run()
    assert sys.modules.pop("slow_import").DONE
