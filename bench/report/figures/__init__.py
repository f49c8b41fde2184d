"""Figures, drawn with matplotlib on canvases of their own."""

from bench.report.figures import _matplotlib  # noqa: F401 - before anything imports matplotlib
