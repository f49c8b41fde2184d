"""Looks at a sweep: the sets of seeds for which verdicts were shown.

results/<sweep>/looks.json
    {"looks": [{"seeds": "0-19", "missing": 0, "at": "2026-11-23T09:34:00+00:00",
                "rejected": [["adam", "sgd"]]}]}

If seeds are added until a difference is significant, false positives become too frequent. Every
set of seeds with verdicts is therefore stored once, and later looks are tested at a stricter level
(:mod:`bench.analysis.stats.sequential`).

The levels of all looks share alpha, so a difference that a look found stands, whatever later looks
find: `rejected` holds the pairs (better, worse) whose equality the look rejected. Looks of earlier
versions lack it; it is added when they are shown again.

Showing the same runs again is the same look. The same seeds with fewer missing runs are a new look.
Other optimizers with the same seeds are not a new look: the choice of optimizers must not depend on
verdicts either, but the file cannot show why an optimizer was added.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from bench.errors import SpecError, StoreError
from bench.spec.expressions import format_seeds, parse_seeds
from bench.storage.files import require_regular, write_stored

#: Errors of reading a file with other content.
_MALFORMED = (
    *(ValueError, OverflowError, LookupError, TypeError, AttributeError, RecursionError, SpecError),
)


#: Pairs (better, worse) that a look found different; None if they are not known.
Rejected = tuple[tuple[str, str], ...] | None


@dataclass(frozen=True, kw_only=True)
class TakenLook:
    """One look: its seeds, ascending, the number of planned runs that were missing, its time.

    `rejected` holds the pairs (better, worse) that it found different; None if it is not known.
    """

    seeds: tuple[int, ...]
    missing: int
    at: datetime
    rejected: Rejected = None


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
        """Return the looks up to the one with the runs of `now`, which is appended if it is new."""
        looks = self.read()
        for number, look in enumerate(looks, start=1):
            if (look.seeds, look.missing) == (now.seeds, now.missing):
                return looks[:number]
        return (*looks, now)

    def record(self, looks: Sequence[TakenLook]) -> None:
        """Write the result of :meth:`with_look` if it has a new look, or rejected more pairs.

        Raise StoreError if that fails.
        """
        stored = self.read()
        number, now = len(looks), looks[-1]
        if number <= len(stored):
            before = stored[number - 1]
            merged = _merged(before.rejected, now.rejected)
            if merged == before.rejected:
                return
            looks = (*stored[: number - 1], replace(before, rejected=merged), *stored[number:])
        entries = [_entry(look) for look in looks]
        write_stored((json.dumps({"looks": entries}, indent=2) + "\n").encode(), self.file)


def _merged(before: Rejected, now: Rejected) -> Rejected:
    """Return the pairs of both; other optimizers on the same seeds are the same look."""
    if before is None or now is None:
        return now if before is None else before
    return tuple(sorted({*before, *now}))


def _entry(look: TakenLook) -> dict[str, object]:
    entry = {"seeds": format_seeds(look.seeds), "missing": look.missing, "at": look.at.isoformat()}
    return entry if look.rejected is None else {**entry, "rejected": look.rejected}


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
