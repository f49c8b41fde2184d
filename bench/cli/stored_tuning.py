"""Reports of a stored tuning: what it changed, and its tuned track."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli import console
from bench.cli.options import write_text
from bench.cli.report import AnalysisReport, ReportSource, command_like
from bench.errors import UsageError
from bench.report.context import ReportContext

if TYPE_CHECKING:
    import pyarrow as pa

    from bench.analysis.results.tuning import Tuning
    from bench.sweeps.tuned import StoredTuning


def tuning_source(path: Path) -> ReportSource:
    """Return the report of a directory with the plan of a tuning."""
    from bench.sweeps.tuned import open_tuning

    stored = open_tuning(path)
    return tuned_track(stored) if path.resolve().name == stored.tuned_name else TuningReport(stored)


def tuned_track(stored: StoredTuning) -> AnalysisReport:
    """Return the report of the tuned track of a repeated tuning."""
    return AnalysisReport(
        name=stored.tuned_name,
        command=stored.command,
        analyse=lambda _recorded: stored.tuned_analysis(),
        rows=stored.tuned_rows(),
    )


def tuning_context(stored: StoredTuning, command: str) -> ReportContext:
    """Return the context of the page of a tuning, with links to the reports of its tracks."""
    words = ("the optimizers at their defaults", "the tuned optimizers")
    pages = (f"{name}.html" for name in (stored.default.spec.name, stored.tuned_name))
    return ReportContext(command=command, related=tuple(zip(words, pages, strict=True)))


@dataclass(frozen=True)
class TuningReport:
    """The report on what a tuning changed."""

    stored: StoredTuning

    @property
    def name(self) -> str:
        return f"{self.stored.default.spec.name}-tuning"

    @cached_property
    def _tuning(self) -> Tuning:
        return self.stored.result()

    def refuse(self, arguments: Namespace) -> None:
        for option in ("latex", "diagrams"):
            if getattr(arguments, option):
                raise self._not_for_a_tuning(option)

    def _not_for_a_tuning(self, option: str) -> UsageError:
        tracks = f"{self.stored.default.spec.name} and {self.stored.tuned_name}"
        return UsageError(f"--{option} is for one of the tracks of a tuning: {tracks}")

    def text(self, kind: str, _diagrams: tuple[str, ...]) -> str:
        from bench import report
        from bench.analysis import to_json

        context = tuning_context(self.stored, self.stored.command())
        texts: dict[str, Callable[[], str]] = {
            "html": lambda: report.render_tuning(self._tuning, context),
            "json": lambda: to_json(self._tuning),
            "csv": lambda: report.table_csv(*_scalars(self.rows)),
            "markdown": lambda: report.tuning_markdown(self._tuning, context),
        }
        return texts[kind]()

    def latex(self) -> str:
        raise self._not_for_a_tuning("latex")

    @cached_property
    def rows(self) -> pa.Table:
        return self.stored.rows()

    def page_like(self, given: str) -> str:
        from bench import report

        context = tuning_context(self.stored, command_like(given, self.stored.command))
        return report.render_tuning(self._tuning, context)

    def print_conclusion(self, page: Path | None) -> None:
        console.print_chosen(self._tuning.optimizers)
        console.print_tuning(self._tuning, page)


def analyze_tuning(
    path: Path, outputs: Mapping[str, Path | None], given: Sequence[str], *, is_shown: bool
) -> None:
    """Carry out ``analyze`` on a directory with the plan of a tuning.

    `outputs` are the files by the names of their formats, and `given` the options that change the
    analysis; raise UsageError if there is one, because a tuning is analysed as it was declared.
    """
    source = tuning_source(path)
    if given:
        raise UsageError(
            f"{path} is a tuning, which is analysed as it was declared: {given[0]} does not apply"
        )
    for kind, file in outputs.items():
        if file is not None:
            text = source.latex() if kind == "latex" else source.text(kind, ())
            write_text(text, file)
    if is_shown:
        source.print_conclusion(outputs["html"])


def _scalars(rows: pa.Table) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
    """Return the names and the rows of the columns that hold numbers and text."""
    import pyarrow as pa

    kinds = (pa.types.is_nested, pa.types.is_binary, pa.types.is_large_binary)
    names = [f.name for f in rows.schema if not any(is_kind(f.type) for is_kind in kinds)]
    records = rows.select(names).to_pylist()
    return names, (tuple(record.values()) for record in records)
