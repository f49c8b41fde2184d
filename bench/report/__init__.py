"""Pages, tables and figures from the result dataclasses of :mod:`bench.analysis`.

``render`` and ``write`` make the page, ``verdict`` its opening sentences, ``runs_figure`` and the
others its figures as matplotlib Figures. ``write_change``, ``change_verdict`` and ``change_figure``
do the same for a comparison of two sweeps, and ``change_markdown`` writes it as a comment;
``write_tuning``, ``tuning_verdict`` and ``tuning_markdown`` do it for a tuning.
``markdown``, ``latex_table`` and ``rows_csv`` write the report in other formats. A
``ReportContext`` holds what a report shows beside the results. ``check_report`` compares a page
with the rows that it was made from. Each name is imported when it is first used, so text does not
import matplotlib.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__all__ = [
    "NARROW",
    "WIDE",
    "Layout",
    "ReportContext",
    "change_figure",
    "change_markdown",
    "change_verdict",
    "check_report",
    "curves_figure",
    "forest_figure",
    "latex_table",
    "looks_figure",
    "markdown",
    "rank_figure",
    "rates_figure",
    "render",
    "render_change",
    "render_tuning",
    "rows_csv",
    "runs_figure",
    "seed_figure",
    "table_csv",
    "target_figure",
    "tuning_markdown",
    "tuning_verdict",
    "verdict",
    "write",
    "write_change",
    "write_tuning",
]

if TYPE_CHECKING:
    from bench.report.context import ReportContext
    from bench.report.figures.canvas import NARROW, WIDE, Layout
    from bench.report.figures.change import change_figure
    from bench.report.figures.curves import curves_figure
    from bench.report.figures.forest import forest_figure
    from bench.report.figures.looks import looks_figure
    from bench.report.figures.rank import rank_figure
    from bench.report.figures.rates import rates_figure
    from bench.report.figures.runs import runs_figure
    from bench.report.figures.seed import seed_figure
    from bench.report.figures.target import target_figure
    from bench.report.formats.csv import rows_csv, table_csv
    from bench.report.formats.latex import latex_table
    from bench.report.formats.markdown import change_markdown, markdown, tuning_markdown
    from bench.report.html.change_page import render_change, write_change
    from bench.report.html.check import check_report
    from bench.report.html.page import render, write
    from bench.report.html.tuning_page import render_tuning, write_tuning
    from bench.report.text.change import change_verdict
    from bench.report.text.tuning import tuning_verdict
    from bench.report.text.wording import verdict
else:  # hidden from type checkers, which would accept any name with a module __getattr__
    _MODULES = {
        **dict.fromkeys(("NARROW", "WIDE", "Layout"), "figures.canvas"),
        **{name: f"figures.{name[:-7]}" for name in __all__ if name.endswith("_figure")},
        "ReportContext": "context",
        **dict.fromkeys(("rows_csv", "table_csv"), "formats.csv"),
        "latex_table": "formats.latex",
        **dict.fromkeys(("change_markdown", "markdown", "tuning_markdown"), "formats.markdown"),
        **dict.fromkeys(("render_change", "write_change"), "html.change_page"),
        **dict.fromkeys(("render_tuning", "write_tuning"), "html.tuning_page"),
        "check_report": "html.check",
        **dict.fromkeys(("render", "write"), "html.page"),
        "change_verdict": "text.change",
        "tuning_verdict": "text.tuning",
        "verdict": "text.wording",
    }

    def __getattr__(name):
        """Import the module of a public name at first use."""
        if name not in _MODULES:
            raise AttributeError(f"module 'bench.report' has no attribute {name!r}")
        return getattr(import_module(f"bench.report.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
