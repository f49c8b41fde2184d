"""Text output of the commands: plans, failures, rankings and verdicts."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from bench.cli.margins import in_points
from bench.cli.printing import printable
from bench.cli.terminal import Column, FittedTable, new_console
from bench.spec.expressions import format_seeds
from bench.spec.model import SweepSpec
from bench.sweeps.rows import failure_reasons
from bench.words import count

if TYPE_CHECKING:
    from bench.analysis import SweepAnalysis, SweepChange
    from bench.analysis.results.tuning import TunedOptimizer, Tuning
    from bench.execution.resources import Placement
    from bench.sweeps.estimate import Estimate
    from bench.sweeps.resume import SweepStatus
    from bench.sweeps.sequential import Forecast

#: Maximum number of runs that a dry run lists if asked.
MAX_LISTED = 400


def print_start(
    spec: SweepSpec, status: SweepStatus, placement: Placement, level: float | None
) -> None:
    """Print what will be trained, and a note if there are too few seeds for any significance.

    `level` is that of the tests; None: nothing is tested.
    """
    n_planned = len(status.planned)
    done = n_planned - len(status.missing)
    already = f", {done} done already" if done else ""
    seeds = f" x {count(len(spec.seeds), 'seed')} ="
    if stages := spec.declaration.until_decided:
        n_looks = len(status.looks)
        seeds = f", look {n_looks + 1} of {len(stages)} ({stages[n_looks]} seeds):"
    print(
        f"sweep {spec.name}: {_optimizers(spec)}{seeds} {count(n_planned, 'run')}{already}; "
        f"{_described(placement)}",
        flush=True,
    )
    if level is None or status.looks:
        return
    print(in_points(spec.declaration.margin), flush=True)
    if len(spec.seeds) < seeds_needed(spec, level):
        from bench.analysis.correction import NAMES, remedies

        n, correction = len(spec.seeds), spec.declaration.correction
        help_ = remedies(correction, n, _n_pairs(spec), level, ("optimizer", "seed"))
        print(
            f"note: with {count(n, 'seed')} no difference can be significant at "
            f"{_level(spec, level)} by {NAMES[correction]} of the exact test. {help_}",
            flush=True,
        )


def _described(placement: Placement) -> str:
    """The number of devices or workers, and how runs are placed on them."""
    if placement.is_on_cluster:
        parts = [f"{count(placement.n_jobs, 'thread')} of Dask workers"]
    else:
        parts = [count(placement.n_devices, "GPU" if placement.slots else "worker")]
    if placement.n_jobs > placement.n_devices:
        parts.append(f"{placement.n_jobs} jobs at a time")
    if placement.stack > 1:
        parts.append(f"stacks of up to {placement.stack} seeds")
    return ", ".join(parts)


def print_plan(status: SweepStatus) -> None:
    """Print every run, and whether it is done."""
    keys = {run.key for run in status.missing}
    planned = status.planned
    for run in planned[:MAX_LISTED]:
        state = "to do" if run.key in keys else "done "
        print(f"{state}  {run.optimizer.name}  seed {run.seed}")
    if len(planned) > MAX_LISTED:
        print(f"... and {len(planned) - MAX_LISTED} more")


def print_dry_run(
    spec: SweepSpec,
    status: SweepStatus,
    estimated: Estimate,
    level: float | None,
    expected: Forecast | None = None,
) -> None:
    """Print the number of runs, the estimated time, and how many seeds the tests need.

    `level` is that of the tests; None: nothing is tested. `expected` is for a sweep that adds seeds
    until its pairs are decided.
    """
    planned, n_missing, stages = status.planned, len(status.missing), spec.declaration.until_decided
    seeds = f"seeds {format_seeds(spec.seeds)}"
    if stages:
        seeds = f"until their pairs are decided, looks at {', '.join(map(str, stages))} seeds"
    print(f"sweep:  {spec.name}: {_optimizers(spec)}, {seeds}")
    n_looks = len(status.looks) + bool(n_missing)
    look = f" up to look {n_looks}" if stages else ""
    print(f"runs:   {len(planned)}{look}, of which {len(planned) - n_missing} are done")
    if stages:
        print(_least_and_most(spec, expected))
    print(f"time:   about {duration(estimated.seconds)} with {_described(estimated.placement)}")
    if level is None:
        return
    print(in_points(spec.declaration.margin))
    for line in _evaluations(spec, len(planned), estimated):
        print(line)
    needed = seeds_needed(spec, level)
    if needed and (not stages or len(spec.seeds) < needed):
        correction = "Holm" if spec.declaration.correction == "holm" else "max-T"
        judgement = "enough" if len(spec.seeds) >= needed else "too few"
        print(
            f"seeds:  {len(spec.seeds)}, {judgement}: over {_pairs(spec)} at "
            f"{_level(spec, level)}, {correction} can reject nothing with fewer than {needed}"
        )


def _least_and_most(spec: SweepSpec, expected: Forecast | None) -> str:
    """The numbers of runs that a sweep needs at least, at most, and probably."""
    first, *_, last = spec.declaration.until_decided
    n_optimizers = len(spec.optimizers)
    line = f"in all: at least {n_optimizers * first:,} runs, at most {n_optimizers * last:,}"
    if expected is not None:
        line += f", probably about {expected.n_runs:,} (from {expected.source})"
    return line


def _evaluations(spec: SweepSpec, n_runs: int, estimated: Estimate) -> Iterator[str]:
    """Yield a line on what more frequent evaluations would cost and gain, if there are any."""
    from bench.analysis.target import FINER

    workload = spec.workload
    finer = replace(workload, eval_every=min(FINER, workload.eval_every))
    n, more = len(workload.eval_iterations), len(finer.eval_iterations)
    if more == n:
        return
    cost = ""
    if estimated.evaluation is not None:
        seconds = n_runs * (more - n) * estimated.evaluation / estimated.placement.n_devices
        cost = f", about {duration(seconds)} in all"
    yield (
        f"target: times to it are known to {workload.eval_every} updates; --eval-every {FINER} "
        f"narrows this to {FINER}, for {more - n} more evaluations per run{cost}"
    )


def seeds_needed(spec: SweepSpec, level: float) -> int:
    """The least number of seeds at which the tests can reject at `level`; 0 without a pair."""
    from bench.analysis.correction import blocks_to_reject

    n_pairs = _n_pairs(spec)
    return blocks_to_reject(spec.declaration.correction, n_pairs, level) if n_pairs else 0


def _level(spec: SweepSpec, level: float) -> str:
    alpha = spec.declaration.alpha
    if level == alpha:
        return f"alpha {alpha:g}"
    return f"level {level:.3g} (this look's share of alpha {alpha:g})"


def print_nothing_to_do(n: int) -> None:
    """Print that all `n` runs of a sweep are stored."""
    print(f"nothing to do: {count(n, 'run')} {'is' if n == 1 else 'are'} stored", flush=True)


def kept_runs(spec: SweepSpec, status: SweepStatus) -> str:
    """Return the sentence on how many runs of an interrupted sweep are kept."""
    plan = status.planned
    kept = len(plan) - len(status.missing)
    up_to = " of the looks so far" if spec.declaration.until_decided else ""
    return f"{kept} of {count(len(plan), 'run')}{up_to} kept; the same command resumes"


def print_failures(rows: pa.Table) -> None:
    """Print why runs failed, each reason once, on standard error."""
    for reason in failure_reasons(rows):
        print(printable(f"failed: {reason}"), file=sys.stderr)


def print_waiting(look: int, n_seeds: int) -> None:
    """Print that a look of a sweep waits for failed runs, on standard error."""
    print(
        f"look {look} ({n_seeds} seeds) waits for failed runs: give the same command again "
        "to repeat them, or leave out an optimizer that always fails, with another --name",
        file=sys.stderr,
    )


def print_conclusion(analysis: SweepAnalysis, command: str, report: Path | None) -> None:
    """Print the ranked table, the verdict, the report's path and the command to reproduce it."""
    from bench.report.text.wording import headline

    new_console().print(_ranking(analysis))
    for sentence in headline(analysis):
        print(printable(sentence))
    for sentence in _looks(analysis):
        print(printable(f"looks:     {sentence}"))
    for note in analysis.comparison.notes:
        print(printable(f"note:      {note}"))
    for warning in analysis.comparison.warnings:
        print(printable(f"warning: {warning}"))
    if report is not None:
        print(printable(f"report:    {report}"))
    print(printable(f"reproduce: {command}"))


