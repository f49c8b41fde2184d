"""Result of a comparison of treatments."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime

import pandas as pd

from bench.analysis.notebook import NotebookRepr
from bench.analysis.results.pairs import Omnibus, Pair, Power, Treatment
from bench.analysis.results.parameters import HIDDEN, OMIT_DEFAULT, Parameters, reversed_verdict
from bench.analysis.results.secondary import Collapses, Scope, SingleSeed, TimeToTarget
from bench.analysis.results.sequential import Sequential
from bench.analysis.stats.multiplicity import family_size


@dataclass(frozen=True, kw_only=True)
class Look(NotebookRepr):
    """One analysis of the results of a sweep, in a sequence of analyses with more and more seeds.

    Attributes
    ----------
    look
        Number of the look, from 1.
    n_blocks
        Number of blocks at this look.
    level
        Family-wise level of the verdicts of this look.
    spent
        Sum of the levels up to this look: a bound on the probability of any false `better` or
        `worse` in them. The same bound holds separately for equivalence and for each secondary
        metric.
    at
        Time of the look; None where it is not known.
    rejected
        Pairs (better, worse) that this look found different, on its own; None where they are not
        known.
    """

    look: int
    n_blocks: int
    level: float
    spent: float
    at: datetime | None
    rejected: tuple[tuple[str, str], ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison(NotebookRepr, first=("warnings", "treatments", "pairs")):
    """Result of :func:`bench.analysis.compare`.

    Attributes
    ----------
    treatments
        From best to worst mean, then those with an undefined mean, then those without a run.
    omnibus
        None for fewer than three treatments.
    pairs
        Every unordered pair once; `a` comes before `b` in `treatments`.
    single_seed
        None without a complete block or a second treatment.
    time_to_target
        None where the table has no evaluations.
    scope
        None where the table has no correctness of single examples.
    collapses
        Shares of runs that ended far below the others of their treatment.
    looks
        All looks so far. The last one is the current look; its level is that of the verdicts.
    sequential
        What each look found, if seeds are added until every pair is decided. Left out of JSON
        where it is None.
    warnings
        Sentences for the reader, the most important first.
    notes
        Sentences on how the values were read (their unit, and the numbers they were rounded from)
        and on how to read the results. Left out of JSON where empty.
    table
        The compared table, for reports. Neither in JSON nor compared.

    ``str(comparison)`` is the ranking as text.
    """

    parameters: Parameters
    treatments: tuple[Treatment, ...]
    omnibus: Omnibus | None
    pairs: tuple[Pair, ...]
    power: Power
    single_seed: SingleSeed | None
    time_to_target: TimeToTarget | None
    scope: Scope | None
    collapses: Collapses
    looks: tuple[Look, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = field(default=(), metadata=OMIT_DEFAULT)
    sequential: Sequential | None = field(default=None, metadata=OMIT_DEFAULT)
    table: pd.DataFrame | None = field(
        default=None, repr=False, compare=False, kw_only=True, metadata=HIDDEN
    )

    def __str__(self) -> str:
        return str(self.to_frame().to_string(float_format="{:.4g}".format, na_rep=""))

    def to_frame(self) -> pd.DataFrame:
        """Return the ranking: one row per treatment, the best mean first.

        The columns are the number of runs `n`, the `mean` with its interval and `std`; and of the
        difference of the treatment minus the first one, `difference`, the adjusted p-values of a
        difference and of equivalence, and the `verdict` on the treatment. NaN is an undefined
        number.
        """
        against = {pair.b: pair for pair in self.pairs if pair.a == self.treatments[0].name}
        rows = {
            t.name: {
                **{"n": t.n, "mean": t.mean, "ci_low": t.ci_low, "ci_high": t.ci_high},
                "std": t.std,
                **(_minus_first(against[t.name]) if t.name in against else {}),
            }
            for t in self.treatments
        }
        frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis(self.parameters.treatment)
        return frame.astype({name: float for name in frame if name not in ("n", "verdict")})

    def pairs_to_frame(self) -> pd.DataFrame:
        """Return all pairs, one row each, with the attributes of :class:`Pair` as columns."""
        return pd.DataFrame(map(asdict, self.pairs))

    @property
    def level(self) -> float:
        """Family-wise level of the verdicts: alpha, unless the results were looked at before."""
        return self.looks[-1].level

    @property
    def secondary_level(self) -> float:
        """Family-wise level of the secondary tests.

        In a sequential comparison their p-values are not adjusted for the looks, and the level is
        divided among the looks instead.
        """
        return self.level if self.sequential is None else self.parameters.interval_alpha

    def analysed(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of the compared `table` that belong to the looks of this comparison."""
        return table if self.sequential is None or self.table is None else self.table

    @property
    def n_present(self) -> int:
        """Number of treatments that have results."""
        return sum(t.n > 0 for t in self.treatments)

    @property
    def n_family(self) -> int:
        """Number of pairs in Holm's family: the pairs with a p-value."""
        return family_size([pair.pvalue for pair in self.pairs], self.n_present)

    @property
    def n_common(self) -> int:
        """Largest number of common blocks of any pair; 0 without a pair."""
        return max((pair.n for pair in self.pairs), default=0)


def _minus_first(pair: Pair) -> dict[str, float | str | None]:
    """Return what the ranking shows of a pair, from the point of view of its second treatment."""
    difference = pair.mean_difference
    return {
        "difference": None if difference is None else -difference,
        "pvalue": pair.pvalue_adjusted,
        "pvalue_equivalence": pair.pvalue_equivalence_holm,
        "verdict": reversed_verdict(pair.verdict),
    }
