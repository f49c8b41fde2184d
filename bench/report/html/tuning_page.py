"""Render the tuning of all optimizers as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.analysis.results.tuning import Tuning
from bench.analysis.tuning_statistics import with_statistics
from bench.report.context import NO_CONTEXT, ReportContext
from bench.report.figures.change import change_figure
from bench.report.figures.slopes import slopes_figure
from bench.report.figures.styles import assign_styles, marker_name, marker_paths
from bench.report.figures.svg import figure_style
from bench.report.figures.tuning import (
    best_bands_figure,
    searched_name,
    sensitivity_figure,
    trials_figure,
    trials_worth_figure,
)
from bench.report.html.page import fill
from bench.report.html.parts import FigureView, Name, figure_view, name_view
from bench.report.text import format as fmt
from bench.report.text.change import METRIC, ChangeRow, change_description, change_rows
from bench.report.text.format import count
from bench.report.text.sanitize import clean
from bench.report.text.tuning import (
    BudgetRow,
    SelectionRow,
    TunedRow,
    budget_rows,
    budgets,
    protocol,
    ranks_in_words,
    selection_gist,
    selection_note,
    selection_rows,
    tuned_rows,
    tuning_verdict,
)
from bench.storage.files import write_atomically


@dataclass(frozen=True, kw_only=True)
class TuningPage:
    """Everything that tuning.html.j2 prints."""

    title: str
    subtitle: tuple[str, ...]
    verdict: tuple[str, ...]
    protocol: str
    markers: tuple[tuple[str, str], ...]
    names: Mapping[str, Name]
    rows: tuple[TunedRow, ...]
    selection: tuple[SelectionRow, ...]
    selection_gist: str
    selection_note: str
    selection_units: str
    ranks: Mapping[str, str]
    budgets: tuple[int, ...]
    budget_rows: tuple[BudgetRow, ...]
    changes: tuple[ChangeRow, ...]
    warnings: tuple[str, ...]
    level: str
    block: str
    margin: str
    sensitivity: FigureView
    trials: FigureView
    worth: FigureView
    bands: FigureView
    change: FigureView
    slopes: FigureView
    context: ReportContext


def render_tuning(tuning: Tuning, context: ReportContext = NO_CONTEXT) -> str:
    """The page of a tuning, with its statistics, as HTML."""
    with figure_style():
        page = _page(tuning if tuning.statistics else with_statistics(tuning), context)
    return fill("tuning.html.j2", page)


def write_tuning(tuning: Tuning, path: Path | str, context: ReportContext = NO_CONTEXT) -> None:
    """Write the page of a tuning to `path` by an atomic write.

    Raise StoreError if the file cannot be written.
    """
    write_atomically(render_tuning(tuning, context).encode(), Path(path))


def _page(tuning: Tuning, context: ReportContext) -> TuningPage:
    styles = assign_styles(tuned.optimizer for tuned in tuning.optimizers)
    p = tuning.change.parameters
    n_trials = sum(len(t.accuracies) for tuned in tuning.optimizers for t in tuned.tried)
    return TuningPage(
        title=f"{clean(tuning.name)}: defaults and tuned",
        subtitle=(
            count(len(tuning.optimizers), "optimizer"),
            count(n_trials, "trial"),
            count(p.n_blocks, "evaluation seed" if p.block == "seed" else p.block),
        ),
        verdict=tuple(map(clean, tuning_verdict(tuning))),
        protocol=protocol(tuning),
        markers=tuple((marker_name(m), path) for m, path in marker_paths().items()),
        names={name: name_view(name, style) for name, style in styles.items()},
        rows=tuned_rows(tuning),
        selection=selection_rows(tuning),
        selection_gist=selection_gist(tuning),
        selection_note=selection_note(tuning),
        selection_units=(
            "Welch intervals of tuning seeds against evaluation seeds"
            if tuning.n_repeats == 1
            else "t intervals of the differences in each repeat"
        ),
        ranks=ranks_in_words(tuning),
        budgets=budgets(tuning),
        budget_rows=budget_rows(tuning),
        changes=change_rows(tuning.change),
        warnings=tuple(map(clean, tuning.change.warnings)),
        level=fmt.level(1 - p.alpha),
        block=p.block,
        margin="" if p.margin is None else METRIC.margin(p.margin),
        sensitivity=figure_view(
            partial(sensitivity_figure, tuning, styles=styles),
            "sensitivity",
            title=f"Validation accuracy over the {searched_name(tuning)}",
            description="One curve per optimizer; the table above has the chosen settings.",
        ),
        trials=figure_view(
            partial(trials_figure, tuning, styles=styles),
            "trials",
            title="Every trial of each optimizer",
            description="One panel per optimizer; one dot per trial, a line joins the means. The "
            "table of the value of trials has the good ranges.",
        ),
        worth=figure_view(
            partial(trials_worth_figure, tuning, styles=styles),
            "worth",
            title="Expected best validation accuracy over the number of settings tried",
            description="The table below has the values.",
        ),
        bands=figure_view(
            partial(best_bands_figure, tuning, styles=styles),
            "bands",
            title="Expected best of each optimizer with its 10 % and 90 % quantiles",
            description="One panel per optimizer; the table above has values.",
        ),
        change=figure_view(
            partial(change_figure, tuning.change, styles=styles),
            "changes",
            title="Mean test accuracy, tuned minus default, by optimizer",
            description=change_description(tuning.change),
        ),
        slopes=figure_view(
            partial(slopes_figure, tuning.change, styles=styles),
            "slopes",
            title="Mean test accuracy at the defaults and tuned, one line per optimizer",
            description="The table above has the means and ranks.",
        ),
        context=context,
    )
