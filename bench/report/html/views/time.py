"""Training time relative to the leader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.analysis.results import TimeRatio
from bench.report.html.parts import Name, Parts, Row
from bench.report.text import format as fmt


@dataclass(frozen=True)
class TimeView:
    """Training time relative to the leader."""

    summary: str
    leader: Name
    circumstances: str
    rows: tuple[Row, ...]


def time_view(parts: Parts) -> TimeView | None:
    """Training time relative to the leader's; None where it is not known."""
    analysis = parts.analysis
    leader = analysis.comparison.treatments[0].name
    ratios = [r for r in analysis.time_ratios if r.a == leader and r.ratio is not None]
    if not ratios:
        return None
    return TimeView(
        _summary(parts, ratios),
        parts.name(leader),
        _circumstances(dict(analysis.provenance.facts)),
        tuple(_time_row(parts, r) for r in ratios),
    )


def _summary(parts: Parts, ratios: Sequence[TimeRatio]) -> str:
    slow, fast = (f(ratios, key=lambda r: r.ratio or 1.0) for f in (min, max))
    leader = parts.name(ratios[0].a).text
    ends = [f"{fmt.number(1 / (r.ratio or 1.0))} ({parts.name(r.b).text})" for r in (fast, slow)]
    span = ends[0] if len(ratios) == 1 else f"{ends[0]} to {ends[1]}"
    return f"{span} times that of {leader}. Exploratory."


def _circumstances(facts: Mapping[str, Sequence[str]]) -> str:
    """How the times were measured."""
    workers, cores, stacks = (facts.get(name, ()) for name in ("n_jobs", "cores", "stack"))
    if not workers or not cores:
        return "other load on the machine is not recorded"
    share = f"; a run's time is its share of a stack of {' or '.join(stacks)}"
    said = (
        f"measured with {' or '.join(workers)} workers on {' or '.join(cores)} cores, each with "
        "one thread"
        if facts.get("device", ("cpu",)) == ("cpu",)
        else f"measured with {' or '.join(workers)} stacks side by side on "
        f"{' or '.join(facts.get('device_name', ('a GPU',)))}"
    )
    return said + (share if any(stack != "1" for stack in stacks) else "")


def _time_row(parts: Parts, ratio: TimeRatio) -> Row:
    """The ratio is that of the leader over the other: here it is inverted."""
    inverse = [None if x is None else 1 / x for x in (ratio.ratio, ratio.ci_high, ratio.ci_low)]
    middle, low, high = (fmt.number(x, 2) for x in inverse)
    return Row(parts.name(ratio.b), (middle, fmt.bracket(low, high), str(ratio.n)))