def _looks(analysis: SweepAnalysis) -> tuple[str, ...]:
    """What the looks of a sequential sweep needed, and what is open."""
    from bench.report.text.looks import looks_sentences, own_blocks_sentence

    comparison = analysis.comparison
    if comparison.sequential is None:
        return ()
    own = own_blocks_sentence(comparison)
    return (*looks_sentences(comparison, comparison.sequential), *((own,) if own else ()))


def print_change(found: SweepChange, files: Sequence[Path]) -> None:
    """Print the verdict on two sweeps, a table of optimizers, differences and written files."""
    from bench.report.text.change import change_verdict, fact_rows

    for sentence in change_verdict(found):
        print(printable(sentence))
    new_console().print(_changes(found))
    for fact in fact_rows(found):
        print(printable(f"differs:   {fact.label}: {fact.before} before, {fact.after} after"))
    for warning in found.warnings:
        print(printable(f"warning: {warning}"))
    for file in files:
        print(printable(f"written:   {file}"))
    print(printable(f"reproduce: {found.command}"))


def print_tuning(tuning: Tuning, page: Path | None) -> None:
    """Print what tuning changed."""
    from bench.report.text.tuning import tuning_verdict

    print("what tuning changed: " + " ".join(map(printable, tuning_verdict(tuning))))
    if page is not None:
        print(f"tuning:    {printable(str(page))}")


