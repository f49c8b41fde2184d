"""The verdict in words, case by case."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from _stored import sequential_example
from _sweep_analysis import Recipe, pair, source_recipes, sweep

from bench.analysis.results import Comparison, Pair, Variant, Verdict
from bench.report import verdict
from bench.report.text.format import ACCURACY, NBSP
from bench.report.text.looks import followed_pairs, looks_sentences
from bench.report.text.pairs import (
    MARKS,
    DecidingP,
    deciding_pvalue,
    flip,
    mark_of,
    seen_from,
    verdict_words,
)
from bench.report.text.published import LEARNING_RATES
from bench.report.text.wording import headline
from bench.sweeps.specify import specify

#: A difference of 0.1 points whose simultaneous interval lies inside a margin of 0.2 points.
SLIGHT = {"simultaneous_ci_low": 0.0002, "simultaneous_ci_high": 0.0018}


def words(comparison: Comparison) -> str:
    return " ".join(verdict(comparison)).replace(NBSP, " ")


def comparison(*pairs: Pair, n: int = 20, k: int = 3) -> Comparison:
    """A comparison of a, b, c (means 97.6, 97.2, 95) with the given pairs."""
    base = sweep(
        [Recipe(name, mean, 0) for name, mean in zip("abc"[:k], (9760, 9720, 9500), strict=False)],
        n=n,
    )
    return replace(base.comparison, pairs=pairs)


def abc(ab: Pair, ac: Pair, bc: Pair) -> tuple[Pair, ...]:
    return (
        replace(ab, a="a", b="b"),
        replace(ac, a="a", b="c"),
        replace(bc, a="b", b="c"),
    )


#: Pairs of a, b, c (means 97.6, 97.2, 95) and the sentences that they give.
CASES = {
    "a clear leader": (
        abc(pair("better", 0.004), pair("better", 0.026), pair("better", 0.022)),
        [
            "a leads: it beats the rest by 0.4 to 2.6 points.",
            "Over 20 seeds, a has the highest mean accuracy (97.60 %).",
            "Of all 3 pairs, 3 differ significantly and 0 are inconclusive.",
        ],
    ),
    "undecided and beaten": (
        abc(pair("inconclusive", 0.0004), pair("better", 0.026), pair("better", 0.025)),
        ["a and b lead; 20 seeds cannot separate them, and they beat c by 2.5 to 2.6 points."],
    ),
    "equivalent": (
        abc(pair("equivalent", 0.0004), pair("better", 0.026), pair("better", 0.025)),
        [
            "a and b lead; they are equivalent within ±0.2 points, and they beat c by 2.5 to 2.6 "
            "points.",
            "2 differ significantly, 1 is equivalent within ±0.2 points and 0 are inconclusive",
        ],
    ),
    "one of two is beaten by one leader only": (
        abc(pair("inconclusive", 0.0004), pair("better", 0.026), pair("inconclusive", 0.025)),
        [
            "a and b lead; 20 seeds cannot separate them, and 1 of 2 differences between them and "
            "c are significant."
        ],
    ),
    "all better, by less than the margin": (
        abc(
            pair("better", 0.001, **SLIGHT), pair("better", 0.0012, **SLIGHT), pair("inconclusive")
        ),
        [
            "a leads: it beats the rest by 0.10 to 0.12 points, by less than the margin of "
            "0.2 points."
        ],
    ),
    "one better by less than the margin": (
        abc(pair("better", 0.001, **SLIGHT), pair("better", 0.026), pair("better")),
        [
            "a leads: it beats the rest by 0.10 to 2.6 points, in 1 pair by less than the margin "
            "of 0.2 points."
        ],
    ),
    "all inconclusive": (
        abc(pair("inconclusive"), pair("inconclusive"), pair("inconclusive")),
        [
            "20 seeds cannot separate the 3 optimizers: none of the differences is significant, "
            "which does not show that they perform alike."
        ],
    ),
    "all equivalent": (
        abc(pair("equivalent"), pair("equivalent"), pair("equivalent")),
        ["All 3 optimizers are equivalent within ±0.2 points."],
    ),
    "some equivalent and none significant": (
        abc(pair("equivalent"), pair("inconclusive"), pair("inconclusive")),
        [
            "20 seeds cannot separate the 3 optimizers: none of the differences is significant, "
            "and only 1 of 3 pairs is equivalent within ±0.2 points."
        ],
    ),
    "identical": (
        abc(pair("identical", 0.0), pair("better", 0.026), pair("better", 0.026)),
        [
            "a and b lead; they scored exactly alike on every seed, and they beat c by 2.6 points.",
            "1 is identical",
        ],
    ),
    "all identical": (
        abc(*(pair("identical", 0.0),) * 3),
        ["All 3 optimizers scored exactly alike on every seed."],
    ),
    "the best mean loses over common seeds": (
        abc(pair("worse", -0.004, n=15), pair("better", 0.026), pair("better", 0.022)),
        [
            "b leads: it beats the rest by 0.4 to 2.2 points over their common seeds.",
            "Over 20 seeds, a has the highest mean accuracy",
        ],
    ),
    "each is worse than another": (
        abc(pair("better", 0.004), pair("worse", -0.026), pair("better", 0.022)),
        ["Each optimizer is worse than another one on the seeds of the two."],
    ),
    "one cannot be tested": (
        abc(pair("better"), pair("not testable", None), pair("not testable", None)),
        [
            "a leads: it beats b by 0.4 points. c could not be tested.",
            "2 are not testable",
        ],
    ),
    "an earlier look stands": (
        abc(
            pair("better", 0.004, verdict_of_look="inconclusive", earlier_look=1),
            pair("better", 0.026),
            pair("better", 0.022),
        ),
        [
            "a leads: it beats the rest by 2.6 points, in 1 of 2 pairs since look 1, not at this "
            "look.",
            "3 differ significantly (1 of them by an earlier look only)",
        ],
    ),
    "diverged runs have no mean": (
        abc(pair("better", None), pair("better", None), pair("better")),
        ["a leads: it beats the rest (diverged runs rank worst)."],
    ),
    "one diverged run has no mean": (
        abc(pair("better", 0.004), pair("better", None), pair("better")),
        [
            "a leads: it beats the rest by 0.4 points where no run diverged (diverged runs rank "
            "worst)."
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_verdict(case: str) -> None:
    pairs, expected = CASES[case]
    text = words(comparison(*pairs))
    for part in expected:
        assert part in text


@pytest.mark.parametrize("case", CASES)
def test_no_verdict_calls_a_failure_to_differ_equality(case: str) -> None:
    pairs, _ = CASES[case]
    text = words(comparison(*pairs)).lower()
    assert "equal " not in text
    assert "the same" not in text
    assert "no difference" not in text
    if all(p.verdict != "equivalent" for p in pairs):
        assert "equivalent" not in text


@pytest.mark.parametrize(
    ("verdict", "lead"),
    [
        ("better", "a leads: it beats b by 0.4 points."),
        ("worse", "b leads: it beats a by 0.4 points."),
        (
            "inconclusive",
            "20 seeds cannot separate a and b, which does not show that they perform alike.",
        ),
        ("equivalent", "a and b are equivalent within ±0.2 points."),
        ("identical", "a and b scored exactly alike on every seed."),
    ],
)
def test_two_optimizers(verdict: Verdict, lead: str) -> None:
    text = words(comparison(replace(pair(verdict), a="a", b="b"), k=2))
    assert text == f"{lead} Over 20 seeds, a has the highest mean accuracy (97.60 %)."


def test_max_t_and_other_blocks_have_the_same_lead() -> None:
    pairs = abc(pair("inconclusive"), pair("better", 0.026), pair("better", 0.025))
    base = comparison(*pairs)
    changed = replace(base.parameters, correction="max-t", block="dataset", n_blocks=7)
    text = words(replace(base, parameters=changed))
    assert text.startswith("a and b lead; 7 datasets cannot separate them, and they beat c by")


def test_the_luck_of_the_tutorial_follows_the_lead() -> None:
    first, second, *_ = headline(sweep())
    assert " lead; " in first
    assert re.fullmatch(r"The tutorial's \w+ (beat|was beaten by) \d+ of our 20\xa0seeds\.", second)
    other = sweep(facts=(("dataset", ("digits",)), ("network", ("mlp",))))
    assert "tutorial's" not in headline(other)[1]


def test_a_shared_lead() -> None:
    text = words(sweep([Recipe("a", 9700, 0), Recipe("b", 9700, 0)]).comparison)
    assert "Over 20 seeds, a and b share the highest mean accuracy (97.00 %)." in text


def test_a_shared_lead_with_too_few_seeds() -> None:
    text = words(sweep([Recipe("a", 9700, 0), Recipe("b", 9700, 0)], n=2).comparison)
    assert (
        "So far a and b share the highest mean accuracy (97.00 %). This is not a significant"
        in text
    )


def test_one_seed_opens_with_its_worthlessness() -> None:
    text = words(sweep(n=1).comparison)
    assert text.startswith("With one seed no difference can be tested")
    assert "From 11 seeds on" in text
    assert "is better than" not in text


def test_too_few_seeds_open_with_that() -> None:
    text = words(sweep(n=5).comparison)
    assert text.startswith(
        "5 seeds are too few: with 8 optimizers, no difference can be significant below 11 seeds "
        "by Holm's correction of the exact test."
    )
    assert "This is not a significant result" in text


def test_one_optimizer() -> None:
    text = words(sweep([Recipe("sgd", 9570, 10)]).comparison)
    assert text.startswith("Over 20 seeds, sgd reaches a mean accuracy of 95.")
    assert "95 % interval [" in text
    assert text.endswith("There is one optimizer, so there is nothing to compare it with.")


def test_one_optimizer_with_one_seed() -> None:
    assert words(sweep([Recipe("sgd", 9570, 0)], n=1).comparison).startswith(
        "Over 1 seed, sgd reaches a mean accuracy of"
    )


def test_all_failed() -> None:
    text = words(sweep([Recipe("a", 0, 0, failed=20), Recipe("b", 0, 0, failed=20)]).comparison)
    assert text == "All 40 runs failed: there is no result, and nothing to compare."


def test_one_survivor() -> None:
    text = words(sweep([Recipe("a", 9700, 5), Recipe("b", 0, 0, failed=20)]).comparison)
    assert "Only a has results" in text


def test_no_common_seeds() -> None:
    base = sweep([Recipe("a", 9700, 5), Recipe("b", 9600, 5)]).comparison
    text = words(replace(base, pairs=(replace(pair("not testable", None), a="a", b="b", n=0),)))
    assert text.startswith("No two optimizers have enough common seeds")


def test_many_names_are_counted_instead_of_listed() -> None:
    base = sweep([Recipe(f"v{i:02}", 9700 - 40 * (i > 11), 4) for i in range(14)]).comparison
    pairs = tuple(
        replace(p, verdict="better" if p.b > "v11" >= p.a else "inconclusive")
        for p in (replace(p, a=min(p.a, p.b), b=max(p.a, p.b)) for p in base.pairs)
    )
    treatments = tuple(sorted(base.treatments, key=lambda t: t.name))
    text = words(replace(base, pairs=pairs, treatments=treatments))
    assert text.startswith("v00, v01, v02, v03 and 8 more lead; 20 seeds cannot separate them, and")


def test_lower_is_better_for_a_loss() -> None:
    base = sweep([Recipe("a", 9700, 5), Recipe("b", 9600, 5)]).comparison
    loss = replace(
        base, parameters=replace(base.parameters, value="test_loss", direction="lower", margin=None)
    )
    assert "has the lowest mean test loss (0.9" in words(loss)


def test_source_sweep_reads_as_a_sentence() -> None:
    text = words(sweep(source_recipes()).comparison)
    assert text.startswith(
        "nesterov, momentum and adadelta lead; they are equivalent within ±0.2 points, and they "
        "beat the rest by 0.3 to 2.1 points."
    )


def test_flip_is_its_own_inverse_and_swaps_the_verdict() -> None:
    original = pair("better")
    flipped = flip(original)
    assert (flipped.a, flipped.b, flipped.verdict) == ("b", "a", "worse")
    assert flipped.mean_difference == -0.004
    assert (flipped.ci_low, flipped.ci_high) == (-0.005, -0.003)
    assert flipped.win_rate == pytest.approx(0.05)
    assert flipped.win_rate_low == pytest.approx(0.01)
    assert flipped.a12 == pytest.approx(0.07)
    assert flipped.pvalue_holm == original.pvalue_holm
    assert flip(flipped).ci_low == pytest.approx(original.ci_low)
    assert flip(pair("inconclusive")).verdict == "inconclusive"
    assert flip(pair("not testable", None)).mean_difference is None


def test_seen_from_turns_pairs_around() -> None:
    pairs = abc(pair("better"), pair("better"), pair("inconclusive"))
    assert [(p.a, p.b, p.verdict) for p in seen_from(pairs, "b")] == [
        ("b", "a", "worse"),
        ("b", "c", "inconclusive"),
    ]


@pytest.mark.parametrize(
    ("given", "margin", "css", "text"),
    [
        (pair("better"), 0.002, "better", "better"),
        (pair("better", **SLIGHT), 0.002, "better-slightly", "better, by less than 0.2 points"),
        (pair("better", **SLIGHT), None, "better", "better"),
        (flip(pair("better", **SLIGHT)), 0.002, "worse-slightly", "worse, by less than 0.2 points"),
        (pair("equivalent"), 0.002, "equivalent", "equivalent within ±0.2 points"),
        (pair("inconclusive"), 0.002, "inconclusive", "inconclusive"),
        (pair("identical", 0.0), 0.002, "identical", "identical"),
        (pair("not testable", None), 0.002, "not-testable", "not testable"),
    ],
)
def test_marks(given: Pair, margin: float | None, css: str, text: str) -> None:
    assert mark_of(given, margin).css == css
    assert verdict_words(given, margin, ACCURACY).replace(NBSP, " ") == text


@pytest.mark.parametrize(
    ("verdict", "label", "value"),
    [
        ("equivalent", "p equiv", 0.004),
        ("inconclusive", "p diff", 0.6),
        ("better", "p diff", 0.6),
        ("identical", "p diff", 0.6),
    ],
)
def test_the_p_value_beside_a_verdict_is_the_one_that_decides(
    verdict: Verdict, label: str, value: float
) -> None:
    given = pair(verdict, pvalue_holm=0.6, pvalue_equivalence_holm=0.004)
    for seen in (given, flip(given)):
        assert deciding_pvalue(seen) == DecidingP(label=label, value=value)


def test_every_sign_differs() -> None:
    assert len({mark.sign for mark in MARKS}) == len(MARKS)


# --- settings --------------------------------------------------------------------------------


def variant(name: str, lr: str, **changes: object) -> Variant:
    return replace(
        Variant(treatment=name, algorithm=f"torch.optim.{name}", hyperparameters=(("lr", lr),)),
        **changes,
    )


TUTORIAL = (variant("sgd", "0.1"), variant("adam", "0.001"))


GIVEN = ", at the given hyperparameters, "


@pytest.mark.parametrize(
    ("variants", "expected"),
    [
        (TUTORIAL, ", at the tutorial's learning rates, untuned, "),
        (
            (variant("sgd", "0.1"), variant("adam", "0.003")),
            GIVEN,
        ),
        (
            (variant("sgd", "0.1"), variant("lion", "0.001")),
            GIVEN,
        ),
        (
            (variant("sgd", "0.1", schedule="cosine"),),
            GIVEN,
        ),
        ((), ", "),
    ],
    ids=["tutorial", "another rate", "another optimizer", "schedule", "not known"],
)
@pytest.mark.parametrize("n", [20, 3, 1])
def test_the_headline_names_the_settings(
    variants: tuple[Variant, ...], expected: str, n: int
) -> None:
    analysis = replace(sweep(n=n), variants=variants)
    text = " ".join(headline(analysis)).replace(NBSP, " ")
    start = {20: "Over 20 seeds", 3: "So far", 1: "On this seed"}[n]
    assert f"{start}{expected}" in (text if variants or n == 20 else f"{start}, ")
    assert ("tune" in text) == (variants == TUTORIAL)


def test_the_tutorials_learning_rates_are_the_defaults() -> None:
    for name, rate in LEARNING_RATES.items():
        (spec,) = specify(optimizers=name, seeds=1).optimizers
        assert dict(spec.hyperparameters)["lr"] == rate


#: Seeds that have runs and the margin in points; sentences on the looks after 8, 12 and 20 seeds.
LOOKS = {
    "all pairs are decided": (
        *(20, 0.25),
        "No pair is open after look 3 of 3: the comparison is finished.",
        "It took 64 runs, 20 % fewer than the 80 runs of 20 seeds of every optimizer. "
        "16 runs that belong to no look that was taken are left out.",
    ),
    "a pair is open after the last look": (
        *(20, 0.2),
        "The comparison is finished: 1 of 6 pairs is open after look 3 of 3, the last one.",
        "It took 64 runs, 20 % fewer than the 80 runs of 20 seeds of every optimizer. "
        "Still open: momentum and nesterov (about 54 seeds to show equivalence or 170 seeds to "
        "find a difference).",
    ),
    "a pair is open": (
        *(12, 0.25),
        "The comparison is not finished: 1 of 6 pairs is open after look 2 of 3.",
        "The next look is at 20 seeds, and 2 optimizers need more runs for it: momentum and "
        "nesterov.",
    ),
    "one run of a look is left out": (
        *(9, 0.25),
        "The comparison is not finished: 6 of 6 pairs are open after look 1 of 3.",
        "It took 32 runs so far; 20 seeds of every optimizer are 80 runs. Open: momentum and "
        "nesterov; momentum and sgd; momentum and adagrad; nesterov and sgd; and 2 more. The next "
        "look is at 12 seeds, and 4 optimizers need more runs for it: momentum, nesterov, sgd and "
        "adagrad. 4 runs that belong to no look that was taken are left out.",
    ),
}


@pytest.mark.parametrize("case", LOOKS)
def test_sentences_on_looks(case: str) -> None:
    seeds, margin, state, said = LOOKS[case]
    found = sequential_example(seeds, margin / 100).comparison
    assert found.sequential is not None
    assert verdict(found)[-1].replace(NBSP, " ") == state
    assert said in " ".join(looks_sentences(found, found.sequential)).replace(NBSP, " ")


def test_a_look_without_a_difference_is_not_called_too_few_seeds() -> None:
    first, *_ = verdict(sequential_example(8).comparison)
    assert first.replace(NBSP, " ") == (
        "No difference is significant with 8 seeds. A look with 10 seeds or more can find one."
    )


def test_the_hardest_pairs_come_first() -> None:
    sequential = sequential_example(margin=0.002).comparison.sequential
    assert sequential is not None
    pairs = followed_pairs(sequential)
    assert (pairs[0].a, pairs[0].b, pairs[0].verdict) == ("momentum", "nesterov", "inconclusive")
    looks = [pair.last_look for pair in pairs]
    assert looks == sorted(looks, reverse=True)
    sizes = [abs(pair.points[-1][1].mean_difference or 0.0) for pair in pairs[1:]]
    assert sizes == sorted(sizes)
