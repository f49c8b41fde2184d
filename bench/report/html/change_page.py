"""Render the comparison of two sweeps as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.analysis.results import SweepChange
from bench.report.figures.change import change_figure
from bench.report.figures.styles import assign_styles, marker_name, marker_paths
from bench.report.html.page import fill
from bench.report.html.parts import FigureView, Name, figure_view, name_view
from bench.report.text import format as fmt
from bench.report.text.change import (
    METRIC,
    ChangeRow,
    FactRow,
    SpeedRow,
    change_description,
    change_rows,
    change_verdict,
    fact_rows,
    speed_rows,
)
from bench.report.text.format import count
from bench.report.text.sanitize import clean
from bench.storage.files import write_atomically


@dataclass(frozen=True, kw_only=True)
class ChangePage:
    """Everything that change.html.j2 prints."""

    title: str
    before: str
    after: str
    subtitle: tuple[str, ...]
    verdict: tuple[str, ...]
    warnings: tuple[str, ...]
    markers: tuple[tuple[str, str], ...]
    level: str
    alpha: str
    margin: str
    is_paired: bool
    names: Mapping[str, Name]
    rows: tuple[ChangeRow, ...]
    figure: FigureView
    speeds: tuple[SpeedRow, ...]
    facts: tuple[FactRow, ...]
    command: str


def render_change(found: SweepChange) -> str:
    """The page of `found` as HTML."""
    return fill("change.html.j2", _page(found))


def write_change(found: SweepChange, path: Path | str) -> None:
    """Write the page of `found` to `path` by an atomic write.

    Missing parent directories are created.

    Raises
    ------
    StoreError
        If the file cannot be written.
    """
    write_atomically(render_change(found).encode(), Path(path))


def _page(found: SweepChange) -> ChangePage:
    p = found.parameters
    styles = assign_styles(c.optimizer for c in found.changes)
    names = {name: name_view(name, style) for name, style in styles.items()}
    return ChangePage(
        title=f"{clean(found.before)} → {clean(found.after)}: what changed?",
        before=clean(found.before),
        after=clean(found.after),
        subtitle=(count(p.k, "optimizer"), count(p.n_blocks, "common seed")),
        verdict=tuple(map(clean, change_verdict(found))),
        warnings=tuple(map(clean, found.warnings)),
        markers=tuple((marker_name(m), path) for m, path in marker_paths().items()),
        level=fmt.level(1 - p.alpha),
        alpha=fmt.level(p.alpha),
        margin="" if p.margin is None else METRIC.margin(p.margin),
        is_paired=found.is_paired,
        names=names,
        rows=change_rows(found),
        figure=figure_view(
            partial(change_figure, found, styles=styles),
            "changes",
            title="Mean test accuracy after minus before, by optimizer",
            description=change_description(found),
        ),
        speeds=speed_rows(found),
        facts=fact_rows(found),
        command=clean(found.command),
    )
