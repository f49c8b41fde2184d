"""Fault injection into real sweeps, one trial each; scripts/soak.py runs more trials.

Signals and concurrent sweeps are tested in test_cli.py, full disks in test_environment.py.
"""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import pytest
from _scripts import load_script

from bench.errors import StoreError
from bench.tools import fault_injection as soak
from bench.tools.fault_injection import FAULTS, LostError, TrialCounts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc"),
]


#: Sweep in one process, which starts twice as fast as one with two workers.
SMALL_SWEEP = (
    *("sweep", "--name", "soak", "--iterations", "20", "--eval-every", "20", "--seeds", "2"),
    *("--optimizers", "sgd,adam", "--in-process", "--no-report", "--quiet"),
)


@pytest.mark.long
def test_killed_worker_loses_no_rows(tmp_path: Path) -> None:
    kind = "worker killed (SIGKILL)"
    (counts,) = islice(soak.soak(tmp_path, 1, (kind,)), 1)
    assert counts == TrialCounts(kind=kind, tried=1, survived=1)


@pytest.mark.long
def test_damaged_file_is_repaired_and_wrong_row_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong row is detected, and the directory of a failed trial is kept."""

    def spoil(trials: soak._Trials, place: Path) -> None:
        process = soak.start(place)
        soak.finish(process)
        trials.rows[0]["test_correct"] += 1
        trials.check_whole(place)

    kind = "file damaged"
    monkeypatch.setattr(soak, "SWEEP", SMALL_SWEEP)
    monkeypatch.setattr(soak, "FAULTS", {kind: FAULTS[kind], "spoilt": spoil})
    repaired, spoilt = islice(soak.soak(tmp_path, 1), 2)
    assert repaired == TrialCounts(kind=kind, tried=1, survived=1)
    assert (spoilt.tried, spoilt.survived) == (1, 0)
    (message,) = spoilt.lost
    assert message.endswith("has a different result")
    assert (tmp_path / "trial-2" / "results").is_dir()


@pytest.mark.parametrize("condition", [True, False])
def test_require(condition: bool) -> None:
    if condition:
        soak.require(condition, "x")
        return
    with pytest.raises(LostError, match=r"^x$"):
        soak.require(condition, "x")


@pytest.mark.long
def test_failing_reference_sweep_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "SWEEP", ("sweep", "--optimizers", "nobody"))
    with pytest.raises(StoreError, match=r"the reference sweep failed: .*nobody"):
        next(soak.soak(tmp_path, 1))


def test_the_script_needs_linux(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "bench.tools.fault_injection")
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    monkeypatch.setattr(sys, "platform", "win32")
    assert load_script("soak").main([]) == 2
    assert "soak needs Linux's /proc and resource limits, this is win32" in capsys.readouterr().err


def test_the_script_prints_what_was_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = [TrialCounts(kind=kind, tried=1, survived=1) for kind in FAULTS]
    counts[-1] = TrialCounts(kind=counts[-1].kind, tried=1, lost=("a row is missing",))
    monkeypatch.setattr(soak, "soak", lambda _directory, _rng: iter(counts))
    monkeypatch.setattr("tempfile.mkdtemp", lambda **_: str(tmp_path))
    assert load_script("soak").main(["--minutes", "0.0001", "--quiet"]) == 1
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.splitlines()[-1] == "LOST: a row is missing"
    assert tmp_path.exists()
