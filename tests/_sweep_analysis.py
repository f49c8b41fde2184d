"""Analyses made by hand, for tests of the report: plausible numbers, no statistics package."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random
from string import ascii_letters

from bench.analysis.results import (
    Band,
    BestShare,
    Collapses,
    Comparison,
    CrossedInterval,
    Incident,
    LearningCurve,
    LogRank,
    Look,
    Omnibus,
    Pair,
    Parameters,
    Power,
    Provenance,
    RankDiagram,
    RankReversal,
    RunScore,
    RunTable,
    Scope,
    SelectionPoint,
    SingleSeed,
    SurvivalStep,
    SweepAnalysis,
    TargetTreatment,
    TimeRatio,
    TimeToTarget,
    Timing,
    Treatment,
    Variant,
    Verdict,
)
from bench.report.context import ReportContext

CONTEXT = ReportContext(command="python scripts/sweep.py --name mnist --seed-list 0-19")

#: Mean and standard deviation of the final accuracy, in images of 10,000.
SOURCE = {
    "sgd": (9571, 14),
    "momentum": (9760, 13),
    "nesterov": (9763, 12),
    "adam": (9721, 18),
    "adagrad": (9551, 15),
    "adadelta": (9757, 13),
    "adamax": (9657, 16),
    "rmsprop": (9706, 22),
}
HOSTILE = (
    "<script>alert(1)</script>",
    "\"quoted\" & 'single' <b>bold</b>",
    "$x^2$ and \\frac{1}{2} $",
    "adam[betas=(0.9,0.99),eps=1e-08,lr=0.0030000000000,weight_decay=0.01]",
    "adam[betas=(0.9,0.99),eps=1e-08,lr=0.0030000000000,weight_decay=0.02]",
    "日本語の最適化 🚀 оптимизатор",
    "_hidden",
    "{{ 7 * 7 }} {% raw %} %s {0}",
)
FINISHED = datetime(2026, 11, 23, 9, 34, tzinfo=UTC)
ITERATIONS = (500, 1000, 1500, 2000, 2500, 3000)


@dataclass(frozen=True)
class Recipe:
    """What one optimizer's runs look like: images right at the end, and its special seeds."""

    name: str
    mean: float
    spread: float
    diverged: int = 0
    failed: int = 0


def source_recipes() -> tuple[Recipe, ...]:
    """The eight optimizers of the source."""
    return tuple(Recipe(name, *numbers) for name, numbers in SOURCE.items())


def many_recipes(k: int = 30) -> tuple[Recipe, ...]:
    """Many variants of one optimizer."""
    return tuple(Recipe(f"adam[lr={0.001 * (i + 1):g}]", 9780 - 9 * i, 15) for i in range(k))


def sweep(
    recipes: Sequence[Recipe] = (),
    n: int = 20,
    *,
    margin: float | None = 0.002,
    facts: tuple[tuple[str, tuple[str, ...]], ...] = (),
) -> SweepAnalysis:
    """The analysis of `n` seeds of each recipe, the source's eight by default."""
    recipes = recipes or source_recipes()
    scores = [s for r in recipes for s in _scores(r, n)]
    treatments = sorted(
        (_treatment(r.name, scores) for r in recipes),
        key=lambda t: -1.0 if t.mean is None else t.mean,
        reverse=True,
    )
    pairs = [
        _pair(a.name, b.name, scores, len(recipes), margin)
        for i, a in enumerate(treatments)
        for b in treatments[i + 1 :]
    ]
    comparison = Comparison(
        parameters=Parameters(
            alpha=0.05,
            margin=margin,
            direction="higher",
            value="test_accuracy",
            treatment="optimizer",
            block="seed",
            n_blocks=n,
            k=len(recipes),
        ),
        treatments=tuple(treatments),
        omnibus=_omnibus(len(recipes), n),
        pairs=tuple(pairs),
        power=_power(len(pairs), n),
        single_seed=_single_seed(treatments, pairs, scores, n),
        time_to_target=_time_to_target(treatments, pairs),
        scope=_scope(pairs),
        collapses=Collapses(limit=10.0, treatments=(), pairs=()),
        looks=(Look(look=1, n_blocks=n, level=0.05, spent=0.05, at=FINISHED),),
        warnings=("Only one seed: nothing can be tested.",) if n == 1 else (),
    )
    return SweepAnalysis(
        name="mnist",
        target=0.95,
        comparison=comparison,
        letters=tuple(ascii_letters[: len(treatments)]),
        ranks=_ranks(treatments, n),
        variants=tuple(_variant(t) for t in treatments),
        scores=tuple(scores),
        curves=tuple(_curve(t, next(r for r in recipes if r.name == t.name)) for t in treatments),
        rates=(),
        timings=tuple(_timing(t, i) for i, t in enumerate(treatments)),
        time_ratios=tuple(_time_ratio(p, i) for i, p in enumerate(pairs)),
        incidents=tuple(_incidents(scores)),
        provenance=Provenance(
            facts=facts or FACTS,
            started_at=datetime(2026, 11, 23, 9, 30, tzinfo=UTC),
            finished_at=FINISHED,
        ),
        runs=RunTable(
            columns=("optimizer", "seed", "test_accuracy", "status"),
            rows=tuple((s.treatment, s.seed, s.value, s.status) for s in scores),
        ),
    )