def print_chosen(optimizers: Sequence[TunedOptimizer]) -> None:
    """Print the chosen setting of every optimizer."""
    from bench.report.text.tuning import choice_words, setting_words

    for tuned in optimizers:
        edge = ", at an end of its range" if tuned.edge else ""
        print(
            f"  {printable(tuned.optimizer)}: {choice_words(tuned)} (default "
            f"{setting_words(tuned.default)}){edge}"
        )


def duration(seconds: float) -> str:
    """A duration in words, rounded up to seconds.

    >>> duration(8.4), duration(200), duration(9000)
    ('9 s', '3 min 20 s', '2 h 30 min')
    """
    whole = math.ceil(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _changes(found: SweepChange) -> FittedTable:
    from bench.report.text import format as fmt
    from bench.report.text.change import change_rows

    rows = change_rows(found)
    level = fmt.level(1 - found.parameters.alpha)
    counted = "seeds" if found.is_paired else "runs"
    columns = [
        Column("optimizer", [row.optimizer for row in rows], is_name=True),
        Column(counted, [row.n for row in rows], drop=3),
        Column("alike", [row.same for row in rows], drop=5),
        Column("before %", [row.before for row in rows], drop=7),
        Column("after %", [row.after for row in rows], drop=7),
        Column("change", [row.difference for row in rows], drop=1),
        Column(f"{level} interval", [row.interval for row in rows], drop=6),
        Column("adj. p", [row.p_labelled for row in rows], drop=2),
        Column("time", [row.time for row in rows], drop=4),
        Column("verdict", [row.verdict for row in rows]),
    ]
    return FittedTable([c for c in columns if found.is_paired or c.head != "alike"])


def _ranking(analysis: SweepAnalysis) -> FittedTable:
    from bench.report.text import format as fmt
    from bench.report.text.lines import leader_lines, lines_against_leader
    from bench.report.text.metrics import metric_of

    comparison = analysis.comparison
    unit, level = metric_of(comparison).unit, fmt.level(1 - comparison.parameters.interval_alpha)
    lines, against = leader_lines(analysis), lines_against_leader(comparison)
    compared = [against.get(line.name) for line in lines]
    return FittedTable(
        (
            Column(comparison.parameters.treatment, [line.name for line in lines], is_name=True),
            Column("runs", [line.runs for line in lines], drop=4),
            Column(f"mean {unit}".rstrip(), [line.mean for line in lines], drop=1),
            Column(f"{level} interval", [line.interval for line in lines], drop=5),
            Column("std", [line.std for line in lines], drop=6),
            Column("minus first", [p.difference if p else "" for p in compared], drop=2),
            Column("adj. p", [p.p_labelled if p else "" for p in compared], drop=3),
            Column("verdict", [p.word if p else "" for p in compared]),
        )
    )


def _optimizers(spec: SweepSpec) -> str:
    return count(len(spec.optimizers), "optimizer")


def _n_pairs(spec: SweepSpec) -> int:
    return math.comb(len(spec.optimizers), 2)


def _pairs(spec: SweepSpec) -> str:
    n_pairs = _n_pairs(spec)
    return f"{n_pairs} pairs" if n_pairs > 1 else "the one pair"
