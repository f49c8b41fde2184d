"""Search spaces: ranges of hyperparameters, and the settings that are tried in them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bench.errors import SpecError
from bench.spec.ranges import SearchRange, Setting

#: Half of the default range of a learning rate, as a factor of its default: four decades in all.
SPAN = 100.0
#: Default range of a learning rate whose class has no default.
WITHOUT_DEFAULT = (1e-4, 1.0)
LEARNING_RATE = "lr"
#: Hyperparameters that are searched on a linear scale, and their default ranges.
LINEAR: Mapping[str, tuple[float, float]] = {"momentum": (0.5, 0.99)}


def settings_in(ranges: Sequence[SearchRange], n: int, *, rng: int = 0) -> tuple[Setting, ...]:
    """Return the settings that are tried in the ranges of one optimizer.

    One range: an equally spaced grid that includes both ends. Several ranges: the first points of a
    scrambled Halton sequence [1]_.

    .. [1] Bergstra & Bengio (2012). Random search for hyper-parameter optimization. JMLR 13.
    """
    shares: Sequence[Sequence[float]]
    if len(ranges) == 1:
        shares = [[i / (n - 1)] for i in range(n)] if n > 1 else [[0.5]]
    else:
        from scipy.stats import qmc

        shares = qmc.Halton(len(ranges), rng=rng).random(n).tolist()
    return tuple(
        tuple((found.name, found.at(share)) for found, share in zip(ranges, row, strict=True))
        for row in shares
    )


def default_range(name: str, default: object) -> SearchRange:
    """Return the range of a hyperparameter with a default value.

    A learning rate: from a hundredth to a hundred times its default. Raise SpecError if there is no
    default range.
    """
    if name in LINEAR:
        return search_range(name, *LINEAR[name])
    if name != LEARNING_RATE:
        raise SpecError(
            f"--tune-over {name}: there is no default range, give one with --space, such as "
            f"'adam[{name}=0.1..1]'"
        )
    if isinstance(default, int | float) and not isinstance(default, bool) and default > 0:
        return search_range(name, default / SPAN, default * SPAN)
    return search_range(name, *WITHOUT_DEFAULT)


def search_range(name: str, low: float, high: float) -> SearchRange:
    """Return a range on the scale of the hyperparameter; raise SpecError if it is empty."""
    return SearchRange(name=name, low=low, high=high, is_log=name not in LINEAR)


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
        return search_range(name.strip(), float(low), float(high))
    except ValueError:
        raise SpecError(
            f"--space: {part.strip()!r} must be of the form lr=1e-4..1e-1, in {text[:80]!r}"
        ) from None
