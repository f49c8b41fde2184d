"""Hostile surroundings: the rows are those of everywhere, or one line says what is wrong.

Every case is the real program in processes of its own; only the rows that they are compared with
are made here.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import DIGITS, CommandCall, CommandLine, Environment, Finished

import bench
from bench import cli
from bench.datasets.names import DATA_DIR_VARIABLE
from bench.errors import UsageError
from bench.execution import _joblib
from bench.execution.environment import available_cores
from bench.storage.store import Store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's limits and capabilities"),
]

REPOSITORY = Path(bench.__file__).parents[1]
SWEEP = (
    *("sweep", "--name", "x", "--iterations", "20", "--eval-every", "20"),
    *("--optimizers", "sgd,adam", "--quiet", *DIGITS),
)
TWO_SEEDS = (*SWEEP, "--seeds", "2")
#: Columns that say when, how fast and where a run was made.
OF_THE_PLACE = (
    *("train_seconds", "eval_seconds", "eval_train_seconds", "started_at"),
    *("n_jobs", "cores", "git_commit"),
)
#: Bytes: more than one row takes, less than forty in one file.
ROOM_FOR_A_ROW = 27_000
#: Root is asked for permission too once it has given up these.
OBEDIENT = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
#: Nobody may start only so many processes, but still finds this Python in root's home.
NOBODY = (
    *("setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=+dac_override,+dac_read_search"),
    *("--ambient-caps=+dac_override,+dac_read_search", "--bounding-set=-sys_resource,-sys_admin"),
)


def rows_in(results: Path) -> list[dict[str, Any]]:
    return sorted(Store(results / "x").read_rows().to_pylist(), key=_identity)


def _identity(row: dict[str, Any]) -> tuple[str, int]:
    return row["optimizer"], row["seed"]


def learned(results: Path) -> list[dict[str, Any]]:
    """The rows without what belongs to the place."""
    return [
        {name: value for name, value in row.items() if name not in OF_THE_PLACE}
        for row in rows_in(results)
    ]


def obedient() -> Sequence[str]:
    """What to put before a command so that permissions hold for it."""
    if os.geteuid():
        return ()
    return _usable(OBEDIENT)


def _usable(prefix: Sequence[str]) -> Sequence[str]:
    if shutil.which(prefix[0]) is None:
        pytest.skip("needs setpriv of util-linux")
    tried = subprocess.run([*prefix, "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"privileges cannot be given up here: {tried.stderr.strip()}")
    return prefix


def require_one_line(finished: Finished, code: int) -> str:
    """An error and nothing else; returns it."""
    assert (finished.code, finished.out) == (code, ""), finished.err
    assert finished.err.startswith("optimizer-bench: error: "), finished.err
    assert finished.err.count("\n") == 1, finished.err
    return finished.err


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory: pytest.TempPathFactory, digits: Path) -> Path:
    """The results of the sweep where nothing is special."""
    results = tmp_path_factory.mktemp("ordinary") / "results"
    places = ("--results", str(results), "--data-dir", str(digits.parent))
    assert cli.main([*TWO_SEEDS, "--in-process", "--no-report", *places]) == 0
    return results


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What is odd about a place, and what the program says there; {} is the test's directory."""

    environment: Environment
    options: tuple[str, ...] = ()
    before: Callable[[], None] | None = None
    said: str = ""
    cores: int | None = None
    written: frozenset[str] = field(default_factory=lambda: frozenset({"results"}))


def _close_streams() -> None:
    for descriptor in range(3):
        os.close(descriptor)


def _use_one_core() -> None:
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])


