"""Fault injection: small sweeps are killed or damaged and must be complete after a resume.

Every trial injects one fault into a small sweep at a random time and runs the same command again.
Then all rows must be stored and equal those of a sweep without faults, except for timings. No
stored run may be repeated, and no process and no temporary file may be left.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa

from bench.errors import BenchError, StoreError
from bench.storage.compatibility import run_spec_of
from bench.storage.records import FAILED, SCHEMA
from bench.storage.rows import read_rows, write_rows
from bench.storage.store import Store
from bench.tools import misbehaving
from bench.tools.misbehaving import STATUSES

#: Columns that may differ between two runs of the same specification.
TIMINGS = ("train_seconds", "eval_seconds", "eval_train_seconds", "started_at", "n_jobs")
#: Command of the sweep: eight runs of a fraction of a second each.
SWEEP = (
    *("sweep", "--name", "soak", "--iterations", "400", "--eval-every", "200", "--seeds", "4"),
    *("--optimizers", "sgd,adam", "--n-jobs", "2", "--no-report", "--quiet"),
)
#: Timeout of a command in seconds.
_TIMEOUT = 180.0


@dataclass(frozen=True, kw_only=True)
class TrialCounts:
    """Number of trials of one kind of fault, and their outcomes.

    `lost` has one message for each trial with lost or wrong data.
    """

    kind: str
    tried: int = 0
    survived: int = 0
    lost: tuple[str, ...] = ()


class LostError(Exception):
    """A sweep lost data or left something behind after a fault."""


def soak(directory: Path, rng: int, kinds: Sequence[str] = ()) -> Iterator[TrialCounts]:
    """Inject faults in turn, without end, and yield the counts of the kind after each trial.

    `directory` is the parent of the sweeps' directories; that of a trial is removed unless it
    failed. `rng` seeds the times and choices, but how far a sweep is at a given time is not
    reproducible. `kinds` are keys of :data:`FAULTS`, all by default. Raise StoreError if the
    reference sweep fails.
    """
    random = Random(rng)
    trials = _Trials(directory, random)
    counts = {kind: TrialCounts(kind=kind) for kind in kinds or FAULTS}
    number = 0
    while True:
        for kind, count in counts.items():
            number += 1
            counts[kind] = trials.run(count, directory / f"trial-{number}")
            yield counts[kind]


class _Trials:
    """Comparison of sweeps after a fault with a reference sweep without faults."""

    def __init__(self, directory: Path, random: Random) -> None:
        self.random = random
        reference = directory / "reference"
        started = time.monotonic()
        code, _, err = finish(start(reference))
        self.seconds = time.monotonic() - started
        if code:
            raise StoreError(f"the reference sweep failed: {err.strip()}")
        self.rows = rows_in(reference)

    def run(self, counts: TrialCounts, place: Path) -> TrialCounts:
        """Inject one fault into a sweep in the directory `place`, and return the new counts."""
        try:
            FAULTS[counts.kind](self, place)
        except (LostError, BenchError, OSError, subprocess.TimeoutExpired) as error:
            message = f"{place}: {error}"
            return replace(counts, tried=counts.tried + 1, lost=(*counts.lost, message))
        shutil.rmtree(place, ignore_errors=True)
        return replace(counts, tried=counts.tried + 1, survived=counts.survived + 1)

    def wait(self) -> None:
        """Sleep for a random time, at most the duration of a sweep."""
        time.sleep(self.random.uniform(0.05, self.seconds))

    def check_partial(self, place: Path) -> dict[str, Any]:
        """Check that all stored rows are correct; return the start times by run key."""
        stored = {row["run_key"]: row for row in rows_in(place)} if place.exists() else {}
        return self.check_rows(stored)

    def check_rows(self, stored: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Check that rows of the sweep are correct; return the start times by run key."""
        known = {row["run_key"]: row for row in self.rows}
        for key, row in stored.items():
            require(row["status"] == "ok", f"{key[:8]} is stored as {row['status']}")
            is_equal = without_timings(row) == without_timings(known[key])
            require(is_equal, f"{key[:8]} has a different result")
        return {key: row["started_at"] for key, row in stored.items()}

    def check_resumed(self, place: Path, ended: subprocess.Popen[str]) -> None:
        """Check that a sweep left no process and only correct rows, and can be completed."""
        _require_no_process(ended.pid)
        self.check_whole(place, self.check_partial(place))

    def check_whole(self, place: Path, before: Mapping[str, Any] | None = None) -> None:
        """Run the command again, and check that it completes the sweep without repeating runs.

        `before` holds the start times of the stored runs, from :meth:`check_partial`.
        """
        code, _, err = finish(start(place))
        require(code == 0, f"the resumed sweep ended with code {code}: {err.strip()[-300:]}")
        after = self.check_partial(place)
        require(len(after) == len(self.rows), f"{len(after)} of {len(self.rows)} rows are stored")
        again = [key for key, at in (before or {}).items() if after[key] != at]
        require(not again, f"{len(again)} stored runs were repeated")
        left = [f for f in place.rglob("*") if f.name.endswith(".tmp") or f.name == ".running"]
        require(not left, f"temporary files are left: {left}")


