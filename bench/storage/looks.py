"""Looks at a sweep: the sets of seeds for which verdicts were shown.

results/<sweep>/looks.json
    {"looks": [{"seeds": "0-19", "missing": 0, "at": "2026-11-23T09:34:00+00:00",
                "optimizers": ["adam", "sgd"], "rejected": [["adam", "sgd"]]}]}

If seeds are added until a difference is significant, false positives become too frequent. Every
set of seeds with verdicts is therefore stored once, and later looks are tested at a stricter level
(:mod:`bench.analysis.stats.sequential`).

The levels of all looks share alpha, so a difference that a look found stands, whatever later looks
find: `rejected` holds the pairs (better, worse) whose equality the look rejected. They hold for the
family of tests of the compared `optimizers`, and for that of fewer of them. With more optimizers,
the test of the same pair would have been stricter. Looks of earlier versions lack both lists, which
are added when these looks are shown again.

Showing the same runs again is the same look. So is showing a part of it: fewer of its optimizers
with the same seeds, or fewer seeds of a look without missing runs with optimizers that it compared.
All of these runs were seen, and later looks have the level that they would have had. The part is
chosen after the results were seen, so its verdicts are neither recorded nor stand. The same seeds
with fewer missing runs are a new look. Other optimizers with the same seeds are not a new look, but
their differences replace those of the optimizers before. The choice of optimizers must not depend
on verdicts either, but the file cannot show why an optimizer was added.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from bench.errors import SpecError, StoreError
from bench.spec.expressions import format_seeds, parse_seeds
from bench.storage.files import require_regular
from bench.storage.mirror import write_shared

#: Errors of reading a file with other content.
_MALFORMED = (
    *(ValueError, OverflowError, LookupError, TypeError, AttributeError, RecursionError, SpecError),
)
#: Pairs (better, worse) that a look found different; None if they are not known.
Rejected = tuple[tuple[str, str], ...] | None


@dataclass(frozen=True, kw_only=True)
class TakenLook:
    """One look: its seeds, ascending, the number of planned runs that were missing, its time.

    `rejected` holds the pairs (better, worse) that it found different, and `optimizers` those that
    were compared; None if they are not known.
    """

    seeds: tuple[int, ...]
    missing: int
    at: datetime
    rejected: Rejected = None
    optimizers: tuple[str, ...] | None = None

    def rejected_among(self, optimizers: Collection[str]) -> Rejected:
        """Return the pairs of `optimizers` that it found different, in a family with all of them.

        None if it did not compare all of them, or if they are not known.
        """
        if self.rejected is None or not set(optimizers) <= set(self.optimizers or ()):
            return None
        return tuple(pair for pair in self.rejected if set(pair) <= set(optimizers))

    def has_part(self, other: TakenLook) -> bool:
        """Return whether this look showed every run of `other`, and more seeds or optimizers."""
        if self.optimizers is None or other.optimizers is None:
            return False
        if self.missing and not self.has_runs_of(other):
            return False
        seeds, optimizers = set(other.seeds), set(other.optimizers)
        is_within = seeds <= set(self.seeds) and optimizers <= set(self.optimizers)
        return is_within and (seeds, optimizers) != (set(self.seeds), set(self.optimizers))

    def has_runs_of(self, other: TakenLook) -> bool:
        """Return whether both looks have the same seeds, with as many missing runs."""
        return (self.seeds, self.missing) == (other.seeds, other.missing)


@dataclass(frozen=True)
class Ledger:
    """The file with the looks at one sweep."""

    file: Path

    def read(self) -> tuple[TakenLook, ...]:
        """Return all looks in their order; none if there is no file.

        Raise StoreError if the file cannot be read, or is not a list of looks.
        """
        try:
            require_regular(self.file)
            content = json.loads(self.file.read_text(encoding="utf-8"))
            return tuple(
                TakenLook(
                    seeds=parse_seeds(look["seeds"]),
                    missing=int(look["missing"]),
                    at=datetime.fromisoformat(look["at"]),
                    rejected=_read_pairs(look.get("rejected")),
                    optimizers=_read_names(look.get("optimizers")),
                )
                for look in content["looks"]
            )
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StoreError(f"cannot read {self.file}: {error.strerror or error}") from error
        except _MALFORMED as error:
            raise StoreError(
                f"{self.file} is not a list of looks: {error!r} (the number of looks sets the "
                "significance level: restore the file, or start a sweep with another --name)"
            ) from error

    def with_look(self, now: TakenLook) -> tuple[TakenLook, ...]:
        """Return the looks up to the one with the runs of `now`, which is appended if it is new.

        If `now` is a part of a look, it takes the place of this look.
        """
        looks = self.read()
        for number, look in enumerate(looks, start=1):
            if look.has_runs_of(now) and not look.has_part(now):
                return looks[:number]
        for number, look in enumerate(looks, start=1):
            if look.has_part(now):
                return (*looks[: number - 1], now)
        return (*looks, now)

    def whole_of(self, looks: Sequence[TakenLook]) -> TakenLook | None:
        """Return the look that the last of `looks`, as :meth:`with_look` gives them, is part of.

        None if it is a look of its own.
        """
        stored = self.read()
        if len(looks) > len(stored):
            return None
        whole = stored[len(looks) - 1]
        return whole if whole.has_part(looks[-1]) else None

    def record(self, looks: Sequence[TakenLook]) -> None:
        """Write the result of :meth:`with_look` if it has a new look, or rejected other pairs.

        A part of a look is not written. The differences of a look that is shown again with other
        optimizers are replaced. Raise StoreError if the file cannot be written.
        """
        stored = self.read()
        number, now = len(looks), looks[-1]
        if self.whole_of(looks) is not None:
            return
        if number <= len(stored):
            before = stored[number - 1]
            shown = replace(before, rejected=now.rejected, optimizers=now.optimizers)
            if now.rejected is None or shown == before:
                return
            looks = (*stored[: number - 1], shown, *stored[number:])
        entries = [_entry(look) for look in looks]
        write_shared((json.dumps({"looks": entries}, indent=2) + "\n").encode(), self.file)


def _entry(look: TakenLook) -> dict[str, object]:
    entry = {"seeds": format_seeds(look.seeds), "missing": look.missing, "at": look.at.isoformat()}
    found = {"optimizers": look.optimizers, "rejected": look.rejected}
    return entry | {key: value for key, value in found.items() if value is not None}


def _read_names(stored: object) -> tuple[str, ...] | None:
    """Return the stored names; None where there are none. Raise ValueError for anything else."""
    if stored is None:
        return None
    if not isinstance(stored, list) or not all(isinstance(name, str) for name in stored):
        raise ValueError(f"optimizers must be a list of names, got {stored!r:.80}")
    return tuple(stored)


def _read_pairs(stored: object) -> Rejected:
    """Return the stored pairs; None where there are none. Raise ValueError for anything else."""
    if stored is None:
        return None
    if not isinstance(stored, list):
        raise ValueError(f"rejected must be a list of pairs, got {stored!r:.80}")
    pairs = []
    for pair in stored:
        is_pair = isinstance(pair, list) and len(pair) == 2
        if not is_pair or not all(isinstance(name, str) for name in pair):
            raise ValueError(f"rejected must hold pairs of names, got {pair!r:.80}")
        pairs.append((pair[0], pair[1]))
    return tuple(pairs)
