"""Several datasets in one command: one sweep for each, and a comparison over the datasets.

Every dataset has a separate sweep with its own rows, tests and report. In the comparison over
datasets an optimizer has one value per dataset, its mean over the seeds; datasets are the blocks.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.cli import console
from bench.datasets.names import short_name
from bench.errors import UsageError
from bench.spec.model import SweepSpec, default_sweep_name
from bench.storage.files import require_output, require_writable
from bench.storage.mirror import pulled, write_shared
from bench.storage.store import Store
from bench.sweeps.reproduce import command_line, options_text, refuse_foreign

if TYPE_CHECKING:
    from bench.analysis import SweepAnalysis
    from bench.sweeps.load import StoredSweep


def overall(specs: Sequence[SweepSpec], arguments: Namespace) -> SweepSpec:
    """The declaration of all sweeps together; its dataset is the list of their datasets."""
    first = specs[0]
    workload = replace(first.workload, dataset=",".join(s.workload.dataset for s in specs))
    name = arguments.name or default_sweep_name(workload, first.budget)
    return replace(first, name=name, workload=workload)


def check(whole: SweepSpec, arguments: Namespace) -> None:
    """Check before training that the comparison over datasets can be stored.

    Raise UsageError if a sweep has the name already, or a file cannot be written.
    """
    store = Store(pulled(arguments.results / whole.name))
    if store.spec_file.exists():
        raise UsageError(
            f"{store.directory} holds a sweep on one dataset: give these another --name"
        )
    refuse_foreign(store.options_file)
    if not arguments.no_report:
        require_output(arguments.reports / f"{whole.name}.html", "the report")


def compare_over(
    whole: SweepSpec, sweeps: Sequence[StoredSweep], arguments: Namespace, *, part: str = ""
) -> None:
    """Compare the optimizers over the datasets, write the report, and print the conclusion.

    `part` is added to the name of the report where the sweeps are parts of stored ones.
    """
    execution, epochs = sweeps[0].execution, arguments.epochs
    left_out = () if arguments.name else ("name",)  # the default name of each sweep differs
    text = options_text(whole, execution, epochs=epochs, left_out=left_out)
    store = Store(arguments.results / whole.name)
    if not part:
        require_writable(store.directory, "results")
        write_shared(text.encode(), store.options_file)
    labelled = dict(zip(_labels([s.spec.workload.dataset for s in sweeps]), sweeps, strict=True))
    command = command_line(whole, execution, epochs=epochs)
    conclude(
        replace(_analyse(whole, labelled), name=f"{whole.name}{part}"[:100]),
        command,
        arguments,
        head=f"over {len(sweeps)} datasets, {', '.join(labelled)}:",
        related=tuple((label, f"{s.spec.name}.html") for label, s in labelled.items()),
    )


def conclude(
    analysis: SweepAnalysis,
    command: str,
    arguments: Namespace,
    *,
    head: str = "",
    related: tuple[tuple[str, str], ...] = (),
) -> None:
    """Write the report of a sweep, and print the conclusion below `head`, or only the path."""
    path = None
    if not arguments.no_report:
        from bench import report

        path = arguments.reports / f"{analysis.name}.html"
        context = report.ReportContext(
            command=command, related=related, diagrams=tuple(arguments.diagrams)
        )
        report.write(analysis, path, context)
    if arguments.quiet:
        print(path)
        return
    if head:
        print(head)
    console.print_conclusion(analysis, command, path)


def _analyse(whole: SweepSpec, sweeps: Mapping[str, StoredSweep]) -> SweepAnalysis:
    from bench.analysis import compare, describe_runs, means_over_seeds
    from bench.analysis.results import Provenance
    from bench.sweeps.load import add_warnings

    means = means_over_seeds({label: s.rows.to_pandas() for label, s in sweeps.items()})
    declared = whole.declaration
    level = min(s.looks()[-1].level for s in sweeps.values())
    comparison = compare(
        means,
        block="dataset",
        alpha=level,
        margin=declared.margin,
        win_threshold=declared.win_threshold,
        correction=declared.correction,
    )
    analysis = describe_runs(means, comparison, name=whole.name, target=declared.target)
    notes = [
        f"A value is a mean over the seeds on one dataset, and {len(sweeps)} datasets are what the "
        "tests count: whether an optimizer is better on one of them is in the report on that "
        "dataset."
    ]
    if level != declared.alpha:
        notes.append(
            f"Judged at level {level:.3g}, the share of alpha {declared.alpha:g} that the looks at "
            "the sweeps leave."
        )
    # the facts about one environment would describe mixed datasets
    nowhere = Provenance(facts=(), started_at=None, finished_at=None)
    return replace(add_warnings(analysis, notes), provenance=nowhere)


def _labels(datasets: Sequence[str]) -> list[str]:
    """Short names of the datasets, or the full ones where two short names are equal."""
    short = [short_name(dataset) for dataset in datasets]
    return short if len(set(short)) == len(short) else list(datasets)
