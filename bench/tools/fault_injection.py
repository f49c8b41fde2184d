"""Faults on purpose: real sweeps are killed, crowded and damaged, and must lose nothing.

Every trial inflicts one fault on a small sweep at a random moment, gives the same command again,
and compares: all rows there, each the same as in an undisturbed sweep bit for bit (timings aside),
none done twice that was stored, no process and no temporary file left.
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
from bench.storage.records import SCHEMA
from bench.storage.rows import read_rows, write_rows
from bench.storage.store import Store

#: What may differ between two runs of the same specification.
TIMINGS = ("train_seconds", "eval_seconds", "eval_train_seconds", "started_at", "n_jobs")
#: The sweep that is disturbed: eight runs of a fraction of a second each.
SWEEP = (
    *("sweep", "--name", "soak", "--iterations", "400", "--eval-every", "200", "--seeds", "4"),
    *("--optimizers", "sgd,adam", "--n-jobs", "2", "--no-report", "--quiet"),
)
#: A command that takes longer than this hangs.
_PATIENCE = 180.0


@dataclass(frozen=True, kw_only=True)
class TrialCounts:
    """How often one kind of fault was tried, and what came of it.

    `lost` holds what went wrong, one sentence for each trial that did not survive.
    """

    kind: str
    tried: int = 0
    survived: int = 0
    lost: tuple[str, ...] = ()


class LostError(Exception):
    """A fault did harm; the message says which."""


def soak(directory: Path, rng: int, kinds: Sequence[str] = ()) -> Iterator[TrialCounts]:
    """Try one fault after the other, without end; yield the tally of its kind after each trial.

    Parameters
    ----------
    directory
        For the sweeps; each trial's is removed unless it lost something.
    rng
        Seed of the moments and choices; how far a sweep has come by then it does not decide.
    kinds
        Of :data:`FAULTS`; all of them by default.

    Raises
    ------
    StoreError
        If the undisturbed sweep fails.
    """
    random = Random(rng)
    trials = _Trials(directory, random)
    tallies = {kind: TrialCounts(kind=kind) for kind in kinds or FAULTS}
    number = 0
    while True:
        for kind, tally in tallies.items():
            number += 1
            tallies[kind] = trials.run(tally, directory / f"trial-{number}")
            yield tallies[kind]


class _Trials:
    """Compares disturbed sweeps with one that nobody disturbed."""

    def __init__(self, directory: Path, random: Random) -> None:
        self.random = random
        undisturbed = directory / "undisturbed"
        started = time.monotonic()
        code, _, err = finish(start(undisturbed))
        self.seconds = time.monotonic() - started
        if code:
            raise StoreError(f"the undisturbed sweep failed: {err.strip()}")
        self.rows = rows_in(undisturbed)

    def run(self, tally: TrialCounts, place: Path) -> TrialCounts:
        try:
            FAULTS[tally.kind](self, place)
        except (LostError, BenchError, OSError, subprocess.TimeoutExpired) as error:
            said = f"{place}: {error}"
            return replace(tally, tried=tally.tried + 1, lost=(*tally.lost, said))
        shutil.rmtree(place, ignore_errors=True)
        return replace(tally, tried=tally.tried + 1, survived=tally.survived + 1)

    def wait(self) -> None:
        """Until some moment of a sweep's life."""
        time.sleep(self.random.uniform(0.05, self.seconds))

    def check_partial(self, place: Path) -> dict[str, Any]:
        """What is stored is true; returns when each of these runs started."""
        stored = {row["run_key"]: row for row in rows_in(place)} if place.exists() else {}
        known = {row["run_key"]: row for row in self.rows}
        for key, row in stored.items():
            require(row["status"] == "ok", f"{key[:8]} is stored as {row['status']}")
            require(timeless(row) == timeless(known[key]), f"{key[:8]} has another result")
        return {key: row["started_at"] for key, row in stored.items()}

    def check_whole(self, place: Path, before: Mapping[str, Any] | None = None) -> None:
        """The same command completes the sweep, without doing again what is stored."""
        code, _, err = finish(start(place))
        require(code == 0, f"the same command again ends with {code}: {err.strip()[-300:]}")
        after = self.check_partial(place)
        require(len(after) == len(self.rows), f"{len(after)} of {len(self.rows)} rows are there")
        again = [key for key, at in (before or {}).items() if after[key] != at]
        require(not again, f"{len(again)} stored runs were done again")
        left = [f for f in place.rglob("*") if f.name.endswith(".tmp") or f.name == ".running"]
        require(not left, f"{left} is left")


