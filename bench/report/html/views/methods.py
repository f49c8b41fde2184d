"""Settings of the comparison and of the runs, and their environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.analysis.correction import NAMES
from bench.analysis.results import Omnibus, Provenance, Test, Variant
from bench.report.columns import column_name
from bench.report.html.parts import Name, Parts
from bench.report.text import format as fmt
from bench.report.text.metrics import result_label
from bench.report.text.nouns import Noun
from bench.report.text.procedures import Procedure, procedure_of, runs_each
from bench.report.text.sanitize import clean

_WORKLOAD_COLUMNS = (
    *("dataset", "resample_train", "network", "batch_size", "iterations", "eval_every"),
)


@dataclass(frozen=True)
class Fact:
    """A term and its value; `mixed` where the runs have more than one."""

    term: str
    text: str
    mixed: bool = False


@dataclass(frozen=True)
class VariantRow:
    """The class and the hyperparameters of one optimizer."""

    name: Name
    algorithm: str
    hyperparameters: str


@dataclass(frozen=True, kw_only=True)
class MethodsView:
    """Settings of the comparison and of the runs.

    Attributes
    ----------
    summary, origin
        One line on the tests, and one on the machine and versions; empty if they are not known.
    declared
        Settings of the comparison and of the workload.
    environment
        Machine, versions and times.
    variants
        The optimizers with their hyperparameters.
    omnibus
        The result of Friedman's test; empty where it does not apply.
    level
        Level of the tests at this look.
    margin
        Equivalence margin; empty where none was declared.
    correction
        Name of the adjustment of the p-values for the number of pairs.
    is_max_t
        Whether it is step-down max-T.
    test
        Test of the pairs, as declared.
    procedure
        Words for this test.
    resampling_ratio
        Ratio of test to training examples of a fold; empty without folds.
    is_exact_test
        Whether no p-value of the sign-flip test is a Monte Carlo estimate.
    is_mixed
        Whether any fact has more than one value among the runs.
    is_exact
        Whether a repeated run gives the same result to the last bit.
    """

    summary: str
    origin: str
    declared: tuple[Fact, ...]
    environment: tuple[Fact, ...]
    variants: tuple[VariantRow, ...]
    omnibus: str
    level: str
    margin: str
    correction: str
    is_max_t: bool
    test: Test
    procedure: Procedure
    resampling_ratio: str
    is_exact_test: bool
    is_mixed: bool
    is_exact: bool


def methods_view(parts: Parts) -> MethodsView:
    """Settings of the comparison and of the runs."""
    analysis, comparison = parts.analysis, parts.analysis.comparison
    margin = comparison.parameters.margin
    workload, environment = _facts(analysis.provenance)
    p = comparison.parameters
    return MethodsView(
        summary=f"{_tests(procedure_of(comparison).test)} and "
        f"{NAMES[p.correction].removeprefix('the ')}, level {fmt.level(comparison.level)}, "
        f"{fmt.count(comparison.n_family, 'pair')}"
        f"{f', {len(p.looks)} looks' if p.looks else ''}.",
        origin=_origin(analysis.provenance),
        declared=(*_declared(parts), *workload),
        environment=environment,
        variants=tuple(_variant_row(parts, variant) for variant in analysis.variants),
        omnibus=_omnibus(parts, comparison.omnibus),
        level=fmt.level(comparison.level),
        margin="" if margin is None else parts.metric.margin(margin),
        correction=NAMES[comparison.parameters.correction],
        is_max_t=comparison.parameters.correction == "max-t",
        test=comparison.parameters.test,
        procedure=procedure_of(comparison),
        resampling_ratio=f"{comparison.parameters.resampling_ratio or 0:.4g}",
        is_exact_test=all(
            pair.pvalue_draws is None and pair.pvalue_max_t_draws is None
            for pair in comparison.pairs
        ),
        is_mixed=any(fact.mixed for fact in (*workload, *environment)),
        is_exact=_is_exact(dict(analysis.provenance.facts)),
    )


def _tests(test: str) -> str:
    """Begin a summary with the name of a test: ``Corrected resampled t test``."""
    return "Paired sign-flip tests" if "sign-flip" in test else f"{test[0].upper()}{test[1:]}"


def _declared(parts: Parts) -> tuple[Fact, ...]:
    comparison, nouns = parts.analysis.comparison, parts.nouns
    p, reaching = comparison.parameters, comparison.time_to_target
    target = (Fact("Target accuracy", fmt.level(reaching.target)),) if reaching else ()
    wins = (
        (Fact("Threshold of wins", f"{fmt.level(p.win_threshold)} of the {nouns.block.plural}"),)
        if p.win_threshold is not None
        else ()
    )
    margin = "none declared" if p.margin is None else parts.metric.margin(p.margin)
    return (
        Fact("Primary metric", f"{result_label(parts.analysis)}, {p.direction} is better"),
        *_size_and_test(parts),
        Fact(nouns.treatment.plural, f"{p.k:,}"),
        Fact("Family-wise level α", fmt.level(p.alpha)),
        Fact("Equivalence margin δ", margin),
        Fact("Correction for many pairs", NAMES[p.correction].removeprefix("the ")),
        *target,
        *wins,
        *(Fact("Note", clean(note)) for note in comparison.notes),
    )


def _size_and_test(parts: Parts) -> tuple[Fact, ...]:
    """Number of blocks, or of runs where they are not paired; the test where it is not usual."""
    comparison, block = parts.analysis.comparison, parts.nouns.block
    p, test = comparison.parameters, procedure_of(comparison).test
    size = f"{p.n_blocks:,}" if p.is_paired else runs_each(comparison)
    declared = () if p.test == "sign-flip" else (Fact("Test of the pairs", test),)
    if p.looks:
        looks = f"{fmt.listing(tuple(f'{n:,}' for n in p.looks))}, until every pair is decided"
        return (Fact(f"Looks, after how many {block.plural}", looks),)
    return (Fact(block.plural, size), *declared)


def _facts(provenance: Provenance) -> tuple[tuple[Fact, ...], tuple[Fact, ...]]:
    """Facts about the workload, and about the environment."""
    facts = {
        column: Fact(
            column_name(column),
            clean(", ".join(map(_grouped, values))) or fmt.MISSING,
            len(values) > 1,
        )
        for column, values in provenance.facts
    }
    if not facts:
        return (), ()
    workload = tuple(facts[c] for c in _WORKLOAD_COLUMNS if c in facts)
    rest = tuple(fact for column, fact in facts.items() if column not in _WORKLOAD_COLUMNS)
    started = Fact("first run started", fmt.moment(provenance.started_at))
    finished = Fact("last run finished", fmt.moment(provenance.finished_at))
    return workload, (*rest, started, finished)


def _grouped(value: str) -> str:
    """Write a whole number with thousands; a hash of digits has far more."""
    return f"{int(value):,}" if value.isascii() and value.isdecimal() and len(value) < 12 else value


def _origin(provenance: Provenance) -> str:
    facts = dict(provenance.facts)
    named = (("PyTorch", "torch_version"), ("Python", "python_version"), ("", "device_name"))
    return ", ".join(
        f"{label} {clean(' or '.join(facts[column]))}".strip()
        for label, column in named
        if column in facts
    )


def _variant_row(parts: Parts, variant: Variant) -> VariantRow:
    settings = ", ".join(f"{name}={value}" for name, value in variant.settings)
    return VariantRow(
        name=parts.name(variant.treatment),
        algorithm=clean(variant.algorithm),
        hyperparameters=clean(settings) or fmt.MISSING,
    )


def _omnibus(parts: Parts, omnibus: Omnibus | None) -> str:
    if omnibus is None or omnibus.chi2 is None:
        return ""
    alpha = parts.analysis.comparison.parameters.alpha
    f_test = (
        f"; Iman and Davenport's F = {fmt.number(omnibus.f_statistic, 1)}, "
        f"{fmt.p_equals(omnibus.f_pvalue, alpha)}"
        if omnibus.f_statistic is not None
        else ""
    )
    return (
        f"χ²({omnibus.df}) = {fmt.number(omnibus.chi2, 1)}, "
        f"{fmt.p_equals(omnibus.pvalue, alpha)}{f_test}, "
        f"over {Noun(f'complete {parts.nouns.block}').count(omnibus.n_blocks)}"
    )


def _is_exact(facts: Mapping[str, Sequence[str]]) -> bool:
    """Whether a result never depends on parallel runs: unstacked runs on a CPU."""
    return facts.get("device") == ("cpu",) and facts.get("stack", ("1",)) == ("1",)
