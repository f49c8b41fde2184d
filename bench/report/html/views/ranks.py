"""Mean ranks, and the critical-difference diagram where it was asked for."""

from __future__ import annotations

from dataclasses import dataclass

from bench.report.figures.rank import rank_figure
from bench.report.html.parts import FigureView, Name, Parts
from bench.report.text import format as fmt
from bench.report.text.sanitize import clean


@dataclass(frozen=True, kw_only=True)
class RanksView:
    """Mean ranks; `figure` is the critical-difference diagram, with its groups in words."""

    summary: str
    figure: FigureView | None
    critical_difference: str
    n_blocks: str
    rows: tuple[tuple[Name, str], ...]
    groups: tuple[str, ...]


def ranks_view(parts: Parts, *, is_drawn: bool) -> RanksView | None:
    """Mean ranks, with the critical-difference diagram if `is_drawn`; None without ranks."""
    diagram = parts.shown.ranks
    if diagram is None:
        return None
    ranks = {t.name: fmt.number(t.mean_rank, 2) for t in parts.analysis.comparison.treatments}
    groups = tuple(fmt.listing(tuple(map(clean, group))) for group in diagram.groups)
    width = fmt.number(diagram.critical_difference, 2)
    figure = (
        parts.figure(
            rank_figure,
            "ranks",
            title=f"Mean ranks, and groups within a critical difference of {width}",
            description="; ".join(f"{name} {ranks[name]}" for name in diagram.ranked)
            + f". Groups: {'; '.join(groups) or 'none'}.",
        )
        if is_drawn
        else None
    )
    best = diagram.ranked[0]
    return RanksView(
        summary=f"{clean(best)} has the best mean rank, {ranks[best]}. Ranks decide nothing here.",
        figure=figure,
        critical_difference=width,
        n_blocks=parts.nouns.block.count(diagram.n_blocks),
        rows=tuple((parts.name(name), ranks[name]) for name in diagram.ranked),
        groups=groups,
    )
