"""Write the comparison of two sweeps as Markdown for a comment on a pull request."""

from __future__ import annotations

from bench.analysis.results import SweepChange
from bench.report.formats.markdown_syntax import escape, table
from bench.report.html.change import change_rows, change_verdict, fact_rows, speed_rows
from bench.report.text import format as fmt


def change_markdown(found: SweepChange) -> str:
    """Write the verdict, a table of the optimizers, the changed settings and the warnings."""
    level = fmt.level(1 - found.parameters.alpha)
    head = (
        "optimizer",
        "verdict",
        "seeds",
        "after − before",
        f"{level} interval",
        "adj. p",
        "time",
    )
    times = {row.optimizer: row.ratio for row in speed_rows(found)}
    rows = [
        (
            *(row.optimizer, row.verdict, row.n, row.difference, row.interval, row.p_holm),
            times.get(row.optimizer, fmt.MISSING),
        )
        for row in change_rows(found)
    ]
    facts = [
        (f"{f.optimizer}: {f.term}" if f.optimizer is not None else f.term, f.before, f.after)
        for f in fact_rows(found)
    ]
    lead, *others = map(escape, change_verdict(found))
    title = f"**{escape(found.before)} → {escape(found.after)}:** {lead}"
    parts = [
        " ".join([title, *others]),
        table(head, (0, 1), rows),
        "Test accuracy in points; only adjusted p-values decide; time is after / before.",
        table(("what differs", "before", "after"), (0, 1, 2), facts) if facts else "",
        "\n".join(f"- {escape(warning)}" for warning in found.warnings),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
