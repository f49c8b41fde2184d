from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from _scripts import load_script

from bench.spec.model import Workload
from bench.tools import scaling
from bench.tools.scaling import Sample


def test_one_factor_at_a_time_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {"images per batch": (1, 100), "hidden units": (10,), "runs in a stack": (1, 2)}
    monkeypatch.setattr(scaling, "FACTORS", few)
    samples = list(scaling.measure(2, workload=Workload(iterations=2, eval_every=2)))
    expected = [(factor, value) for factor, values in few.items() for value in values]
    assert [(s.factor, s.value) for s in samples] == expected * 2
    assert all(0 < s.runs_per_second < float("inf") for s in samples)


def simulated(repeats: int) -> Iterator[Sample]:
    """The second repeat is twice as fast as the first, at every value."""
    for repeat, (factor, values) in product(range(repeats), scaling.FACTORS.items()):
        for value in values:
            rate = 2.0**repeat / value
            yield Sample(factor=factor, value=value, runs_per_second=rate)


def test_ratios_are_within_a_repeat() -> None:
    points = {(p.factor, p.value): p for p in scaling.summarise(list(simulated(2)))}
    assert points["images per batch", 10].runs_per_second == pytest.approx(0.15)
    assert points["images per batch", 10].relative == pytest.approx(10)
    assert points["workers", 2].relative == 0.5


@pytest.mark.long
def test_the_script_prints_a_table_and_writes_a_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scaling, "measure", simulated)
    files = [tmp_path / "a.svg", tmp_path / "b.svg"]
    for file in files:
        assert load_script("scaling").main(["--repeats", "1", "--output", str(file)]) == 0
    assert "| images per batch | 1,000 | 0.001 | 0.1 |" in capsys.readouterr().out
    assert "runs per second" in files[0].read_text()
    assert files[0].read_bytes() == files[1].read_bytes()
