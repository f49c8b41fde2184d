"""The leaderboard."""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis.results import Treatment
from bench.report.html.parts import Name, Parts
from bench.report.text import format as fmt
from bench.report.text.lines import LeaderLine, leader_lines


@dataclass(frozen=True)
class Cell:
    """A formatted number and the key that its column is sorted by; an empty key comes last."""

    text: str
    sort: str

    @classmethod
    def of(cls, text: str, value: float | None) -> Cell:
        """A cell sorted by `value`."""
        return cls(text, "" if value is None else repr(value))


@dataclass(frozen=True, kw_only=True)
class LeaderRow:
    """One line of the leaderboard."""

    name: Name
    rank: Cell
    mean: Cell
    interval: str
    std: Cell
    median: Cell
    worst: Cell
    mean_rank: Cell
    letters: str
    n: Cell
    diverged: Cell
    failed: Cell
    seconds: Cell


def leader_rows(parts: Parts) -> tuple[LeaderRow, ...]:
    """All treatments, best mean first."""
    analysis = parts.analysis
    seconds = {t.treatment: t.train_seconds for t in analysis.timings}
    lines = zip(leader_lines(analysis), analysis.comparison.treatments, strict=True)
    return tuple(
        _leader_row(parts, place, line, treatment, seconds.get(treatment.name))
        for place, (line, treatment) in enumerate(lines, start=1)
    )


def _leader_row(
    parts: Parts, place: int, line: LeaderLine, t: Treatment, seconds: float | None
) -> LeaderRow:
    direction = parts.analysis.comparison.parameters.direction
    return LeaderRow(
        name=parts.name(t.name),
        rank=Cell.of(line.rank, float(place)),
        mean=Cell.of(line.mean, t.mean),
        interval=line.interval,
        std=Cell.of(line.std, t.std),
        median=Cell.of(line.median, t.median),
        worst=Cell.of(line.worst, t.min if direction == "higher" else t.max),
        mean_rank=Cell.of(line.mean_rank, t.mean_rank),
        letters=line.letters,
        n=Cell.of(line.runs, t.n),
        diverged=Cell.of(line.diverged, t.n_diverged),
        failed=Cell.of(line.failed, t.n_failed),
        seconds=Cell.of(fmt.seconds(seconds), seconds),
    )
