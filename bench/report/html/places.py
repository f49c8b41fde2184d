"""Describe places in a page by section, and by row, figure, term or data block."""

from __future__ import annotations

import html
import re

#: What names the places behind it. The page is one that this program made.
_LANDMARK = re.compile(
    r"<h[1-3]\b[^>]*>(?P<heading>.*?)</h[1-3]>"
    r"|(?P<row><tr\b)"
    r'|<th scope="row"[^>]*>(?P<head>[^<]+)'
    r"|<bdi>(?P<name>[^<]*)</bdi>"
    r'|role="img" aria-label="(?P<figure>[^"]*)"'
    r"|<dt>(?P<term>.*?)</dt>"
    r'|<script type="[^"]*" id="(?P<data>[^"]*)"'
    r"|(?P<end></tr>|</svg></div>|</dl>|</script>)",
    re.DOTALL,
)


class Places:
    """Walk through a page that :func:`bench.report.render` made; ask for places in its order."""

    def __init__(self, page: str) -> None:
        self._landmarks = _LANDMARK.finditer(page)
        self._next = next(self._landmarks, None)
        self._heading = ""
        self._labels: list[str] = []
        self._is_in_row = False

    def at(self, position: int) -> str:
        """Describe the place of a character, such as ``Leaderboard, adam``."""
        while self._next is not None and self._next.start() <= position:
            self._enter(self._next)
            self._next = next(self._landmarks, None)
        return ", ".join(filter(None, (self._heading, " against ".join(self._labels)))) or "head"

    def _enter(self, landmark: re.Match[str]) -> None:
        kind = str(landmark.lastgroup)
        text = " ".join(html.unescape(re.sub("<[^>]*>", "", landmark[kind])).split())
        if kind == "heading":
            self._heading, self._labels = text, []
        elif kind in ("row", "end"):
            self._labels = []
            self._is_in_row = kind == "row"
        elif kind in ("head", "name"):
            self._labels += [text] if self._is_in_row else []
        else:
            self._labels = [f"data block {text}" if kind == "data" else text]
