"""Faults on real sweeps, once each; scripts/soak.py inflicts them for as long as asked.

Signals that end a sweep, and two sweeps at once, are in test_cli.py; full disks in
test_environment.py.
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


#: In one process, which starts twice as fast as one with two workers.
SMALL_SWEEP = (
    *("sweep", "--name", "soak", "--iterations", "20", "--eval-every", "20", "--seeds", "2"),
    *("--optimizers", "sgd,adam", "--n-jobs", "1", "--no-report", "--quiet"),
)


def test_nothing_is_lost_when_a_worker_is_killed(tmp_path: Path) -> None:
    kind = "worker killed (SIGKILL)"
    (tally,) = islice(soak.soak(tmp_path, 1, (kind,)), 1)
    assert tally == TrialCounts(kind=kind, tried=1, survived=1)


def test_damage_is_mended_and_what_is_lost_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault that spoils a row is noticed, and the place where it happened stays."""

    def spoil(trials: soak._Trials, place: Path) -> None:
        process = soak.start(place)
        soak.finish(process)
        trials.rows[0]["test_correct"] += 1
        trials.check_whole(place)

    kind = "file damaged"
    monkeypatch.setattr(soak, "SWEEP", SMALL_SWEEP)
    monkeypatch.setattr(soak, "FAULTS", {kind: FAULTS[kind], "spoilt": spoil})
    mended, spoilt = islice(soak.soak(tmp_path, 1), 2)
    assert mended == TrialCounts(kind=kind, tried=1, survived=1)
    assert (spoilt.tried, spoilt.survived) == (1, 0)
    (said,) = spoilt.lost
    assert said.endswith("has another result")
    assert (tmp_path / "trial-2" / "results").is_dir()


@pytest.mark.parametrize("held", [True, False])
def test_require(held: bool) -> None:
    if held:
        soak.require(held, "x")
        return
    with pytest.raises(LostError, match=r"^x$"):
        soak.require(held, "x")


def test_a_sweep_that_fails_by_itself_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "SWEEP", ("sweep", "--optimizers", "nobody"))
    with pytest.raises(StoreError, match=r"the undisturbed sweep failed: .*nobody"):
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