SURROUNDINGS = {
    "no home, no terminal, ASCII, other letters in paths, silly threads": Surroundings(
        environment={
            **{"HOME": None, "LANG": "C", "LC_ALL": "C", "PYTHONUTF8": None},
            "OMP_NUM_THREADS": "rather many",
        },
        options=(
            *("--results", "{}/my rësults 結果", "--reports", "{}/my répörts", "--n-jobs", "2"),
            *("--data-dir", "{}/dåta of mine"),
        ),
        before=_close_streams,
        written=frozenset({"my rësults 結果", "my répörts", "dåta of mine"}),
    ),
    "one core, no asserts, cache a file, TMPDIR missing": Surroundings(
        environment={
            **{"PYTHONOPTIMIZE": "1", "TMPDIR": "{}/missing", "OMP_NUM_THREADS": "1000"},
            DATA_DIR_VARIABLE: "{}/file",
        },
        options=("--no-report",),
        before=_use_one_core,
        said="optimizer-bench: warning: cannot keep the dataset in {}/file (File exists); "
        "it is unpacked into ",
        cores=1,
    ),
}


NAMES = list(SURROUNDINGS)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_rows_are_the_same_wherever_they_are_made(
    name: str, run_command: CommandLine, ordinary: Path
) -> None:
    place, given = run_command.directory, SURROUNDINGS[name]
    (place / "file").write_text("")
    target = place / "elsewhere"
    target.mkdir()
    options = [option.replace("{}", str(place)) for option in given.options]
    results = Path(options[1]) if "--results" in options else place / "results"
    results.symlink_to(target)  # a link does as well as a directory
    environment = {
        key: value.replace("{}", str(place)) if value else value
        for key, value in given.environment.items()
    }
    finished = run_command(*TWO_SEEDS, *options, environment=environment, before=given.before)
    assert finished.code == 0, finished.err
    assert finished.out == ""
    # the OpenMP library has its own opinion of a number of threads that is none; of the processes
    # only the program's own says it, since lines of several at once get mixed up
    assert finished.err.count("libgomp: ") <= 1, finished.err
    lines = [line for line in finished.err.splitlines() if line and "libgomp: " not in line]
    assert len(lines) == bool(given.said), finished.err
    assert all(line.startswith(given.said.replace("{}", str(place))) for line in lines)
    assert learned(results) == learned(ordinary)
    cores = given.cores or available_cores()
    assert {(r["cores"], r["n_jobs"]) for r in rows_in(results)} == {(cores, given.cores or 2)}
    written = {file.name for file in place.iterdir()} - {"file", "elsewhere"}
    assert written == given.written
    assert (target / "x" / "runs.parquet").is_file()
    if "--reports" in options:
        assert ">adam<" in (place / "my répörts" / "x.html").read_text(encoding="utf-8")


#: A module that Python imports at its start: the system has no semaphores.
NO_SEMAPHORES = """
import _multiprocessing
class NoSemaphore(_multiprocessing.SemLock):
    def __new__(cls, *args, **kwargs):
        raise OSError(38, "Function not implemented")
_multiprocessing.SemLock = NoSemaphore
"""
NO_WORKERS = {
    "switched off": ({"JOBLIB_MULTIPROCESSING": "0"}, "JOBLIB_MULTIPROCESSING=0"),
    "no semaphores": (
        {"PYTHONPATH": f"{{}}:{os.environ.get('PYTHONPATH', '')}"},
        "this system has no semaphores (/dev/shm)",
    ),
}


@pytest.mark.parametrize(
    ("name", "n_jobs"),
    [
        pytest.param("switched off", 2, marks=pytest.mark.long),
        pytest.param("switched off", 1, marks=pytest.mark.long),
        pytest.param("no semaphores", 1, marks=pytest.mark.long),
        pytest.param("no semaphores", 2, marks=pytest.mark.long),
    ],
)
def test_without_workers_runs_are_made_in_one_process(
    name: str, n_jobs: int, run_command: CommandLine, ordinary: Path
) -> None:
    place, (variables, reason) = run_command.directory, NO_WORKERS[name]
    (place / "sitecustomize.py").write_text(NO_SEMAPHORES)
    environment = {key: value.replace("{}", str(place)) for key, value in variables.items()}
    options = ("--n-jobs", str(n_jobs), "--no-report")
    finished = run_command(*TWO_SEEDS, *options, environment=environment)
    warning = (
        f"optimizer-bench: warning: 2 workers are not available because {reason}: the work is "
        "done in one process\n"
    )
    assert (finished.code, finished.out) == (0, "")
    assert finished.err == (warning if n_jobs == 2 else "")
    assert learned(place / "results") == learned(ordinary)
    assert {(r["cores"], r["n_jobs"]) for r in rows_in(place / "results")} == {
        (available_cores(), 1)
    }


