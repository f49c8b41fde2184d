"""The columns that a comparison needs, and how they are found by their names.

Names are compared without case, and with spaces, hyphens, dots and slashes as underscores. Prefixes
of trackers, such as ``params.`` of MLflow and ``params_`` of Optuna, may be missing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from bench.errors import TableError
from bench.tables.run_names import RunNames

#: The result of a run, if none is named.
DEFAULT_VALUE = "test_accuracy"
#: Columns of steps in the logs of programs, in the form of :func:`plain_name`.
STEPS = ("step", "global_step", "trainer_global_step", "iteration", "iter", "update", "epoch")
#: Columns of the name of a run.
RUN_NAMES = ("run_name", "run", "name")
#: Prefixes of columns of MLflow, Weights & Biases, Optuna, Hydra and TensorBoard.
_PREFIX = re.compile(
    r"(params?|metrics?|config|summary|hparams?|hyperparameters?|user_attrs?|tags?|args)[./_]",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The columns that a comparison needs, as the user named them.

    Attributes
    ----------
    treatment
        Columns that name the treatment together.
    block
        Column that pairs the runs.
    value
        Column of the result; None is :data:`DEFAULT_VALUE`, where a column has that name.
    step
        Column of steps; None is a column of a usual name.
    run_names
        Pattern of the names of runs; None is the default pattern, used only where it is needed.
    is_paired
        Whether the block pairs the runs. Otherwise it is optional.
    """

    treatment: tuple[str, ...] = ("optimizer",)
    block: str = "seed"
    value: str | None = None
    step: str | None = None
    run_names: RunNames | None = None
    is_paired: bool = True

    def __post_init__(self) -> None:
        if "" in self.treatment or len(set(self.treatment)) < len(self.treatment):
            raise TableError(
                "--treatment must be the name of a column, or different names separated by commas, "
                f"got {self.treatment_name!r}"
            )

    @property
    def treatment_name(self) -> str:
        """Name of the column of treatments in the arranged table."""
        return ",".join(self.treatment)

    @property
    def value_name(self) -> str:
        return self.value or DEFAULT_VALUE

    @property
    def names(self) -> RunNames:
        return self.run_names or RunNames()

    def found(self, columns: Sequence[str]) -> list[str | None]:
        """Return the column of each treatment, of the block and of the value; None is missing."""
        wanted = (*self.treatment, self.block, self.value_name)
        return [find_column(name, columns) for name in wanted]

    def are_in(self, columns: Sequence[str]) -> bool:
        *treatments, block, value = self.found(columns)
        needed = (*treatments, *((block,) if self.is_paired else ()), value)
        return None not in needed


def plain_name(name: str) -> str:
    """Return a column's name in lower case, with underscores for other separators of words."""
    return re.sub(r"[\s./-]+", "_", name.strip()).casefold().strip("_")


def find_column(wanted: str, columns: Sequence[str]) -> str | None:
    """Return the column that `wanted` names, None if there is none.

    An exact match is preferred, then one without case, then one behind a tracker's prefix. Raise
    TableError if several columns match equally well.
    """
    if wanted in columns:
        return wanted
    for name_of in (plain_name, _without_prefix):
        found = [column for column in columns if name_of(column) == plain_name(wanted)]
        if len(set(found)) > 1:
            shown = ", ".join(map(repr, found))
            raise TableError(f"column {wanted!r} is ambiguous: the table has {shown}")
        if found:
            return found[0]
    return None


def first_of(names: Sequence[str], columns: Sequence[str]) -> str | None:
    """Return the first column whose plain name is in `names`, in their order."""
    for name in names:
        if (found := find_column(name, columns)) is not None:
            return found
    return None


def likely(wanted: str, columns: Sequence[str]) -> list[str]:
    """Return up to three columns that may be meant by `wanted`, the most similar first."""
    plain = {_without_prefix(column): column for column in reversed(columns)}
    words = set(plain_name(wanted).split("_"))
    shared = [name for name in plain if words & set(name.split("_"))]
    close = get_close_matches(plain_name(wanted), plain, n=3, cutoff=0.6)
    return [plain[name] for name in dict.fromkeys((*close, *shared))][:3]


def _without_prefix(name: str) -> str:
    return plain_name(_PREFIX.sub("", name.strip(), count=1))


def unknown_column(
    name: str,
    columns: Sequence[str],
    file: Path,
    option: str,
    nouns: tuple[str, str] = ("column", "columns"),
) -> str:
    """Return the message that a file lacks a column, with those that may be meant.

    `nouns` are the words for one column and for all of them.
    """
    held = ", ".join(columns)[:300] or "none"
    message = f"{file} has no {nouns[0]} {name!r}: its {nouns[1]} are {held}"
    similar = likely(name, columns)
    return (
        f"{message}; name the right one with {option}, such as {similar[0]}" if similar else message
    )
