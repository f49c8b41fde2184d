"""Search spaces: ranges of hyperparameters, and the settings that are tried in them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.errors import SpecError
from bench.spec.ranges import SearchRange

#: Half of the default range of a learning rate, as a factor of its default: four decades in all.
SPAN = 100.0
#: Default range of a learning rate whose class has no default.
WITHOUT_DEFAULT = (1e-4, 1.0)
LEARNING_RATE = "lr"
#: Hyperparameters that are searched on a linear scale, and their default ranges.
LINEAR: Mapping[str, tuple[float, float]] = {"momentum": (0.5, 0.99)}


@dataclass(frozen=True, kw_only=True)
class Space:
    """The ranges that are searched for one optimizer."""

    optimizer: str
    ranges: tuple[SearchRange, ...]

    def settings(self, n_trials: int, seed: int = 0) -> tuple[dict[str, float], ...]:
        """Return the settings that are tried.

        One range: an equally spaced grid that includes both ends. Several ranges: the first points
        of a scrambled Halton sequence [1]_.

        .. [1] Bergstra & Bengio (2012). Random search for hyper-parameter optimization. JMLR 13.
        """
        names = [r.name for r in self.ranges]
        shares: Sequence[Sequence[float]]
        if len(self.ranges) == 1:
            shares = [[i / (n_trials - 1)] for i in range(n_trials)] if n_trials > 1 else [[0.5]]
        else:
            from scipy.stats import qmc

            shares = qmc.Halton(len(self.ranges), rng=seed).random(n_trials).tolist()
        rows = ([r.at(x) for r, x in zip(self.ranges, row, strict=True)] for row in shares)
        return tuple(dict(zip(names, row, strict=True)) for row in rows)


def default_range(name: str, default: object) -> SearchRange:
    """Return the range of a hyperparameter with a default value.

    A learning rate: from a hundredth to a hundred times its default. Raise SpecError if there is no
    default range.
    """
    if name in LINEAR:
        low, high = LINEAR[name]
        return SearchRange(name=name, low=low, high=high, is_log=False)
    if name != LEARNING_RATE:
        raise SpecError(
            f"--tune-over {name}: there is no default range, give one with --space, such as "
            f"'adam[{name}=0.1..1]'"
        )
    if isinstance(default, int | float) and not isinstance(default, bool) and default > 0:
        return SearchRange(name=name, low=default / SPAN, high=default * SPAN)
    return SearchRange(name=name, low=WITHOUT_DEFAULT[0], high=WITHOUT_DEFAULT[1])


def parse_spaces(text: str) -> dict[str, tuple[SearchRange, ...]]:
    """Parse spaces such as ``adam[lr=1e-4..1e-1],sgd[lr=0.01..1,momentum=0.5..0.99]``.

    >>> parse_spaces("adam[lr=1e-4..1e-1]")["adam"][0].high
    0.1

    Raises
    ------
    SpecError
        If it is not of this form, or an optimizer is given twice.
    """
    spaces: dict[str, tuple[SearchRange, ...]] = {}
    for name, inside in re.findall(r"\s*([^\[\],]+)\[([^\]]*)\]\s*,?", text):
        ranges = tuple(_parsed_range(part, text) for part in inside.split(","))
        if name in spaces:
            raise SpecError(f"--space names {name!r} twice")
        spaces[name] = ranges
    if not spaces or re.sub(r"[^\[\],]+\[[^\]]*\]", "", text).strip(", "):
        raise SpecError(
            f"--space must be of the form 'adam[lr=1e-4..1e-1],sgd[lr=0.01..1]', got {text[:80]!r}"
        )
    return spaces


def _parsed_range(part: str, text: str) -> SearchRange:
    name, _, bounds = part.partition("=")
    low, dots, high = bounds.partition("..")
    try:
        if not dots:
            raise ValueError
        return SearchRange(
            name=name.strip(), low=float(low), high=float(high), is_log=name.strip() not in LINEAR
        )
    except ValueError:
        raise SpecError(
            f"--space: {part.strip()!r} must be of the form lr=1e-4..1e-1, in {text[:80]!r}"
        ) from None
