"""The leaderboard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.analysis.results import Treatment
from bench.report.html.parts import Name, Parts
from bench.report.text import format as fmt
from bench.report.text.lines import LeaderLine, leader_lines


@dataclass(frozen=True, kw_only=True)
class LeaderRow:
    """One line of the leaderboard.

    `sort` holds the key by which a column is sorted; an empty key comes last.
    """

    name: Name
    cells: LeaderLine
    seconds: str
    sort: Mapping[str, str]


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
    higher = parts.analysis.comparison.parameters.direction == "higher"
    values = {
        **{"rank": float(place), "mean": t.mean, "std": t.std, "median": t.median},
        **{"worst": t.min if higher else t.max, "mean_rank": t.mean_rank},
        **{"runs": t.n, "diverged": t.n_diverged, "failed": t.n_failed, "seconds": seconds},
    }
    return LeaderRow(
        name=parts.name(t.name),
        cells=line,
        seconds=fmt.seconds(seconds),
        sort={name: "" if value is None else repr(value) for name, value in values.items()},
    )
