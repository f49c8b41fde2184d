"""Result dataclasses in; pages, tables and figures out; no statistics here.

``render`` and ``write`` make the page, ``verdict`` its opening sentences, ``runs_figure`` and the
others its figures as matplotlib Figures. ``write_change``, ``change_verdict`` and ``change_figure``
do the same for two sweeps against each other, ``change_markdown`` is a comment. ``markdown``,
``latex_table`` and ``rows_csv`` are the report in other forms; ``check_report`` says whether a page
is what it should be.
"""

from bench.report import _matplotlib  # noqa: F401 - before anything else imports matplotlib
from bench.report.canvas import NARROW, WIDE, Layout
from bench.report.change import change_verdict
from bench.report.change_figure import change_figure
from bench.report.change_markdown import change_markdown
from bench.report.change_page import render_change, write_change
from bench.report.check import check_report
from bench.report.curves_figure import curves_figure
from bench.report.forest_figure import forest_figure
from bench.report.latex import latex_table
from bench.report.markdown import markdown
from bench.report.page import render, write
from bench.report.rank_figure import rank_figure
from bench.report.rates_figure import rates_figure
from bench.report.rows import rows_csv
from bench.report.runs_figure import runs_figure
from bench.report.seed_figure import seed_figure
from bench.report.target_figure import target_figure
from bench.report.wording import verdict

__all__ = [
    "NARROW",
    "WIDE",
    "Layout",
    "change_figure",
    "change_markdown",
    "change_verdict",
    "check_report",
    "curves_figure",
    "forest_figure",
    "latex_table",
    "markdown",
    "rank_figure",
    "rates_figure",
    "render",
    "render_change",
    "rows_csv",
    "runs_figure",
    "seed_figure",
    "target_figure",
    "verdict",
    "write",
    "write_change",
]
