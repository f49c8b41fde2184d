"""Faults on real sweeps, once each; scripts/soak.py inflicts them for as long as asked.

Signals that end a sweep, and two sweeps at once, are in test_cli.py; full disks in
test_environment.py.
"""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import pytest

from bench import soak
from bench.errors import StoreError
from bench.soak import FAULTS, LostError, Tally

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc"),
]


KINDS = ("worker killed (SIGKILL)", "file damaged")


def test_nothing_is_lost_whatever_happens(tmp_path: Path) -> None:
    assert set(KINDS) < set(FAULTS)
    tallies = {t.kind: t for t in islice(soak.soak(tmp_path, 1, KINDS), len(KINDS))}
    assert tallies == {kind: Tally(kind=kind, tried=1, survived=1) for kind in KINDS}


def test_what_is_lost_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that spoils a row is noticed, and the place where it happened stays."""

    def spoil(trials: soak._Trials, place: Path) -> None:
        process = soak.start(place)
        soak.finish(process)
        trials.rows[0]["test_correct"] += 1
        trials.check_whole(place)

    monkeypatch.setattr(soak, "FAULTS", {"spoilt": spoil})
    (tally,) = islice(soak.soak(tmp_path, 1), 1)
    assert (tally.tried, tally.survived) == (1, 0)
    (said,) = tally.lost
    assert said.endswith("has another result")
    assert (tmp_path / "trial-1" / "results").is_dir()


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
