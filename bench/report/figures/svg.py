"""Convert a matplotlib figure to SVG for use inside a page.

Text stays text in the font of the page. Colours become classes, to which the style sheet of the
page gives a value per theme; the light value stays as an attribute for other viewers. Style
attributes are removed because the content security policy forbids them. Ids get a prefix, so that
several figures can share a page. The same figure gives the same bytes.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from xml.etree import ElementTree

import matplotlib.style
import seaborn as sns
from matplotlib.figure import Figure

from bench.report.figures.styles import LIGHT
from bench.report.text.sanitize import clean

INK, MUTED, GRID, PAPER = "#1c2026", "#59616c", "#e2e5e9", "#ffffff"

_CLASS_OF_COLOUR = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    PAPER: "paper",
    **{colour: f"s{slot}" for slot, colour in enumerate(LIGHT)},
}
_STYLE = {
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.spines.bottom": False,
    "font.family": "sans-serif",
    # The font that comes with matplotlib: positions must not depend on installed fonts.
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 13.0,
    "grid.color": GRID,
    "grid.linewidth": 1.0,
    "path.simplify": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "optimizer-bench",
    "text.color": INK,
    # Dollar signs in names are not mathematics.
    "text.parse_math": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}
_KEPT_FROM_STYLE = frozenset(
    (
        *("fill", "fill-opacity", "font-size", "font-weight", "opacity"),
        *("stroke", "stroke-dasharray", "stroke-dashoffset", "stroke-linecap"),
        *("stroke-linejoin", "stroke-opacity", "stroke-width", "text-anchor"),
    )
)
_PAINT = ("class", "fill", "fill-opacity", "stroke", "stroke-opacity", "stroke-width")
_GID = re.compile(r"optimizer-(\d+)-([a-z]+)")


_is_styled = ContextVar("_is_styled", default=False)


@contextmanager
def figure_style() -> Iterator[None]:
    """Use matplotlib's defaults and the style of the report, whatever the user's settings.

    Inside another one it does nothing: a page enters it once, since that takes milliseconds.
    """
    if _is_styled.get():
        yield
        return
    token = _is_styled.set(True)
    try:
        with _styled():
            yield
    finally:
        _is_styled.reset(token)


@contextmanager
def _styled() -> Iterator[None]:
    with (
        matplotlib.style.context(["default", dict(sns.axes_style("whitegrid")), _STYLE]),
        warnings.catch_warnings(),
    ):
        # The browser renders the text, so glyphs missing in matplotlib's font do not matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        warnings.filterwarnings(
            "ignore", message="Matplotlib currently does not support .* natively"
        )
        yield


def optimizer_gid(index: int, kind: str) -> str:
    """Return the gid by which :func:`inline_svg` assigns an artist to an optimizer."""
    return f"optimizer-{index}-{kind}"


def inline_svg(figure: Figure, *, prefix: str, title: str, description: str) -> str:
    """Convert `figure` to an SVG element for an HTML page.

    Parameters
    ----------
    prefix
        Prefix of every id of this figure; unique within the page.
    title, description
        Alternative text: what the figure shows, and a summary of its numbers.
    """
    root = ElementTree.fromstring(_render(figure))
    _plain_names(root)
    for element in root.iter():
        _style_to_attributes(element)
        _name_the_optimizer(element)
    _drop_boilerplate(root)
    _rename_ids(root, prefix)
    _paint_from_use(root)
    _unwrap_groups(root)
    _frame(root, prefix, title, description)
    return ElementTree.tostring(root, encoding="unicode")


def _render(figure: Figure) -> str:
    buffer = io.StringIO()
    with figure_style():
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return clean(buffer.getvalue())


def _plain_names(root: ElementTree.Element) -> None:
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for name in [n for n in element.attrib if "}" in n]:
            element.set(name.rpartition("}")[2], element.attrib.pop(name))
        if element.tag != "text":
            element.text = None
        element.tail = None


def _style_to_attributes(element: ElementTree.Element) -> None:
    classes: list[str] = []
    for declaration in element.attrib.pop("style", "").split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name not in _KEPT_FROM_STYLE:
            continue
        element.set(name, value.removesuffix("px"))
        if name in ("fill", "stroke") and (role := _CLASS_OF_COLOUR.get(value.lower())):
            classes.extend(_classes(name, role))
    if element.tag == "text" and "fill" not in element.attrib:
        classes.append("f-ink")
    if classes:
        element.set("class", " ".join(dict.fromkeys(classes)))
    for name in ("d", "x", "y", "transform", "stroke-dasharray", "stroke-width"):
        if name in element.attrib:
            element.set(name, _shorter(element.attrib[name]))
    if element.attrib.get("transform", "").startswith(("rotate(0 ", "rotate(-0 ")):
        del element.attrib["transform"]


def _classes(paint: str, role: str) -> tuple[str, ...]:
    letter = "f" if paint == "fill" else "k"
    return (letter, role) if re.fullmatch(r"s\d+", role) else (f"{letter}-{role}",)


def _shorter(text: str) -> str:
    """Round numbers to two decimals and remove superfluous spaces."""
    rounded = re.sub(r"-?\d+\.\d+", lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), text)
    return re.sub(r"(?<![\d.])-0(?![\d.])", "0", " ".join(rounded.split()))


def _name_the_optimizer(element: ElementTree.Element) -> None:
    if match := _GID.fullmatch(element.attrib.get("id", "")):
        element.set("data-optimizer", match[1])
        element.set("data-part", match[2])


def _drop_boilerplate(root: ElementTree.Element) -> None:
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in ("metadata", "style"):
                parent.remove(child)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == "defs" and len(child) == 0:
                parent.remove(child)


def _rename_ids(root: ElementTree.Element, prefix: str) -> None:
    used = re.compile(r"url\(#([^)]+)\)|^#(.+)$")
    names: dict[str, str] = {}
    for element in root.iter():
        for attribute in ("href", "clip-path"):
            if match := used.search(element.attrib.get(attribute, "")):
                names.setdefault(match[1] or match[2], f"{prefix}-{len(names)}")
    for element in root.iter():
        identity = element.attrib.pop("id", None)
        if identity in names:
            element.set("id", names[identity])
        for attribute in ("href", "clip-path"):
            if match := used.search(element.attrib.get(attribute, "")):
                old = match[1] or match[2]
                element.set(attribute, element.attrib[attribute].replace(old, names[old]))


def _paint_from_use(root: ElementTree.Element) -> None:
    """Keep paint attributes on `use` elements, or on their group where they are all equal."""
    for definitions in root.iter("defs"):
        for path in definitions.iter("path"):
            for name in _PAINT:
                path.attrib.pop(name, None)
    for group in root.iter("g"):
        uses = [child for child in group if child.tag == "use"]
        if len(uses) < 2 or len(uses) != len(group):
            continue
        for name in _PAINT:
            values = {use.attrib.get(name) for use in uses}
            if name not in group.attrib and len(values) == 1 and (value := values.pop()):
                group.set(name, value)
                for use in uses:
                    del use.attrib[name]


def _unwrap_groups(parent: ElementTree.Element) -> None:
    children: list[ElementTree.Element] = []
    for child in parent:
        _unwrap_groups(child)
        children.extend(child if child.tag == "g" and not child.attrib else [child])
    parent[:] = children


def _frame(root: ElementTree.Element, prefix: str, title: str, description: str) -> None:
    view_box = _shorter(root.attrib["viewBox"])
    root.attrib.clear()
    root.attrib.update(
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": view_box,
            "role": "img",
            "aria-label": clean(title),
            "aria-describedby": f"{prefix}-description",
            "class": "plot",
            "stroke-linejoin": "round",
        }
    )
    for tag, text in (("desc", description), ("title", title)):
        element = ElementTree.Element(tag, {"id": f"{prefix}-{tag}"} if tag == "title" else {})
        if tag == "desc":
            element.set("id", f"{prefix}-description")
        element.text = clean(text)
        root.insert(0, element)
