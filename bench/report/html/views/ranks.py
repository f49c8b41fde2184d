"""Mean ranks and the critical-difference diagram."""

from __future__ import annotations

from dataclasses import dataclass

from bench.report.figures.rank import rank_figure
from bench.report.html.parts import FigureView, Name, Parts
from bench.report.text import format as fmt
from bench.report.text.sanitize import clean


@dataclass(frozen=True, kw_only=True)
class RanksView:
    """The critical-difference diagram, with its groups in words."""

    figure: FigureView
    critical_difference: str
    n_blocks: str
    rows: tuple[tuple[Name, str], ...]
    groups: tuple[str, ...]


def ranks_view(parts: Parts) -> RanksView | None:
    """The critical-difference diagram; None where the analysis has none."""
    diagram = parts.shown.ranks
    if diagram is None:
        return None
    ranks = {t.name: fmt.number(t.mean_rank, 2) for t in parts.analysis.comparison.treatments}
    groups = tuple(fmt.listing(tuple(map(clean, group))) for group in diagram.groups)
    width = fmt.number(diagram.critical_difference, 2)
    return RanksView(
        figure=parts.figure(
            rank_figure,
            "ranks",
            title=f"Mean ranks, and groups within a critical difference of {width}",
            description="; ".join(f"{name} {ranks[name]}" for name in diagram.ranked)
            + f". Groups: {'; '.join(groups) or 'none'}.",
        ),
        critical_difference=width,
        n_blocks=parts.nouns.block.count(diagram.n_blocks),
        rows=tuple((parts.name(name), ranks[name]) for name in diagram.ranked),
        groups=groups,
    )
