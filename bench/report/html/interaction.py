"""Data for the script of the page: one JSON block.

It holds the rows and the comparison for downloads, all scores for the seed-by-seed view of a pair,
and the places of readings in the drawings. Of too many runs, it has the scores of those with dots
only, and no rows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bench.analysis.export import document
from bench.report.formats.csv import rows_csv
from bench.report.html.parts import FigureView, Parts, Points
from bench.report.html.views.readings import Reading, ReadingsView
from bench.report.text.sanitize import clean


def page_data(parts: Parts, readings: Sequence[ReadingsView]) -> str:
    """The JSON text, safe inside a script element."""
    analysis, metric = parts.analysis, parts.metric
    treatments = analysis.comparison.treatments
    shown = parts.shown.comparison
    values = {(s.treatment, s.seed): s.value for s in parts.shown.scores}
    data: dict[str, Any] = {
        "name": clean(analysis.name),
        "metric": {
            "factor": metric.factor,
            "digits": metric.digits,
            "unit": metric.unit,
            "difference_unit": metric.difference_unit,
            "direction": analysis.comparison.parameters.direction,
        },
        "block": str(parts.nouns.block),
        "treatments": [_treatment(parts, t.name) for t in treatments],
        "blocks": [clean(str(block)) for block in parts.drawn],
        "scores": [
            [values.get((t.name, block)) for block in parts.drawn] for t in shown.treatments
        ],
        "readings": [_readings(view) for view in readings],
        "analysis": document(shown),
        "csv": None if parts.is_thinned else rows_csv(analysis),
    }
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))  # in ASCII: nothing is lost
    # "<" opens a tag or a comment in a script element, whatever its type
    return text.replace("<", "\\u003c")


def _treatment(parts: Parts, name: str) -> dict[str, Any]:
    shown = parts.name(name)
    return {"name": shown.text, "index": shown.index, "slot": shown.slot, "marker": shown.marker}


def _readings(view: ReadingsView) -> dict[str, Any]:
    return {
        "readings": [_reading(reading) for reading in view.readings],
        "points": {
            key: _points(points) for figure in view.figures for key, points in _drawings(figure)
        },
    }


def _drawings(figure: FigureView) -> tuple[tuple[str, Points], ...]:
    return (
        (f"{figure.name}-wide", figure.wide_points),
        (f"{figure.name}-narrow", figure.narrow_points),
    )


def _reading(reading: Reading) -> list[Any]:
    return [reading.name.index, reading.series, reading.place, reading.group, reading.text]


def _points(points: Points) -> list[int | None]:
    """x and y of each, one after the other; pixels are enough to find the nearest."""
    return [None if p is None else round(p[axis]) for p in points for axis in (0, 1)]
