"""Names of the corrections for many pairs, and what helps where there are too few blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bench.analysis.results import Correction
from bench.analysis.stats.power import seeds_to_reject
from bench.words import count, plural

#: Names for "by ... of the exact test", and for "... over 28 pairs".
NAMES: dict[Correction, str] = {"holm": "Holm's correction", "max-t": "the max-T correction"}
METHODS: dict[Correction, str] = {"holm": "Holm's method", "max-t": "step-down max-T"}


def blocks_to_reject(correction: Correction, n_pairs: int, level: float) -> int:
    """Return the smallest number of blocks with which the correction can reject any of the pairs.

    Max-T needs as many as for a single pair: the smallest p-value, 2/2**n, needs no adjustment.

    >>> blocks_to_reject("holm", 28, 0.05), blocks_to_reject("max-t", 28, 0.05)
    (11, 6)
    """
    return seeds_to_reject(n_pairs if correction == "holm" else 1, level)


def remedies(
    correction: Correction, n_blocks: int, n_pairs: int, level: float, nouns: tuple[str, str]
) -> str:
    """Say what would help where `n_blocks` are too few; `nouns` are those of treatment and block.

    >>> remedies("holm", 10, 28, 0.05, ("optimizer", "seed"))
    'What would help: 11 seeds, at most 7 optimizers, or --correction max-t, declared before the \
runs (6 seeds).'
    """
    found = list(_remedies(correction, n_blocks, n_pairs, level, nouns))
    listed = ", ".join(found[:-1]) + (", or " if len(found) > 1 else "") + found[-1]
    return f"What would help: {listed}."


def _remedies(
    correction: Correction, n_blocks: int, n_pairs: int, level: float, nouns: tuple[str, str]
) -> Iterator[str]:
    treatment, block = nouns
    needed = blocks_to_reject(correction, n_pairs, level)
    yield count(needed, block)
    if correction == "max-t":
        return
    rejectable = math.floor(level / math.ldexp(1, 1 - n_blocks)) if n_blocks > 1 else 0
    most = (1 + math.isqrt(1 + 8 * rejectable)) // 2  # k (k - 1) / 2 pairs of k treatments
    if most >= 2 and math.comb(most, 2) < n_pairs:
        yield f"at most {most} {plural(treatment)}"
    jointly = blocks_to_reject("max-t", n_pairs, level)
    if jointly < needed:
        yield f"--correction max-t, declared before the runs ({count(jointly, block)})"
