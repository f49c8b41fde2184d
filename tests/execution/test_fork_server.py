"""The server that workers are forked from: what they inherit, and that it ends."""

from __future__ import annotations

import gc
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import replace
from functools import partial
from operator import call
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from bench.execution import fork_server
from bench.execution.pool import WorkerPool
from bench.execution.slots import Slots
from bench.execution.timeouts import time_limit
from bench.optimizers.resolve import resolve
from bench.optimizers.schedules import parse_schedule
from bench.optimizers.variants import PRESETS
from bench.spec.expressions import parse_optimizers
from bench.spec.model import Workload

T = TypeVar("T")

pytestmark = pytest.mark.skipif(not fork_server.is_available(), reason="forks workers on Linux")


def in_worker(function: Callable[[], T]) -> T:
    with closing(WorkerPool(1)) as pool:
        (result,) = pool.map(call, [function])
    return result


def state() -> tuple[object, ...]:
    import torch

    names = ("OMP_NUM_THREADS", "BENCH_TEST")
    variables = {name: os.environ.get(name) for name in names}
    return os.getppid(), Path.cwd(), variables, torch.get_num_threads()


def collected() -> tuple[bool, int]:
    return gc.isenabled(), gc.get_freeze_count()


def page_faults_of_the_second_time() -> int:
    import resource

    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [np.ones(4 * 2**20, dtype=np.uint8) for _ in range(8)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def kill_server() -> int:
    server = fork_server.start()
    os.kill(server, signal.SIGKILL)
    os.waitid(os.P_PID, server, os.WEXITED | os.WNOWAIT)  # until it has ended
    return server


def test_workers_have_the_present_directory_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server was started before they changed."""
    server = fork_server.start()
    for number in ("1", "2"):
        directory = tmp_path / number
        directory.mkdir()
        monkeypatch.chdir(directory)
        monkeypatch.setenv("BENCH_TEST", number)
        monkeypatch.setenv("OMP_NUM_THREADS", "7")
        variables = {"OMP_NUM_THREADS": "1", "BENCH_TEST": number}
        assert in_worker(state) == (server, directory, variables, 1)


SIGNALS_AT_START = """
import signal
from multiprocessing import util
from bench.execution import fork_server

spawn = util.spawnv_passfds

def print_and_spawn(path, words, descriptors):
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    print("forkserver" in words[-1], signal.SIGINT in blocked, flush=True)
    return spawn(path, words, descriptors)

util.spawnv_passfds = print_and_spawn
fork_server.start()
print(signal.pthread_sigmask(signal.SIG_BLOCK, []))
"""


def test_interrupts_are_blocked_while_the_server_starts() -> None:
    """Ctrl-C reaches the server too, which would print a traceback before its first import."""
    command = [sys.executable, "-c", SIGNALS_AT_START]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines == ["False True", "True True", "set()"]


def test_a_directory_that_was_removed_does_not_stop_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert in_worker(os.getppid) == fork_server.start()


def test_the_server_has_one_thread() -> None:
    """Forks of a process with several threads may wait for locks that no thread releases."""
    server = in_worker(os.getppid)  # it has imported everything
    assert "Threads:\t1\n" in Path(f"/proc/{server}/status").read_text()


def test_workers_do_not_collect_what_the_server_has_imported() -> None:
    is_enabled, n_frozen = in_worker(collected)
    assert is_enabled
    assert n_frozen > 100_000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_workers_keep_freed_memory() -> None:
    """Without the setting, half of the 8,192 pages are mapped again."""
    assert in_worker(page_faults_of_the_second_time) < 1000


@pytest.mark.long
def test_the_end_of_a_worker_is_known_where_sigchld_is_blocked() -> None:
    """A program inherits the signals that are blocked in the one that has started it."""
    kill_server()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    try:
        with time_limit(60, "the pool waits for its worker"):
            in_worker(state)
        assert signal.SIGCHLD in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        kill_server()


def test_the_pool_breaks_if_the_server_ends_as_it_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new server follows one that was killed, with or without workers."""
    fork, killed = fork_server.fork, {1}

    def kill_and_fork(descriptors: list[int]) -> tuple[int, int]:
        pipes = fork(descriptors)
        killed.add(kill_server())
        return pipes

    with monkeypatch.context() as patch:
        patch.setattr(fork_server, "fork", kill_and_fork)
        killed.add(kill_server())
        with pytest.raises(BrokenProcessPool, match="a worker died as it was started"):
            in_worker(os.getpid)
    assert in_worker(os.getppid) == fork_server.start()
    assert fork_server.start() not in killed


def test_without_a_server_workers_are_new_interpreters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path of a socket may have 107 characters."""
    kill_server()
    directory = tmp_path / ("d" * 100)
    directory.mkdir()
    monkeypatch.setattr(fork_server, "_servers", {})
    monkeypatch.setattr("multiprocessing.util.get_temp_dir", lambda: str(directory))
    assert in_worker(os.getppid) == os.getpid()


@pytest.mark.parametrize(("device", "is_forked"), [("cpu:0", True), ("cuda:0", False)])
def test_workers_on_gpus_are_new_interpreters(device: str, is_forked: bool, tmp_path: Path) -> None:
    """CUDA must not be used before a fork, and imports may do so."""
    from bench.execution.forked_process import ForkedContext  # not on Windows

    with closing(WorkerPool(1, Slots(tmp_path, (device,)))) as pool:
        assert isinstance(pool._executor._context, ForkedContext) == is_forked


SCRIPT = """
import multiprocessing, os, sys
from bench.execution import fork_server
fork_server.start()
print(multiprocessing.get_start_method(allow_none=True), flush=True)
sys.stdin.read()
"""


FORKS = """
import os
from bench.execution import fork_server
server = fork_server.start()
if (child := os.fork()) == 0:
    other = fork_server.start()
    os._exit(server == other)
print(os.waitpid(child, 0)[1], server == fork_server.start())
"""


@pytest.mark.long
def test_a_program_that_forks_has_a_server_for_each_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKS],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0 True\n", "")


@pytest.fixture
def program() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("is_killed", [pytest.param(False, marks=pytest.mark.long), True])
def test_the_server_ends_with_its_program_and_prints_nothing(
    is_killed: bool, program: subprocess.Popen[str]
) -> None:
    assert program.stdout is not None
    assert program.stdout.readline() == "None\n"  # the program may choose its method later
    if is_killed:
        program.kill()
    # stderr ends when the last process that has it ends: the server, which may still import
    assert program.communicate(timeout=120) == ("", "")


def imported_by_steps(arrays: Path) -> list[str]:
    from bench.execution.train_job import load_data
    from bench.training.stack import train

    specs = [resolve(expression) for expression in parse_optimizers(",".join(PRESETS["source"]))]
    data, workload = load_data(arrays, "cpu"), Workload(iterations=2, eval_every=2)
    for spec in (*specs, replace(specs[0], schedule=parse_schedule("one-cycle").text)):
        train(workload, spec, [0], data)
    return [name for name in sys.modules if name in ("torch._dynamo", "sympy")]


def test_steps_of_torch_need_no_compiler(digits: Path) -> None:
    """Importing torch._dynamo would take each new process two seconds."""
    assert in_worker(partial(imported_by_steps, digits)) == []
