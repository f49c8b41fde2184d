"""Every error that a user can meet, each with the exit code of the command that met it.

    BenchError                  exit 1
     ├── UsageError             exit 2   what was asked for cannot be done as it was asked
     │    ├── SpecError                  an option, an optimizer expression, a seed list
     │    ├── TableError                 a table of results that cannot be analysed
     │    └── MixedRunsError             stored runs that do not belong together
     ├── DataError              exit 1   the training data are missing or damaged
     ├── StoreError             exit 1   a results file cannot be written or read
     ├── WorkerError            exit 1   a worker process died or none could be started
     └── TrainingError          exit 1   every run failed: there is nothing to compare

A message is one line that says what is wrong, where, what is allowed and what was given. The
command line prints it as it stands: a traceback shown to a user is a bug.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class BenchError(Exception):
    """Base of every error that this package raises on purpose."""

    exit_code = 1


class UsageError(BenchError):
    """What was asked for cannot be done as asked."""

    exit_code = 2


class SpecError(UsageError):
    """A setting of a sweep is not allowed."""


class TableError(UsageError):
    """A table of results lacks something that the analysis needs."""


class MixedRunsError(UsageError):
    """Runs of different workloads, devices or versions would end up in one sweep."""


class DataError(BenchError):
    """The training data are missing or damaged."""


class StoreError(BenchError):
    """A results file cannot be written or read."""


class WorkerError(BenchError):
    """A worker process died, or none could be started."""


class TrainingError(BenchError):
    """Every run failed: there is nothing to compare."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message; its kind where it has none.

    >>> first_line(ValueError("no such thing\\nat all")), first_line(KeyboardInterrupt())
    ('no such thing', 'KeyboardInterrupt')
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def last_line(text: str) -> str:
    """The last line of a traceback: the error itself.

    >>> last_line("Traceback ...\\nValueError: no such thing\\n")
    'ValueError: no such thing'
    """
    return text.strip().rpartition("\n")[2]


def kind_and_line(error: BaseException) -> str:
    """The kind of an error and the first line of its message: for what users' code raises.

    >>> kind_and_line(ValueError("no such thing\\nat all")), kind_and_line(KeyboardInterrupt())
    ('ValueError: no such thing', 'KeyboardInterrupt')
    """
    kind, reason = type(error).__name__, (str(error).strip().splitlines() or [""])[0][:200]
    return f"{kind}: {reason}" if reason else kind


def suggestion(given: str, allowed: Iterable[str]) -> str:
    """The tail of a message about an unknown name: the closest names, else all of them.

    >>> suggestion("adma", ["sgd", "adam", "adamax"])
    'did you mean adamax or adam?'
    >>> suggestion("xyz", ["sgd", "adam"])
    'choose from sgd, adam'
    """
    names = list(allowed)
    close = get_close_matches(given, names, n=2, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"choose from {', '.join(names)}"
