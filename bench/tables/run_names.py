"""Split names of runs, such as ``adam_seed3``, into a treatment and a block."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bench.errors import SpecError, TableError

TREATMENT, BLOCK, ANYTHING = "{treatment}", "{block}", "{}"
#: Names that end in the number of a seed: adam/seed_3, lion-lr0.1 (seed=3), sgd.run3; adam_s3;
#: adam_3. Without a word for the seed, a separator must precede the number.
_NUMBERED = tuple(
    re.compile(rf"(?P<treatment>.+?){before}(?P<block>[0-9]+)\)?", re.IGNORECASE)
    for before in (
        r"(?:(?<![a-z])|[\s_./(:-]+)(?:seed|run|rep|trial|fold)[\s_=:-]*",
        r"[\s_./(:-]+s",
        r"[\s_/(:-]+",
    )
)
#: What precedes a number that belongs to the treatment: 1e-3, lr_3.
_SETTING = re.compile(
    r"(\d[.e]|(?<![a-z])(lr|wd|bs|eps|beta\d?|momentum|epochs?|steps?|batch|size|dim|depth|layers?))"
    r"[\s_/(:=-]*",
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
        found = self._match(name.strip())
        if found is None:
            raise TableError(
                f"the run name {name[:80]!r} does not match {self.shown}: say how names are built "
                f"with --run-names, such as '{TREATMENT}_seed{BLOCK}'; {ANYTHING} matches anything"
            )
        return found["treatment"], found["block"]

    def _match(self, name: str) -> re.Match[str] | None:
        if self.pattern is None:
            matches = (expression.fullmatch(name) for expression in _NUMBERED)
            found = next((match for match in matches if match), None)
            is_setting = found and re.search(f"{_SETTING.pattern}$", found["treatment"], re.I)
            return None if is_setting else found
        parts = re.split(r"(\{treatment\}|\{block\}|\{\})", self.pattern)
        expression = "".join(_FIELDS.get(part, re.escape(part)) for part in parts)
        return re.fullmatch(expression, name)
