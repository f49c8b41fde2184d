"""Split names of runs, such as ``adam_seed3``, into a treatment and a block."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bench.errors import SpecError, TableError

TREATMENT, BLOCK, ANYTHING = "{treatment}", "{block}", "{}"
#: A name that ends in a whole number: adam_3, adam/seed_3, lion-lr0.1 (seed=3), sgd.run3.
_NUMBERED = re.compile(
    r"(?P<treatment>.*?)[\s_./(:-]*(?:(?<![a-z])(?:seed|run|rep|trial|fold|s))?[\s_=:-]*"
    r"(?P<block>[0-9]+)\)?",
    re.IGNORECASE,
)
_FIELDS = {TREATMENT: "(?P<treatment>.+)", BLOCK: r"(?P<block>[^\W_]+)", ANYTHING: ".*?"}


@dataclass(frozen=True)
class RunNames:
    """Pattern of the names of runs; None is a treatment that is followed by a whole number.

    `pattern` is text with ``{treatment}``, ``{block}`` (letters and digits) and ``{}`` for anything
    else.
    """

    pattern: str | None = None

    def __post_init__(self) -> None:
        if self.pattern is not None:
            for part in (TREATMENT, BLOCK):
                if self.pattern.count(part) != 1:
                    raise SpecError(
                        f"--run-names must contain {TREATMENT} and {BLOCK} once, such as "
                        f"'{TREATMENT}_seed{BLOCK}', got {self.pattern!r}"
                    )

    def __str__(self) -> str:
        return self.pattern or ""

    @property
    def shown(self) -> str:
        return self.pattern or f"{TREATMENT} and a number"

    def split(self, name: str) -> tuple[str, str]:
        """Return treatment and block; raise TableError if the name does not match."""
        found = self._expression.fullmatch(name.strip())
        if found is None or not found["treatment"]:
            raise TableError(
                f"the run name {name[:80]!r} does not match {self.shown}: say how names are built "
                f"with --run-names, such as '{TREATMENT}_seed{BLOCK}'; {ANYTHING} matches anything"
            )
        return found["treatment"], found["block"]

    @property
    def _expression(self) -> re.Pattern[str]:
        if self.pattern is None:
            return _NUMBERED
        parts = re.split(r"(\{treatment\}|\{block\}|\{\})", self.pattern)
        return re.compile("".join(_FIELDS.get(part, re.escape(part)) for part in parts))