def _signalled(number: signal.Signals, codes: Sequence[int]) -> Callable[[_Trials, Path], None]:
    def inflict(trials: _Trials, place: Path) -> None:
        process = start(place)
        trials.wait()
        if number == signal.SIGINT:  # a terminal sends it to every process of the group
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        code, out, err = finish(process)
        require(code in (0, *codes), f"the sweep ended with code {code}")
        require("Traceback" not in out + err, f"the sweep printed a traceback: {err[-300:]}")
        trials.check_resumed(place, process)

    return inflict


def _worker_killed(trials: _Trials, place: Path) -> None:
    process = start(place)
    trials.wait()
    while not (workers := _workers_of(process.pid)) and process.poll() is None:
        time.sleep(0.02)  # the workers have not started yet
    for pid in trials.random.sample(workers, min(1, len(workers))):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    code, _, err = finish(process)
    require(code == 0, f"the sweep ended with code {code}: {err.strip()[-300:]}")
    trials.check_resumed(place, process)


def _disk_full(trials: _Trials, place: Path) -> None:
    largest = trials.random.choice((0, 4_000, 12_000))  # a row has about 20,000 bytes
    process = start(place, largest_file=largest)
    code, _, err = finish(process)
    require(code in (1, 2), f"the sweep ended with code {code}")
    require("Traceback" not in err, f"the sweep printed a traceback: {err[-300:]}")
    names_path = ("cannot" in err and str(place.name) in err) or "soak" in err
    require(names_path, f"the message does not contain the path: {err}")
    trials.check_resumed(place, process)


def _file_damaged(trials: _Trials, place: Path) -> None:
    store = Store(place / "results" / "soak")
    store.create()
    for row in trials.rows:
        file = store.run_file(run_spec_of(row))
        write_rows(pa.Table.from_pylist([row], schema=SCHEMA), file)
    victim = trials.random.choice(sorted(store.runs_directory.iterdir()))
    content = victim.read_bytes()
    kind = trials.random.choice(("empty", "truncated", "overwritten"))
    if kind == "overwritten":
        at = trials.random.randrange(4, len(content) - 64)
        damaged = content[:at] + trials.random.randbytes(64) + content[at + 64 :]
    else:
        damaged = content[: trials.random.randrange(len(content))] if kind == "truncated" else b""
    victim.write_bytes(damaged)
    is_damaged = not _is_readable(victim)  # overwritten bytes may be unused
    trials.check_whole(place)
    quarantined = list(store.quarantine_directory.glob("*"))
    require(
        len(quarantined) == is_damaged,
        f"{victim.name} ({kind}): the files in quarantine are {quarantined}",
    )
    if is_damaged:
        require(quarantined[0].read_bytes() == damaged, "the file in quarantine was changed")


def _two_at_once(trials: _Trials, place: Path) -> None:
    first, second = start(place), start(place)
    ended = [finish(process) for process in (first, second)]
    codes = sorted(code for code, _, _ in ended)
    require(codes in ([0, 0], [0, 2]), f"the sweeps ended with codes {codes}")
    refused = [err for code, _, err in ended if code == 2]
    require(all("another sweep" in err for err in refused), f"the second sweep printed {refused}")
    trials.check_whole(place, trials.check_partial(place))