def _ranks(treatments: Sequence[Treatment], n: int) -> RankDiagram | None:
    """The first half is one group."""
    ranked = sorted((t.mean_rank, t.name) for t in treatments if t.mean_rank is not None)
    if len(ranked) < 3 or n < 2:
        return None
    names = tuple(name for _, name in ranked)
    return RankDiagram(
        n_blocks=n,
        critical_difference=2.3,
        ranked=names,
        groups=(names[: max(2, len(names) // 2)],),
    )


FACTS = (
    ("dataset", ("mnist",)),
    ("network", ("mlp",)),
    ("batch_size", ("100",)),
    ("iterations", ("3000",)),
    ("eval_every", ("500",)),
    ("device", ("cpu",)),
    ("device_name", ("AMD EPYC 7B13",)),
    ("cores", ("2",)),
    ("n_jobs", ("2",)),
    ("torch_version", ("2.13.0+cpu",)),
    ("numpy_version", ("2.4.1",)),
    ("python_version", ("3.11.14",)),
    ("git_commit", ("0123456789abcdef0123456789abcdef01234567",)),
)


def pair(verdict: Verdict, difference: float | None = 0.004, **changes: object) -> Pair:
    """One pair with the given verdict, all else plausible; `changes` replace attributes."""
    d = difference
    base = Pair(
        a="a",
        b="b",
        n=20,
        mean_difference=d,
        ci_low=None if d is None else d - 0.001,
        ci_high=None if d is None else d + 0.001,
        simultaneous_ci_low=None if d is None else d - 0.0015,
        simultaneous_ci_high=None if d is None else d + 0.0015,
        statistic=None if d is None else d * 20,
        pvalue=0.0001,
        pvalue_holm=0.0028,
        pvalue_t=0.0002,
        pvalue_wilcoxon=0.0003,
        pvalue_equivalence=0.9,
        pvalue_equivalence_holm=1.0,
        dz=1.5,
        gz=1.44,
        win_rate=0.95,
        win_rate_low=0.76,
        win_rate_high=0.99,
        a12=0.93,
        correlation=0.2,
        verdict=verdict,
        seeds_needed=None,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def _scores(recipe: Recipe, n: int) -> list[RunScore]:
    random = Random(f"{recipe.name}:{recipe.mean}")
    scores = []
    for seed in range(n):
        correct = round(random.gauss(recipe.mean, recipe.spread))
        status = "ok"
        if seed < recipe.diverged:
            correct, status = 980 + seed, "diverged"
        value: float | None = min(correct, 10_000) / 10_000
        if seed >= n - recipe.failed:
            value, status = None, "failed"
        scores.append(RunScore(treatment=recipe.name, seed=seed, value=value, status=status))
    return scores


def _values(name: str, scores: Sequence[RunScore]) -> dict[int, float]:
    return {s.seed: s.value for s in scores if s.treatment == name and s.value is not None}


def _treatment(name: str, scores: Sequence[RunScore]) -> Treatment:
    values = sorted(_values(name, scores).values())
    n = len(values)
    mean = statistics.fmean(values) if values else None
    std = statistics.stdev(values) if n > 1 else None
    half = None if std is None else 2.1 * std / math.sqrt(n)
    quartiles = statistics.quantiles(values, n=4, method="inclusive") if n > 1 else None
    statuses = [s.status for s in scores if s.treatment == name]
    return Treatment(
        name=name,
        n=n,
        n_diverged=statuses.count("diverged"),
        n_failed=statuses.count("failed"),
        mean=mean,
        std=std,
        median=statistics.median(values) if values else None,
        q1=quartiles[0] if quartiles else None,
        q3=quartiles[2] if quartiles else None,
        iqm=mean,
        min=values[0] if values else None,
        max=values[-1] if values else None,
        ci_low=None if mean is None or half is None else mean - half,
        ci_high=None if mean is None or half is None else mean + half,
        mean_rank=None if not values else _mean_rank(name, scores),
    )


def _mean_rank(name: str, scores: Sequence[RunScore]) -> float | None:
    mine = _values(name, scores)
    others = {s.treatment for s in scores} - {name}
    ranks = [
        1 + sum(_values(o, scores).get(seed, 0) > value for o in others)
        for seed, value in mine.items()
    ]
    return statistics.fmean(ranks)


def _pair(a: str, b: str, scores: Sequence[RunScore], k: int, margin: float | None) -> Pair:
    x, y = _values(a, scores), _values(b, scores)
    common = sorted(set(x) & set(y))
    differences = [round(x[s] - y[s], 9) for s in common]
    n = len(common)
    if n < 2:
        return pair(
            "not testable",
            statistics.fmean(differences) if differences else None,
            a=a, b=b, n=n, ci_low=None, ci_high=None, simultaneous_ci_low=None,
            simultaneous_ci_high=None, pvalue=None, pvalue_holm=None, pvalue_t=None,
            pvalue_wilcoxon=None, pvalue_equivalence=None, pvalue_equivalence_holm=None,
            dz=None, gz=None, win_rate=None, win_rate_low=None, win_rate_high=None, a12=None,
            correlation=None,
        )  # fmt: skip
    mean, std = statistics.fmean(differences), statistics.stdev(differences)
    if std == 0:
        return _constant_pair(a, b, n, mean)
    error = std / math.sqrt(n)
    p = max(math.erfc(abs(mean) / error / math.sqrt(2)), 2 / 2**n)
    holm = min(1.0, p * k * (k - 1) / 2)
    wins = sum(d > 0 for d in differences) / n
    low, high = mean - 3.6 * error, mean + 3.6 * error
    verdict: Verdict = "inconclusive"
    if holm <= 0.05:
        verdict = "better" if mean > 0 else "worse"
    elif margin is not None and -margin < low and high < margin:
        verdict = "equivalent"
    return pair(
        verdict, mean, a=a, b=b, n=n, ci_low=mean - 2.1 * error, ci_high=mean + 2.1 * error,
        simultaneous_ci_low=low, simultaneous_ci_high=high, pvalue=p, pvalue_holm=holm,
        pvalue_t=p * 1.1 if p < 0.9 else p, pvalue_wilcoxon=p * 1.2 if p < 0.8 else p,
        a12_low=max(0.0, wins - 0.2), a12_high=min(1.0, wins + 0.15), variance_ratio=0.92,
        posterior_below=0.001, posterior_within=0.249, posterior_above=0.75,
        dz=mean / std, gz=0.96 * mean / std, win_rate=wins, win_rate_low=max(0.0, wins - 0.15),
        win_rate_high=min(1.0, wins + 0.1), a12=wins, correlation=0.12,
        seeds_needed=round(20 / (mean / std) ** 2) + 2 if verdict == "inconclusive" else None,
        seeds_needed_equivalence=round(1 / std) + 2 if verdict == "inconclusive" else None,
    )  # fmt: skip


def _constant_pair(a: str, b: str, n: int, mean: float) -> Pair:
    """Every seed differs by the same amount: no standardised effect."""
    holm = 2 / 2**n if mean else 1.0
    verdict: Verdict = "identical" if mean == 0 else "better" if holm <= 0.05 else "inconclusive"
    return pair(
        verdict,
        mean,
        **dict.fromkeys(("ci_low", "ci_high", "simultaneous_ci_low", "simultaneous_ci_high"), mean),
        a=a,
        b=b,
        n=n,
        pvalue=holm,
        pvalue_holm=holm,
        dz=None,
        gz=None,
    )


def _omnibus(k: int, n: int) -> Omnibus | None:
    if k < 3:
        return None
    tested = n > 1
    return Omnibus(
        chi2=131.4 if tested else None,
        df=k - 1,
        pvalue=1.2e-24 if tested else None,
        f_statistic=289.1 if tested else None,
        f_pvalue=3.4e-80 if tested else None,
        n_blocks=n,
    )


def _power(pairs: int, n: int) -> Power:
    needed = next(m for m in range(2, 40) if pairs * 2 / 2**m <= 0.05) if pairs else None
    return Power(
        smallest_pvalue=2 / 2**n if n > 1 else None,
        seeds_to_reject=needed,
        minimum_detectable_dz=1.019 if n > 1 else None,
    )


def _single_seed(
    treatments: Sequence[Treatment], pairs: Sequence[Pair], scores: Sequence[RunScore], n: int
) -> SingleSeed | None:
    """The agreement rises evenly from the leader's share of seeds to 0.9."""
    values = {t.name: _values(t.name, scores) for t in treatments}
    complete = [s for s in range(n) if all(s in v for v in values.values())]
    if len(treatments) < 2 or not complete:
        return None
    best = [max(values, key=lambda name, s=s: values[name][s]) for s in complete]
    leader = treatments[0].name
    first = best.count(leader) / len(complete)
    last = max(len(complete) // 2 - 1, 1)
    return SingleSeed(
        leader=leader,
        n_blocks=len(complete),
        best_shares=tuple(
            BestShare(
                treatment=t.name,
                share=best.count(t.name) / len(complete),
                share_low=0.0 if len(complete) > 1 else None,
                share_high=1.0 if len(complete) > 1 else None,
            )
            for t in treatments
        ),
        pairs=tuple(
            RankReversal(
                a=p.a,
                b=p.b,
                n=p.n,
                ahead=p.a if p.n and p.mean_difference else None,
                wrong_share=round(p.n * 0.3) / p.n if p.n and p.mean_difference else None,
                tied_share=0.0 if p.n and p.mean_difference else None,
            )
            for p in pairs
        ),
        curve=tuple(
            SelectionPoint(n=i + 1, probability=first + (0.9 - first) * i / last)
            for i in range(len(complete) // 2)
        ),
        n_draws=10_000,
    )


def _time_to_target(treatments: Sequence[Treatment], pairs: Sequence[Pair]) -> TimeToTarget:
    """Half of the runs arrive at 500 updates, the others never."""
    names = {t.name: t for t in treatments}
    return TimeToTarget(
        target=0.95,
        data="test",
        budget=3000,
        treatments=tuple(
            TargetTreatment(
                name=t.name,
                n=t.n,
                n_reached=t.n // 2,
                reach_rate=t.n // 2 / t.n if t.n else None,
                restricted_mean=1750.0 if t.n else None,
                ci_low=1200.0 if t.n > 1 else None,
                ci_high=2300.0 if t.n > 1 else None,
                steps=(
                    SurvivalStep(iteration=0, waiting_share=1.0),
                    *(
                        [SurvivalStep(iteration=500, waiting_share=1 - t.n // 2 / t.n)]
                        if t.n > 1
                        else []
                    ),
                ),
                lower_mean=1500.0 if t.n else None,
                early_steps=(
                    SurvivalStep(iteration=0, waiting_share=1 - t.n // 2 / t.n if t.n > 1 else 1.0),
                ),
            )
            for t in names.values()
        ),
        pairs=tuple(
            replace(p, verdict="inconclusive", mean_difference=-25.0, ci_low=None, ci_high=None)
            for p in pairs
        ),
        logrank=tuple(LogRank(a=p.a, b=p.b, pvalue=0.42) for p in pairs),
        resolution=500,
    )


def _scope(pairs: Sequence[Pair]) -> Scope:
    """Intervals that are a tenth of a point wider at both ends."""
    return Scope(
        n_examples=10_000,
        pairs=tuple(
            CrossedInterval(
                a=p.a,
                b=p.b,
                n=p.n,
                crossed_ci_low=None if p.ci_low is None else p.ci_low - 0.001,
                crossed_ci_high=None if p.ci_high is None else p.ci_high + 0.001,
                df=None if p.ci_low is None else 42.5,
                simultaneous_ci_low=_shifted(p.simultaneous_ci_low, -0.001),
                simultaneous_ci_high=_shifted(p.simultaneous_ci_high, 0.001),
                pvalue_equivalence=p.pvalue_equivalence,
                pvalue_equivalence_holm=p.pvalue_equivalence_holm,
            )
            for p in pairs
        ),
    )


def _shifted(value: float | None, by: float) -> float | None:
    return None if value is None else value + by


def _time_ratio(p: Pair, i: int) -> TimeRatio:
    ratio = 0.95 + 0.02 * i if p.n else None
    return TimeRatio(
        a=p.a,
        b=p.b,
        n=p.n,
        ratio=ratio,
        ci_low=None if ratio is None or p.n < 2 else ratio - 0.01,
        ci_high=None if ratio is None or p.n < 2 else ratio + 0.01,
    )


def _curve(treatment: Treatment, recipe: Recipe) -> LearningCurve:
    end = 1 - (0.5 if treatment.mean is None else treatment.mean)
    errors = [min(0.9, end * (3000 / i) ** 0.55) for i in ITERATIONS]
    losses = [3.3 * e for e in errors]
    one = treatment.n < 2
    dead = treatment.mean is None
    half = 0.04 if not recipe.diverged else 0.6

    def band(values: Sequence[float], finite: bool = True) -> Band:
        gone = dead or not finite
        return Band(
            mean=tuple(None if gone else v for v in values),
            low=tuple(None if gone or one else v * (1 - half) for v in values),
            high=tuple(None if gone or one else v * (1 + half) for v in values),
            n=tuple(treatment.n for _ in values),
        )

    accuracy = band(errors)
    return LearningCurve(
        treatment=treatment.name,
        iterations=ITERATIONS,
        batch_size=100,
        seconds=tuple(None if dead else i * (0.0007 + treatment.n * 1e-6) for i in ITERATIONS),
        test_accuracy=Band(
            mean=tuple(None if v is None else 1 - v for v in accuracy.mean),
            low=tuple(None if v is None else 1 - v for v in accuracy.high),
            high=tuple(None if v is None else 1 - v for v in accuracy.low),
            n=accuracy.n,
        ),
        test_loss=band(losses, finite=recipe.diverged == 0),
        train_loss=band([0.8 * v for v in losses], finite=recipe.diverged == 0),
    )


def _variant(treatment: Treatment) -> Variant:
    return Variant(
        treatment=treatment.name,
        algorithm=f"torch.optim.{treatment.name.title()}",
        hyperparameters=(
            ("betas", "(0.9, 0.999)"),
            ("eps", "1e-08"),
            ("foreach", "None"),
            ("lr", "0.001"),
            ("nesterov", "False"),
            ("weight_decay", "0"),
        ),
    )


def _timing(treatment: Treatment, i: int) -> Timing:
    ran = treatment.n > 0
    return Timing(
        treatment=treatment.name,
        n=treatment.n,
        train_seconds=2.31 + 0.17 * i if ran else None,
        eval_seconds=0.083 if ran else None,
    )


def _incidents(scores: Sequence[RunScore]) -> list[Incident]:
    return [
        Incident(
            treatment=s.treatment,
            seed=s.seed,
            status=s.status,
            iteration=137 + s.seed if s.status == "diverged" else None,
            error="loss is not finite (nan)"
            if s.status == "diverged"
            else "Traceback (most recent call last):\n"
            '  File "a/very/long/path.py", line 12, in train\n    loss.backward()\n'
            'RuntimeError: out of memory <&> "quoted"\n',
        )
        for s in scores
        if s.status != "ok"
    ]
