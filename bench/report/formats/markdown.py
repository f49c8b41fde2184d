"""Write a report as Markdown, for a pull request or the appendix of a paper."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import astuple

from bench.analysis.correction import NAMES
from bench.analysis.results import Comparison, SweepAnalysis, SweepChange
from bench.analysis.results.tuning import Tuning
from bench.report.context import NO_CONTEXT, ReportContext, described
from bench.report.formats.markdown_syntax import code_block, escape, paragraph, table
from bench.report.text import format as fmt
from bench.report.text.change import change_rows, change_verdict, fact_rows
from bench.report.text.lines import PairLine, leader_lines, pair_line
from bench.report.text.looks import look_lines, looks_sentences, own_blocks_sentence
from bench.report.text.metrics import metric_of, result_label
from bench.report.text.nouns import Nouns
from bench.report.text.procedures import procedure_of, with_article
from bench.report.text.tuning import protocol, tuned_rows, tuning_verdict
from bench.report.text.wording import headline


def markdown(results: SweepAnalysis | Comparison, context: ReportContext = NO_CONTEXT) -> str:
    """Write the verdict, the leaderboard, all pairs and their origin; ends in a newline."""
    analysis = described(results)
    comparison = analysis.comparison
    nouns = Nouns.of(comparison.parameters)
    blocks = (
        f"# {escape(analysis.name)}: which {escape(nouns.treatment.one)}?",
        *map(paragraph, headline(analysis)),
        *_listed("## Warnings", comparison.warnings),
        "## Leaderboard",
        _leaderboard(analysis, nouns),
        _sentence_on_letters(nouns),
        *map(paragraph, filter(None, (own_blocks_sentence(comparison),))),
        *_pairs(comparison, nouns),
        *_looks(comparison, nouns),
        *_one_seed(comparison, nouns),
        "## Method",
        _method(analysis, nouns),
        *_environment(analysis),
        *(("## Reproduce", code_block(context.command)) if context.command else ()),
    )
    return "\n\n".join(blocks) + "\n"


def change_markdown(found: SweepChange) -> str:
    """Write the verdict, a table of the optimizers, the changed settings and the warnings."""
    level = fmt.level(1 - found.parameters.alpha)
    heads = (
        *("optimizer", "verdict", "seeds", "after − before"),
        *(f"{level} interval", "adj. p", "time"),
    )
    rows = [
        (r.optimizer, r.verdict, r.n, r.difference, r.interval, r.p_labelled, r.time)
        for r in change_rows(found)
    ]
    facts = [(fact.label, fact.before, fact.after) for fact in fact_rows(found)]
    names = f"**{escape(found.before)} → {escape(found.after)}:**"
    parts = (
        " ".join((names, *map(escape, change_verdict(found)))),
        table(heads, (0, 1), rows),
        "Test accuracy in points; only adjusted p-values decide: p diff on a change, p equiv on "
        "equivalence; time is after / before.",
        table(("what differs", "before", "after"), (0, 1, 2), facts) if facts else "",
        "\n".join(f"- {escape(warning)}" for warning in found.warnings),
    )
    return "\n\n".join(filter(None, parts)) + "\n"


def tuning_markdown(tuning: Tuning, context: ReportContext = NO_CONTEXT) -> str:
    """Write the verdict, the chosen settings and what they gained; ends in a newline."""
    level = fmt.level(1 - tuning.change.parameters.alpha)
    gains = [
        (r.optimizer, r.verdict, r.before, r.after, r.difference, r.interval, r.p_labelled)
        for r in change_rows(tuning.change)
    ]
    blocks = (
        f"# {escape(tuning.name)}: defaults and tuned",
        *map(paragraph, tuning_verdict(tuning)),
        *_listed("## Warnings", tuning.change.warnings),
        "## Chosen settings",
        paragraph(protocol(tuning)),
        table(
            ("optimizer", "default", "chosen", "range", "validation, %", "test, %"),
            (0, 1, 2, 3),
            [
                (r.optimizer, r.default, r.chosen, r.ranges, r.validation, r.test)
                for r in tuned_rows(tuning)
            ],
        ),
        "## Gain",
        table(
            (
                *("optimizer", "verdict", "default, %", "tuned, %", "tuned − default"),
                *(f"{level} interval", "adj. p"),
            ),
            (0, 1),
            gains,
        ),
        *(("## Reproduce", code_block(context.command)) if context.command else ()),
    )
    return "\n\n".join(blocks) + "\n"


def _leaderboard(analysis: SweepAnalysis, nouns: Nouns) -> str:
    comparison = analysis.comparison
    unit = metric_of(comparison).unit
    level = fmt.level(1 - comparison.parameters.interval_alpha)
    heads = (
        *("#", nouns.treatment.one, f"mean, {unit}" if unit else "mean", f"{level} interval"),
        *("std", "median", f"worst {nouns.block}", "mean rank", "letters"),
        *("runs", "diverged", "failed"),
    )
    left_out = () if comparison.parameters.is_paired else ("mean rank",)
    return _table_without(left_out, heads, (1, 8), map(astuple, leader_lines(analysis)))


def _sentence_on_letters(nouns: Nouns) -> str:
    return paragraph(
        f"Two {nouns.treatment.plural} that share no letter differ significantly. That two share "
        "one does not show that they perform alike."
    )


def _pairs(comparison: Comparison, nouns: Nouns) -> tuple[str, ...]:
    if not comparison.pairs:
        return ()
    unit = metric_of(comparison).difference_unit
    level = fmt.level(1 - comparison.parameters.interval_alpha)
    heads = (
        *("pair", f"mean difference, {unit}" if unit else "mean difference", f"{level} interval"),
        *("simultaneous interval", "p, adjusted", "d_z", "win rate", "verdict"),
    )
    cells = (_pair_cells(pair_line(pair, comparison)) for pair in comparison.pairs)
    left_out = () if comparison.parameters.is_paired else ("d_z", "win rate")
    note = (
        "A difference is first minus second, and the verdict that of the first. “Inconclusive” "
        f"means that neither a difference nor its smallness was shown with this many "
        f"{nouns.block.plural}: it does not mean “the same”. The p-value is the one that decides: "
        "p equiv for “equivalent”, else p diff."
    )
    return (
        "## Pair by pair",
        _table_without(left_out, heads, (0, 7), cells),
        paragraph(note),
    )


def _table_without(
    left_out: Collection[str],
    heads: Sequence[str],
    texts: Collection[int],
    rows: Iterable[Sequence[str]],
) -> str:
    """Write :func:`table` without the columns whose heads are `left_out`."""
    kept = [i for i, head in enumerate(heads) if head not in left_out]
    return table(
        [heads[i] for i in kept],
        [place for place, i in enumerate(kept) if i in texts],
        ([row[i] for i in kept] for row in rows),
    )


def _pair_cells(line: PairLine) -> tuple[str, ...]:
    return (
        *(f"{line.a} against {line.b}", line.difference, line.interval, line.simultaneous),
        *(line.p_labelled, line.dz, line.win_rate, line.verdict),
    )


def _looks(comparison: Comparison, nouns: Nouns) -> tuple[str, ...]:
    """What each look of a sequential comparison found."""
    if comparison.sequential is None:
        return ()
    heads = (
        *("look", nouns.block.plural, f"{nouns.treatment.plural} with runs", "runs added"),
        *("pairs decided", "pairs open after it"),
    )
    rows = map(astuple, look_lines(comparison.sequential))
    return (
        "## Looks",
        table(heads, (), rows),
        *map(paragraph, looks_sentences(comparison, comparison.sequential)),
    )


def _one_seed(comparison: Comparison, nouns: Nouns) -> tuple[str, ...]:
    """How often one seed names the leader, and two seeds the same; empty with a single seed."""
    told = comparison.single_seed
    if told is None or told.n_blocks < 2:
        return ()
    best = next(c for c in told.best_shares if c.treatment == told.leader)
    sentence = (
        f"{told.leader}, the leader over all {nouns.block.count(told.n_blocks)} that every "
        f"{nouns.treatment} has, is the best on a single one in {fmt.percent(best.share)} "
        f"{fmt.percents(best.share_low, best.share_high)} of the cases. Two of them name the same "
        f"{nouns.treatment} with a chance of {fmt.percent(told.curve[0].probability)}."
    )
    return f"## Results of single {escape(nouns.block.plural)}", paragraph(sentence)


def _method(analysis: SweepAnalysis, nouns: Nouns) -> str:
    comparison = analysis.comparison
    p, metric = comparison.parameters, metric_of(comparison)
    procedure = procedure_of(comparison)
    margin = (
        "no equivalence margin was declared"
        if p.margin is None
        else f"equivalence within {metric.margin(p.margin)} by {procedure.one_sided}, adjusted "
        "likewise"
    )
    tests = (
        f"Exact paired sign-flip tests over {nouns.block.plural}"
        if p.test == "sign-flip"
        else f"Pairs by {with_article(procedure.test)}"
    )
    return paragraph(
        f"Primary metric: {result_label(analysis)}, {p.direction} is better. {tests}, two-sided, "
        f"with {NAMES[p.correction]} over "
        f"{fmt.count(comparison.n_family, 'pair')} at level {fmt.level(comparison.level)} "
        f"({_on_looks(comparison)}); {margin}. "
        + " ".join(
            (
                f"Intervals are {procedure.intervals}; simultaneous ones hold together after "
                f"Bonferroni{', those of all looks too' if p.looks else ''}.",
                *comparison.notes,
            )
        )
    )


def _on_looks(comparison: Comparison) -> str:
    p, now = comparison.parameters, comparison.looks[-1].look
    if comparison.sequential is None:
        return f"family-wise α {fmt.level(p.alpha)}, look {now}"
    block = Nouns.of(p).block.plural
    planned = fmt.listing(tuple(f"{n:,}" for n in p.looks))
    return (
        f"look {now} of {len(p.looks)}, after {planned} {block}; p-values are adjusted for the "
        "looks and then for the pairs"
    )


def _environment(analysis: SweepAnalysis) -> tuple[str, ...]:
    facts = analysis.provenance.facts
    if not facts:
        return ()
    parts = (f"{column.replace('_', ' ')} {' or '.join(values)}" for column, values in facts)
    return "## Environment", paragraph("; ".join(parts) + ".")


def _listed(heading: str, sentences: Sequence[str]) -> tuple[str, ...]:
    if not sentences:
        return ()
    return heading, "\n".join(f"- {paragraph(sentence)}" for sentence in sentences)
