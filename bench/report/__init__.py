"""Result dataclasses in, one HTML file out; no statistics here.

``render`` and ``write`` make the page, ``verdict`` its opening sentences, ``runs_figure`` and the
others its figures as matplotlib Figures. ``write_change``, ``change_verdict`` and ``change_figure``
do the same for two sweeps against each other, ``change_markdown`` is a comment.
"""

from bench.report.canvas import NARROW, WIDE, Layout
from bench.report.change import change_verdict
from bench.report.change_figure import change_figure
from bench.report.change_markdown import change_markdown
from bench.report.change_page import render_change, write_change
from bench.report.curves_figure import curves_figure
from bench.report.forest_figure import forest_figure
from bench.report.page import render, write
from bench.report.rank_figure import rank_figure
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
    "curves_figure",
    "forest_figure",
    "rank_figure",
    "render",
    "render_change",
    "runs_figure",
    "seed_figure",
    "target_figure",
    "verdict",
    "write",
    "write_change",
]