def _user_code(trials: _Trials, place: Path) -> None:
    """Add an optimizer that misbehaves; interrupt every second sweep at a random time."""
    name = trials.random.choice(sorted(STATUSES))
    optimizers = f"sgd,adam,{misbehaving.__name__}:{name}"
    words = ("--optimizers", optimizers, "--timeout", "10")
    if trials.random.random() < 0.5:
        process = start(place, words)
        trials.wait()
        process.send_signal(trials.random.choice((signal.SIGTERM, signal.SIGINT, signal.SIGKILL)))
        finish(process)
        _require_no_process(process.pid)
    process = start(place, words)
    code, out, err = finish(process)
    expected = STATUSES[name]
    require(code == (expected == FAILED), f"with {name} the sweep ended with code {code}: {err}")
    require("Traceback" not in out + err, f"with {name} it printed a traceback: {err[-300:]}")
    _require_no_process(process.pid)
    rows = {row["run_key"]: row for row in rows_in(place)}
    others = {row["run_key"]: rows.pop(row["run_key"], None) for row in trials.rows}
    require(None not in others.values(), f"with {name} other rows are missing")
    trials.check_rows({key: row for key, row in others.items() if row is not None})
    require(len(rows) == len(trials.rows) // 2, f"{len(rows)} rows of {name} are stored")
    found = {row["status"] for row in rows.values()}
    require(found == {expected}, f"the rows of {name} are {found}")


FAULTS: Mapping[str, Callable[[_Trials, Path], None]] = {
    "parent killed (SIGKILL)": _signalled(signal.SIGKILL, (-signal.SIGKILL,)),
    "parent ended (SIGTERM)": _signalled(signal.SIGTERM, (143, -signal.SIGTERM)),
    "Ctrl-C": _signalled(signal.SIGINT, (130, -signal.SIGINT)),
    "worker killed (SIGKILL)": _worker_killed,
    "disk full": _disk_full,
    "file damaged": _file_damaged,
    "two at once": _two_at_once,
    "user code": _user_code,
}


def start(
    place: Path, more: Sequence[str] = (), *, largest_file: int | None = None
) -> subprocess.Popen[str]:
    """Start the sweep, with more options, in a new session.

    Writes beyond `largest_file` bytes of a file fail.
    """
    place.mkdir(parents=True, exist_ok=True)

    def limit() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored in the background of a script
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    return subprocess.Popen(
        [sys.executable, "-m", "bench", *SWEEP, *more],
        cwd=place,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=limit,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for a process and return its exit code, output and errors.

    After a timeout the process is killed together with its children.
    """
    try:
        out, err = process.communicate(timeout=_TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, out, err


def processes_of(session: int) -> list[int]:
    """Return the running processes of a session from /proc; none on systems without /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(stat.parent.name))
    return found


def _workers_of(session: int) -> list[int]:
    """Return the worker processes of a session; git, which runs for a moment, is not one."""
    found = []
    for pid in processes_of(session):
        with suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() == "bench-worker":
                found.append(pid)
    return found


def rows_in(place: Path) -> list[dict[str, Any]]:
    """Return the stored rows of the sweep in `place`."""
    rows: list[dict[str, Any]] = Store(place / "results" / "soak").read_rows().to_pylist()
    return rows


def without_timings(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without the columns :data:`TIMINGS`."""
    return {name: value for name, value in row.items() if name not in TIMINGS}


def require(condition: bool, message: str) -> None:
    """Raise LostError with the message unless the condition is true."""
    if not condition:
        raise LostError(message)


def _require_no_process(session: int) -> None:
    deadline = time.monotonic() + 10
    while processes_of(session):
        require(time.monotonic() < deadline, f"processes are left: {processes_of(session)}")
        time.sleep(0.1)


def _is_readable(file: Path) -> bool:
    try:
        read_rows(file)
    except StoreError:
        return False
    return True
