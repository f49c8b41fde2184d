"""One colour and one marker per optimizer, the same in every figure and table of a report.

The tutorial's eight optimizers have fixed styles. Other variants take the free styles in the order
of their names. Colours and markers have different periods, so 80 optimizers have different styles.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path

from bench.analysis.results import SweepAnalysis
from bench.report.text.published import TEST_ACCURACY

#: Line colours on a light and on a dark page; report.css holds the same pairs. Found by random
#: search: at least 3:1 against the page (WCAG 2.2, 1.4.11) and the largest least distance in OKLab
#: under simulated protanopia, deuteranopia and tritanopia (Machado et al. 2009).
LIGHT = ("#9a4c76", "#a02b07", "#23a685", "#333c99", "#a18508", "#106faf", "#642151", "#a67af8")
DARK = ("#c571a4", "#ee600e", "#a1f3c4", "#6495fa", "#d0d736", "#60c9f1", "#955263", "#7b52d0")
#: The filled markers, and how much larger than a circle each is drawn to look as large.
MARKERS = ("o", "s", "D", "^", "v", "P", "X", ">", "<", "p")


#: Half the width of the symbols of :func:`marker_paths`.
SYMBOL_EXTENT = 0.9
_SIZES = {"o": 1.0, "s": 0.95, "D": 0.9, "P": 1.25, "X": 1.2, "p": 1.1}
_TRIANGLE = 1.15


@dataclass(frozen=True, kw_only=True)
class Style:
    """Style of one optimizer: `index` identifies it in the page, `slot` numbers its colour."""

    index: int
    slot: int
    marker: str

    def size(self, diameter: float) -> float:
        """Size of the marker at which it looks as large as a circle of `diameter`."""
        return diameter * _SIZES.get(self.marker, _TRIANGLE)

    @property
    def extent(self) -> float:
        """Half the width of the marker, as a share of the diameter given to :meth:`size`."""
        return self.size(1.0) * _largest_coordinate(_path_of(self.marker))

    @property
    def colour(self) -> str:
        """Its colour on a light page, in hexadecimal."""
        return LIGHT[self.slot]


def styles_of(analysis: SweepAnalysis) -> dict[str, Style]:
    """Assign a style to every name in figures and tables of `analysis`."""
    named = (
        *(t.name for t in analysis.comparison.treatments),
        *(v.treatment for v in analysis.variants),
        *(c.treatment for c in analysis.curves),
        *(i.treatment for i in analysis.incidents),
    )
    return assign_styles(named)


def assign_styles(names: Iterable[str]) -> dict[str, Style]:
    """Assign a style to every name, independent of their order."""
    known = {name: index for index, name in enumerate(TEST_ACCURACY)}
    wanted = set(names)
    taken = {name: known[name] for name in known if name in wanted}
    free = (i for i in range(len(wanted) + len(known)) if i not in set(taken.values()))
    others = {name: next(free) for name in sorted(wanted - set(taken))}
    return {name: _style(index) for name, index in {**taken, **others}.items()}


def _style(index: int) -> Style:
    turn = index // len(LIGHT)
    return Style(
        index=index, slot=index % len(LIGHT), marker=MARKERS[(index + turn) % len(MARKERS)]
    )


def marker_paths() -> Mapping[str, str]:
    """Return the SVG path data of every marker by name, within a square from -1 to 1."""
    return {marker: _svg_path(marker) for marker in MARKERS}


def marker_name(marker: str) -> str:
    """Return the id of the symbol of `marker`."""
    return f"marker-{MARKERS.index(marker)}"


def _svg_path(marker: str) -> str:
    path = _path_of(marker)
    scale = SYMBOL_EXTENT / _largest_coordinate(path)
    commands = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C"}
    words: list[str] = []
    for vertices, code in path.iter_segments(curves=True, simplify=False):
        if code == Path.CLOSEPOLY:
            words.append("Z")
            continue
        points = np.reshape(vertices, (-1, 2)) * [scale, -scale]
        words.append(commands[code] + " ".join(_coordinate(v) for v in points.ravel()))
    return "".join(words)


def _path_of(marker: str) -> Path:
    style = MarkerStyle(marker)
    return style.get_path().transformed(style.get_transform())


def _largest_coordinate(path: Path) -> float:
    return float(np.abs(path.vertices).max())


def _coordinate(value: float) -> str:
    # Adding zero turns -0.0 into 0.0.
    return f"{round(float(value), 3) + 0.0:.3f}".rstrip("0").rstrip(".")
