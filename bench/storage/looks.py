"""The looks at a sweep: which seeds had been seen whenever its results were judged.

results/<sweep>/looks.json
    {"looks": [{"seeds": "0-19", "missing": 0, "at": "2026-11-23T09:34:00+00:00"}]}

Whoever adds seeds until something is significant finds something too often. So every set of seeds
that verdicts were shown for is written down once, and later looks judge at a stricter level
(:mod:`bench.analysis.stats.sequential`). Showing the same runs again is the same look; the same
seeds with fewer runs missing are another one. Other optimizers with the same seeds are not: which
ones are compared must not depend on the verdicts either, but no ledger can tell why one was added.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench.errors import SpecError, StoreError
from bench.spec.expressions import format_seeds, parse_seeds
from bench.storage.files import write_atomically


@dataclass(frozen=True, kw_only=True)
class TakenLook:
    """One look: the seeds it saw, ascending, how many planned runs it lacked, and when it was."""

    seeds: tuple[int, ...]
    missing: int
    at: datetime


@dataclass(frozen=True)
class Ledger:
    """The file that holds the looks at one sweep."""

    file: Path

    def read(self) -> tuple[TakenLook, ...]:
        """All looks in the order in which they were taken; none where there is no file.

        Raises
        ------
        StoreError
            If the file cannot be read, or is not one of these.
        """
        try:
            content = json.loads(self.file.read_text(encoding="utf-8"))
            return tuple(
                TakenLook(
                    seeds=parse_seeds(look["seeds"]),
                    missing=int(look["missing"]),
                    at=datetime.fromisoformat(look["at"]),
                )
                for look in content["looks"]
            )
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StoreError(f"cannot read {self.file}: {error.strerror or error}") from error
        except (
            ValueError,
            OverflowError,
            LookupError,
            TypeError,
            AttributeError,
            RecursionError,
            SpecError,
        ) as error:
            raise StoreError(
                f"{self.file} is not a list of looks: {error!r} (it says how often the results "
                "were judged: restore it, or start a sweep under another --name)"
            ) from error

    def with_look(self, now: TakenLook) -> tuple[TakenLook, ...]:
        """The looks up to the one that saw the same as `now`, which is new if there was none."""
        looks = self.read()
        for number, look in enumerate(looks, start=1):
            if (look.seeds, look.missing) == (now.seeds, now.missing):
                return looks[:number]
        return (*looks, now)

    def record(self, looks: Sequence[TakenLook]) -> None:
        """Write down what :meth:`with_look` returned, where there is anything new in it.

        Raises
        ------
        StoreError
            If the file cannot be read or written.
        """
        if len(looks) <= len(self.read()):
            return
        entries = [
            {
                "seeds": format_seeds(look.seeds),
                "missing": look.missing,
                "at": look.at.isoformat(),
            }
            for look in looks
        ]
        write_atomically((json.dumps({"looks": entries}, indent=2) + "\n").encode(), self.file)