# ---------------------------------------------------------------- faults


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
        require(code in (0, *codes), f"ends with {code}")
        require("Traceback" not in out + err, f"a traceback: {err[-300:]}")
        _require_no_process(process.pid)
        trials.check_whole(place, trials.check_partial(place))

    return inflict


def _worker_killed(trials: _Trials, place: Path) -> None:
    process = start(place)
    trials.wait()
    while not (workers := _workers_of(process.pid)) and process.poll() is None:
        time.sleep(0.02)  # they are not there yet
    for pid in trials.random.sample(workers, min(1, len(workers))):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    code, _, err = finish(process)
    require(code == 0, f"ends with {code}: {err.strip()[-300:]}")
    _require_no_process(process.pid)
    trials.check_whole(place, trials.check_partial(place))


def _disk_full(trials: _Trials, place: Path) -> None:
    largest = trials.random.choice((0, 4_000, 12_000))  # a row has about 20,000 bytes
    process = start(place, largest_file=largest)
    code, _, err = finish(process)
    require(code in (1, 2), f"ends with {code}")
    require("Traceback" not in err, f"a traceback: {err[-300:]}")
    require(("cannot" in err and str(place.name) in err) or "soak" in err, f"no path in: {err}")
    _require_no_process(process.pid)
    trials.check_whole(place, trials.check_partial(place))


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
    noticed = not _is_sound(victim)
    trials.check_whole(place)
    aside = list(store.quarantine_directory.glob("*"))
    require(len(aside) == noticed, f"{victim.name} ({kind}) was {aside or 'not set aside'}")
    if noticed:
        require(aside[0].read_bytes() == damaged, "what was set aside is not what was damaged")


def _two_at_once(trials: _Trials, place: Path) -> None:
    first, second = start(place), start(place)
    ended = [finish(process) for process in (first, second)]
    codes = sorted(code for code, _, _ in ended)
    require(codes in ([0, 0], [0, 2]), f"they end with {codes}")
    refused = [err for code, _, err in ended if code == 2]
    require(all("another sweep" in err for err in refused), f"the second says {refused}")
    trials.check_whole(place, trials.check_partial(place))


FAULTS: Mapping[str, Callable[[_Trials, Path], None]] = {
    "parent killed (SIGKILL)": _signalled(signal.SIGKILL, (-signal.SIGKILL,)),
    "parent ended (SIGTERM)": _signalled(signal.SIGTERM, (143, -signal.SIGTERM)),
    "Ctrl-C": _signalled(signal.SIGINT, (130, -signal.SIGINT)),
    "worker killed (SIGKILL)": _worker_killed,
    "disk full": _disk_full,
    "file damaged": _file_damaged,
    "two at once": _two_at_once,
}


# ---------------------------------------------------------------- processes and rows


def start(place: Path, largest_file: int | None = None) -> subprocess.Popen[str]:
    """The sweep, in a session of its own; writing more than `largest_file` bytes fails."""
    place.mkdir(parents=True, exist_ok=True)

    def limit() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    return subprocess.Popen(
        [sys.executable, "-m", "bench", *SWEEP],
        cwd=place,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=limit,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, output and errors; a process that hangs is killed with all it started."""
    try:
        out, err = process.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, out, err


def processes_of(session: int) -> list[int]:
    """The living processes of a session, by /proc; none where there is none."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(stat.parent.name))
    return found


def _workers_of(session: int) -> list[int]:
    """The processes of a session that joblib started: not git, which is asked for the commit."""
    found = []
    for pid in processes_of(session):
        with suppress(OSError):
            if b"loky" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def rows_in(place: Path) -> list[dict[str, Any]]:
    """The stored rows of the sweep in `place`."""
    rows: list[dict[str, Any]] = Store(place / "results" / "soak").read_rows().to_pylist()
    return rows


def timeless(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without what may differ."""
    return {name: value for name, value in row.items() if name not in TIMINGS}


def require(held: bool, otherwise: str) -> None:
    """Raise LostError with that message unless it held."""
    if not held:
        raise LostError(otherwise)


def _require_no_process(session: int) -> None:
    deadline = time.monotonic() + 10
    while processes_of(session):
        require(time.monotonic() < deadline, f"processes live on: {processes_of(session)}")
        time.sleep(0.1)


def _is_sound(file: Path) -> bool:
    try:
        read_rows(file)
    except StoreError:
        return False
    return True
