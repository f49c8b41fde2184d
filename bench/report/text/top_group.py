"""The headline: which treatments lead, and what the tests show about them and the others.

The top group holds the treatments that no other is shown to be better than. "Not significant" is
never "equal": only the equivalence test gives "equivalent", always with its margin.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bench.analysis.results import Comparison, Pair, Treatment, Verdict
from bench.report.text.format import count, listing
from bench.report.text.metrics import metric_of
from bench.report.text.nouns import Nouns
from bench.report.text.pairs import flip, within_margin
from bench.report.text.procedures import runs_each

#: More names than this in one sentence or description are shortened to a count.
MANY = 8
_UNSHOWN = "which does not show that they perform alike"


def names_in_words(names: Sequence[str]) -> str:
    """List names, or some of them and the number of the others."""
    if len(names) <= MANY:
        return listing(tuple(names))
    shown = names[: MANY // 2]
    return f"{', '.join(shown)} and {len(names) - len(shown)} more"


def lead_sentence(comparison: Comparison, measured: Sequence[Treatment]) -> str:
    """Name the top group; `measured` are the treatments with results, the best mean first."""
    return _Lead(comparison, [t.name for t in measured]).sentence()


class _Lead:
    """The pairs within the top group, and those between it and the rest."""

    def __init__(self, comparison: Comparison, names: list[str]) -> None:
        self._comparison, self._metric = comparison, metric_of(comparison)
        self._nouns, self._margin = Nouns.of(comparison.parameters), comparison.parameters.margin
        pairs = [p for p in comparison.pairs if {p.a, p.b} <= set(names)]
        beaten = {p.b if p.verdict == "better" else p.a for p in pairs if _is_different(p)}
        self._top = [name for name in names if name not in beaten]
        # the treatment with the best mean has other blocks than the one that beats it
        common = f" over their common {self._nouns.block.plural}"
        self._over = common if names[0] in beaten else ""
        self._rest = [name for name in names if name in beaten]
        self._within = [p for p in pairs if not {p.a, p.b} & beaten]
        self._between = [
            p if p.a in self._top else flip(p)
            for p in pairs
            if (p.a in self._top) != (p.b in self._top)
        ]

    def sentence(self) -> str:
        if not self._top:
            each = f"Each {self._nouns.treatment}"
            return f"{each} is worse than another one on the {self._nouns.block.plural} of the two."
        if not self._rest:
            return self._nothing_significant()
        if len(self._top) == 1:
            return f"{self._top[0]} leads: {self._against_the_rest('it')}."
        return (
            f"{names_in_words(self._top)} lead; {self._among_them()}, and "
            f"{self._against_the_rest('they')}."
        )

    def _nothing_significant(self) -> str:
        verdicts, blocks = Counter(p.verdict for p in self._within), self._blocks()
        k, n = len(self._top), len(self._within)
        two = listing(tuple(self._top))
        who = two if k == 2 else f"the {self._nouns.treatment.count(k)}"
        subject = two if k == 2 else f"All {self._nouns.treatment.count(k)}"
        if verdicts["equivalent"] == n:
            return f"{subject} are equivalent{self._margin_words()}."
        if verdicts["identical"] == n:
            return f"{subject} scored exactly alike on every {self._nouns.block}."
        if k == 2:
            return f"{blocks} cannot separate {who}, {_UNSHOWN}."
        shown = self._shown(verdicts)
        none = "none of the differences is significant"
        if shown:
            return f"{blocks} cannot separate {who}: {none}, and only {shown}."
        return f"{blocks} cannot separate {who}: {none}, {_UNSHOWN}."

    def _among_them(self) -> str:
        verdicts, n = Counter(p.verdict for p in self._within), len(self._within)
        if verdicts["equivalent"] == n:
            return f"they are equivalent{self._margin_words()}"
        if verdicts["identical"] == n:
            return f"they scored exactly alike on every {self._nouns.block}"
        if verdicts["not testable"] == n:
            return "they could not be tested against each other"
        shown = self._shown(verdicts)
        alone = f"{self._blocks()} cannot separate "
        return f"{alone}all of them ({shown})" if shown else f"{alone}them"

    def _shown(self, verdicts: Counter[Verdict]) -> str:
        """Pairs that are equivalent, identical or not testable; empty if there are none."""
        kinds: tuple[tuple[Verdict, str], ...] = (
            ("equivalent", f"equivalent{self._margin_words()}"),
            ("identical", "identical"),
            ("not testable", "not testable"),
        )
        of = f"of {len(self._within)} pairs"
        parts = [
            f"{verdicts[kind]} {of} {'is' if verdicts[kind] == 1 else 'are'} {words}"
            for kind, words in kinds
            if verdicts[kind]
        ]
        return listing(tuple(parts))

    def _against_the_rest(self, who: str) -> str:
        better = [p for p in self._between if p.verdict == "better"]
        rest = self._rest[0] if len(self._rest) == 1 else "the rest"
        if len(better) < len(self._between):
            n = len(self._between)
            return (
                f"{len(better)} of {count(n, 'difference')} between "
                f"{'it' if who == 'it' else 'them'} and {rest} are significant"
            )
        beats = "beats" if who == "it" else "beat"
        return f"{who} {beats} {rest}{self._sizes(better)}{self._over}"

    def _sizes(self, better: Sequence[Pair]) -> str:
        known = sorted(abs(p.mean_difference) for p in better if p.mean_difference is not None)
        if not known:
            return " (diverged runs rank worst)"
        low, high = self._metric.size(known[0]), self._metric.size_with_unit(known[-1])
        span = high if low == self._metric.size(known[-1]) else f"{low} to {high}"
        if len(known) < len(better):
            return f" by {span} where no run diverged (diverged runs rank worst)"
        slight = sum(within_margin(p, self._margin) for p in better)
        if not slight or self._margin is None:
            return f" by {span}"
        margin = self._metric.margin(self._margin).lstrip("±")
        which = "" if slight == len(better) else f" in {count(slight, 'pair')}"
        return f" by {span},{which} by less than the margin of {margin}"

    def _blocks(self) -> str:
        parameters = self._comparison.parameters
        if not parameters.is_paired:
            return runs_each(self._comparison)
        return self._nouns.block.count(parameters.n_blocks)

    def _margin_words(self) -> str:
        return f" within {self._metric.margin(self._margin)}" if self._margin else ""


def _is_different(pair: Pair) -> bool:
    return pair.verdict in ("better", "worse")