def test_without_workers_a_command_trains_itself(
    call_command: CommandCall, monkeypatch: pytest.MonkeyPatch, ordinary: Path
) -> None:
    """As the program above, where joblib has found no worker processes."""
    monkeypatch.delitem(_joblib.joblib.parallel.BACKENDS, "loky")
    reasons = {"0": "JOBLIB_MULTIPROCESSING=0", "1": "this system has no semaphores"}
    for switch, reason in reasons.items():
        monkeypatch.setenv("JOBLIB_MULTIPROCESSING", switch)
        assert (_joblib.why_no_workers() or "").startswith(reason)
    with warnings.catch_warnings():
        warnings.simplefilter("always")  # as in a program
        finished = call_command(*TWO_SEEDS, "--n-jobs", "2", "--no-report")
    assert (finished.code, finished.out, finished.err.count("\n")) == (0, "", 1)
    assert "warning: 2 workers are not available because this system has no sem" in finished.err
    assert learned(call_command.directory / "results") == learned(ordinary)
    assert {row["n_jobs"] for row in rows_in(call_command.directory / "results")} == {1}


def test_what_measures_workers_needs_them(
    call_command: CommandCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_joblib, "why_no_workers", lambda: "JOBLIB_MULTIPROCESSING=0")
    error = require_one_line(call_command("benchmark"), 2)
    assert "benchmark needs worker processes, not available because JOBLIB_MULTI" in error


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JOBLIB_START_METHOD", "nonsense"),  # a ValueError of the import
        pytest.param("LOKY_MAX_CPU_COUNT", "all", marks=pytest.mark.long),  # of the first call
        pytest.param("LOKY_PICKLER", "no_such_module", marks=pytest.mark.long),  # an ImportError
        pytest.param("JOBLIB_MULTIPROCESSING", "false", marks=pytest.mark.long),
        pytest.param("LOKY_MAX_DEPTH", "", marks=pytest.mark.long),
    ],
)
@pytest.mark.long
def test_variables_of_joblib_that_it_refuses_are_named(
    name: str, value: str, run_command: CommandLine
) -> None:
    error = require_one_line(run_command(*TWO_SEEDS, environment={name: value}), 2)
    assert error.startswith("optimizer-bench: error: cannot use joblib (")
    assert error.endswith(f": check the environment variable {name}={value}\n")
    assert not (run_command.directory / "results").exists()


