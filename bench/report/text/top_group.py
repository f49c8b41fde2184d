"""The headline: which treatments lead, and what the tests show about them and the others.

The top group holds the tested treatments that no other is shown to be better than. A treatment that
could not be tested against any other is named separately. "Not significant" is never "equal": only
the equivalence test gives "equivalent", always with its margin.
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
    """The pairs within the top group, and those between it and the rest.

    Treatments without a tested pair belong to neither.
    """

    def __init__(self, comparison: Comparison, names: list[str]) -> None:
        self._comparison, self._metric = comparison, metric_of(comparison)
        self._nouns, self._margin = Nouns.of(comparison.parameters), comparison.parameters.margin
        pairs = [p for p in comparison.pairs if {p.a, p.b} <= set(names)]
        tested = {name for p in pairs if p.verdict != "not testable" for name in (p.a, p.b)}
        beaten = {p.b if p.verdict == "better" else p.a for p in pairs if _is_different(p)}
        self._untested = [name for name in names if name not in tested]
        self._top = [name for name in names if name in tested - beaten]
        self._rest = [name for name in names if name in beaten]
        self._within = [p for p in pairs if {p.a, p.b} <= set(self._top)]
        oriented = [p if p.a in self._top else flip(p) for p in pairs]
        self._between = [p for p in oriented if p.a in self._top and p.b in beaten]
        self._is_best_beaten = next((n in beaten for n in names if n in tested), False)

    def sentence(self) -> str:
        if not self._untested:
            return self._on_tested()
        return f"{self._on_tested()} {names_in_words(self._untested)} could not be tested."

    def _on_tested(self) -> str:
        if not self._top:
            each = f"Each {'tested ' if self._untested else ''}{self._nouns.treatment}"
            return f"{each} is worse than another one on the {self._nouns.block.plural} of the two."
        if not self._rest:
            return self._nothing_significant()
        top = names_in_words(self._top)
        better = [p for p in self._between if p.verdict == "better"]
        if not better:
            return (
                f"{self._blocks()} cannot separate {top} from the rest, and each of the rest is "
                f"worse than another one on the {self._nouns.block.plural} of the two."
            )
        if len(self._top) == 1:
            return f"{top} leads: {self._against_the_rest('it', better)}."
        return f"{top} lead; {self._among_them()}, and {self._against_the_rest('they', better)}."

    def _nothing_significant(self) -> str:
        verdicts, blocks = Counter(p.verdict for p in self._within), self._blocks()
        k = len(self._top)
        names, treatments = names_in_words(self._top), self._nouns.treatment.count(k)
        is_named = k == 2 or self._untested
        if alike := self._alike(verdicts):
            return f"{names if is_named else f'All {treatments}'} {alike}."
        who = names if is_named else f"the {treatments}"
        if k == 2:
            return f"{blocks} cannot separate {who}, {_UNSHOWN}."
        shown = self._shown(verdicts)
        none = "none of the differences is significant"
        if shown:
            return f"{blocks} cannot separate {who}: {none}, and only {shown}."
        return f"{blocks} cannot separate {who}: {none}, {_UNSHOWN}."

    def _among_them(self) -> str:
        verdicts = Counter(p.verdict for p in self._within)
        if alike := self._alike(verdicts):
            return f"they {alike}"
        if verdicts["not testable"] == len(self._within):
            return "they could not be tested against each other"
        shown = self._shown(verdicts)
        alone = f"{self._blocks()} cannot separate "
        return f"{alone}all of them ({shown})" if shown else f"{alone}them"

    def _alike(self, verdicts: Counter[Verdict]) -> str:
        """The predicate if all pairs of the top group are equivalent or identical, else empty."""
        n = len(self._within)
        if verdicts["identical"] == n:
            return f"scored exactly alike on every {self._nouns.block}"
        if verdicts["equivalent"] + verdicts["identical"] < n:
            return ""
        identical = " or identical" if verdicts["identical"] else ""
        return f"are equivalent{self._margin_words()}{identical}"

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

    def _against_the_rest(self, who: str, better: Sequence[Pair]) -> str:
        rest = self._rest[0] if len(self._rest) == 1 else "the rest"
        standing = [p for p in better if p.verdict_of_look is not None]
        found = [p for p in better if p.verdict_of_look is None]
        n = len(self._between)
        if len(better) < n:
            since = f", {len(standing)} of them{_since(standing)}" if standing else ""
            return (
                f"{len(better)} of {count(n, 'difference')} between "
                f"{'it' if who == 'it' else 'them'} and {rest} are significant{since}"
            )
        beats = f"{who} {'beats' if who == 'it' else 'beat'} {rest}"
        if not found:
            return f"{beats}{_since(standing)}"
        sizes = f"{beats}{self._sizes(found)}{self._over(found)}"
        if not standing:
            return sizes
        return f"{sizes}, in {len(standing)} of {count(n, 'pair')}{_since(standing)}"

    def _over(self, better: Sequence[Pair]) -> str:
        """``over their common seeds`` if the best mean is over other seeds and is beaten."""
        runs = {t.name: t.n for t in self._comparison.treatments}
        is_paired = self._comparison.parameters.is_paired
        is_part = is_paired and any(p.n < max(runs[p.a], runs[p.b]) for p in better)
        if not (self._is_best_beaten and is_part):
            return ""
        return f" over their common {self._nouns.block.plural}"

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


def _since(standing: Sequence[Pair]) -> str:
    """Say since which looks differences stand that the current look does not find.

    Their present sizes are not those that were found, and may have the other sign.
    """
    numbers = sorted({p.earlier_look for p in standing if p.earlier_look is not None})
    looks = "look" if len(numbers) == 1 else "looks"
    return f" since {looks} {listing(tuple(map(str, numbers)))}, not at this look"