@pytest.mark.parametrize(
    ("name", "value"), [("LOKY_MAX_CPU_COUNT", "all"), ("LOKY_PICKLER", "no_such_module")]
)
def test_what_joblib_refuses_later_is_named_too(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here joblib is imported already; as it would be, it fails without the module."""

    def refuse(_name: str) -> None:
        raise ImportError(f"No module named {os.environ['LOKY_PICKLER']!r}")

    monkeypatch.setenv(name, value)
    if name == "LOKY_PICKLER":
        monkeypatch.setattr(_joblib, "import_module", refuse)
    with pytest.raises(UsageError, match=f"cannot use joblib .* variable {name}={value}$"):
        _joblib._load()


@pytest.mark.parametrize(
    ("name", "value"),
    [("JOBLIB_TEMP_FOLDER", "/proc/x"), ("LOKY_MAX_CPU_COUNT", "-1"), ("LOKY_PICKLER", "pickle")],
)
@pytest.mark.long
def test_other_variables_of_joblib_change_no_row(
    name: str, value: str, run_command: CommandLine, ordinary: Path
) -> None:
    finished = run_command(*TWO_SEEDS, "--no-report", environment={name: value})
    assert (finished.code, finished.out, finished.err) == (0, "", "")
    assert learned(run_command.directory / "results") == learned(ordinary)


@pytest.mark.long
def test_installed_where_nothing_can_be_written(run_command: CommandLine, ordinary: Path) -> None:
    prefix = obedient()
    place = run_command.directory
    source, installed = place / "source", place / "site-packages"
    source.mkdir()
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    shutil.copytree(
        REPOSITORY / "bench", source / "bench", ignore=shutil.ignore_patterns("__pycache__")
    )
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    options = ["--no-build-isolation", "--no-compile", "--disable-pip-version-check"]
    made = subprocess.run(
        [*pip, *options, "--target", installed, source], capture_output=True, text=True
    )
    if any(word in made.stderr for word in ("bdist_wheel", "No module named", "BackendUnavail")):
        pytest.skip("needs pip, and setuptools that can build wheels")
    assert made.returncode == 0, made.stderr
    shutil.rmtree(source)
    before = sorted(installed.rglob("*"))
    with _read_only(installed):
        finished = run_command(
            *TWO_SEEDS,
            "--in-process",
            environment={"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": None},
            prefix=prefix,
        )
    assert (finished.code, finished.err) == (0, "")
    assert finished.out == "reports/x.html\n"
    assert learned(place / "results") == learned(ordinary)
    assert {row["git_commit"] for row in rows_in(place / "results")} == {None}
    assert sorted(installed.rglob("*")) == before
    assert {file.name for file in place.iterdir()} == {"site-packages", "results", "reports"}


class _read_only:  # noqa: N801 - reads as a function
    """Nothing can be made in a directory or below it."""

    def __init__(self, directory: Path) -> None:
        self.directories = [directory, *(d for d in directory.rglob("*") if d.is_dir())]

    def __enter__(self) -> None:
        for directory in self.directories:
            directory.chmod(0o555)

    def __exit__(self, *_error: object) -> None:
        for directory in self.directories:
            directory.chmod(0o755)


WORKERS_FAIL = {
    "cannot import": "worker processes die or do not start, which usually means that memory ran",
    "too many processes": "cannot start the workers ([Errno 11] Resource temporarily unavailable)",
}


@pytest.mark.parametrize("name", WORKERS_FAIL)
@pytest.mark.long
def test_workers_that_do_not_start_cost_no_row(
    name: str, run_command: CommandLine, ordinary: Path
) -> None:
    place = run_command.directory
    shutil.copytree(ordinary, place / "results")
    environment = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    prefix: Sequence[str] = ()
    if name == "cannot import":
        environment["PYTHONPATH"] = f"{_poison(place)}:{os.environ.get('PYTHONPATH', '')}"
    else:
        if os.geteuid():
            pytest.skip("limits the processes of another user, which only root can start")
        prefix = _usable((*NOBODY, "prlimit", "--nproc=5:5"))  # one worker starts, not two
    more = (*SWEEP, "--seeds", "3", "--n-jobs", "2", "--no-report")
    finished = run_command(*more, environment=environment, prefix=prefix)
    error = require_one_line(finished, 1)
    assert WORKERS_FAIL[name] in error
    assert "the finished runs are stored: give the same command again, with fewer --n-jobs" in error
    assert learned(place / "results") == learned(ordinary)
    assert not Store(place / "results" / "x").in_flight_directory.exists()


def _poison(place: Path) -> Path:
    """A directory from which every worker's interpreter imports its end."""
    directory = place / "poison"
    directory.mkdir()
    (directory / "sitecustomize.py").write_text(
        "import os, sys\nif any('forkserver' in word for word in sys.orig_argv):\n    os._exit(1)\n"
    )
    return directory


@pytest.mark.long
@pytest.mark.parametrize("room", ["nr_inodes=3", "size=8k"])
def test_no_room_for_semaphores_is_one_line(room: str, run_command: CommandLine) -> None:
    if sys.platform != "linux" or os.geteuid():
        pytest.skip("mounts a small /dev/shm, which only root can on Linux")
    mount = f'mount -t tmpfs -o {room} tmpfs /dev/shm && exec "$@"'
    prefix = _usable(("unshare", "-m", "sh", "-c", mount, "sh"))
    finished = run_command(*TWO_SEEDS, "--n-jobs", "2", "--no-report", prefix=prefix)
    # the process of joblib that removes semaphores may warn too
    error = [line for line in finished.err.splitlines() if "joblib" not in line and line[0] != " "]
    assert (finished.code, len(error)) == (1, 1), finished.err
    assert "optimizer-bench: error: cannot start the workers ([Errno 28] No space" in error[0]


@pytest.mark.long
def test_no_room_for_the_dataset_anywhere(run_command: CommandLine) -> None:
    place = run_command.directory
    (place / "tmp").mkdir()
    finished = run_command(
        *(*TWO_SEEDS, "--in-process", "--no-report", "--data-dir", "data", "--dataset", "mnist"),
        environment={"TMPDIR": str(place / "tmp")},
        before=_limit_files,
    )
    warning, error = finished.err.splitlines()
    assert finished.code == 1
    assert warning.startswith("optimizer-bench: warning: cannot keep the dataset in data (File too")
    assert error == (
        "optimizer-bench: error: cannot keep the dataset in data (File too large), nor in a "
        "temporary directory (File too large): name a directory with room for 120 MB with "
        "--data-dir"
    )
    assert list((place / "tmp").iterdir()) == []


def _limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


@pytest.mark.long
def test_no_room_to_put_the_rows_together_costs_none(
    run_command: CommandLine, ordinary: Path, arrays: Path
) -> None:
    finished = run_command(
        *(*SWEEP, "--seeds", "20", "--in-process", "--no-report"),
        environment={DATA_DIR_VARIABLE: str(arrays.parent)},
        before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_FOR_A_ROW,) * 2),
    )
    assert (finished.code, finished.out) == (0, "")
    assert finished.err == (
        "optimizer-bench: warning: every row stays in a file of its own: cannot write "
        f"{run_command.directory.resolve()}/results/x/runs.parquet: File too large\n"
    )
    found = learned(run_command.directory / "results")
    assert len(found) == 40
    _require_true_part(found, ordinary)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for a few rows."""
    directory = tmp_path / "small"
    directory.mkdir()
    size = ["-t", "tmpfs", "-o", "size=160k", "tmpfs", str(directory)]
    try:
        mounted = subprocess.run(["mount", *size], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("needs mount")
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


@pytest.mark.long
def test_a_disk_that_fills_up_keeps_what_was_finished(
    run_command: CommandLine, small_disk: Path, ordinary: Path
) -> None:
    many = (*SWEEP, "--seeds", "20", "--n-jobs", "2", "--no-report", "--results", small_disk)
    error = require_one_line(run_command(*many), 1)
    assert f"cannot write {small_disk}/x/runs/" in error
    assert error.endswith(".parquet: No space left on device\n")
    _require_true_part(learned(small_disk), ordinary)
    left = [file.name for file in (small_disk / "x").rglob("*") if file.name.endswith(".tmp")]
    assert left == []
    assert not Store(small_disk / "x").in_flight_directory.exists()


def _require_true_part(some: list[dict[str, Any]], ordinary: Path) -> None:
    """Some rows, and where the ordinary sweep has them too, the same."""
    known = {row["run_key"]: row for row in learned(ordinary)}
    common = [row for row in some if row["run_key"] in known]
    assert common
    assert common == [known[row["run_key"]] for row in common]


@pytest.mark.long  # tests/execution/test_runner.py has rows that workers cannot write
def test_results_that_become_read_only_keep_what_was_finished(
    run_command: CommandLine, ordinary: Path
) -> None:
    prefix = obedient()
    results = run_command.directory / "results"
    runs = results / "x" / "runs"
    many = (*SWEEP, "--seeds", "2000", "--n-jobs", "2", "--no-report")
    process = run_command.start(*many, prefix=prefix)
    deadline = time.monotonic() + 120
    while not any(runs.glob("*.parquet")) and process.poll() is None:
        assert time.monotonic() < deadline, "no run ended"
        time.sleep(0.05)
    with _read_only(results):
        out, err = process.communicate(timeout=120)
    error = require_one_line(Finished(process.returncode, out, err), 1)
    assert "cannot write results/x/runs/" in error or f"cannot write {runs}/" in error
    assert error.endswith(".parquet: Permission denied\n")
    _require_true_part(learned(results), ordinary)
