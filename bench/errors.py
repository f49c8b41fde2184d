"""Errors that users can see, with the exit code of the command line.

    BenchError                  exit 1
     ├── UsageError             exit 2   a request is invalid
     │    ├── SpecError                  an option, an optimizer expression or a list of seeds
     │    ├── TableError                 a table of results that cannot be analysed
     │    └── MixedRunsError             runs of different workloads, devices or versions
     ├── DataError              exit 1   the training data are missing or damaged
     ├── StoreError             exit 1   a results file cannot be written or read
     ├── WorkerError            exit 1   a worker process died, or none could be started
     └── TrainingError          exit 1   every run failed: there is nothing to compare

A message is one line: what is wrong, where, what is allowed and what was given. The command line
prints the message without a traceback. A traceback that a user sees is a bug.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from traceback import format_exception_only

#: Parts of the messages of errors that are due to missing memory.
_NO_MEMORY = ("out of memory", "can't allocate memory", "STATUS_ALLOC_FAILED")


class BenchError(Exception):
    """Base class of the errors that this package raises for its users."""

    exit_code = 1


class UsageError(BenchError):
    """A request is invalid."""

    exit_code = 2


class SpecError(UsageError):
    """A setting of a sweep is not allowed."""


class TableError(UsageError):
    """A table of results cannot be analysed."""


class MixedRunsError(UsageError):
    """Runs of one sweep have different workloads, devices or versions."""


class DataError(BenchError):
    """The training data are missing or damaged."""


class StoreError(BenchError):
    """A results file cannot be written or read."""


class WorkerError(BenchError):
    """A worker process died, or none could be started."""


class TrainingError(BenchError):
    """Every run failed: there is nothing to compare."""


def first_line(error: BaseException) -> str:
    """Return the first line of the message of an error, or its type if there is no message.

    >>> first_line(ValueError("no such thing\\nat all")), first_line(KeyboardInterrupt())
    ('no such thing', 'KeyboardInterrupt')
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def last_line(text: str) -> str:
    """Return the last line of a traceback: the type and the message of the error.

    >>> last_line("Traceback ...\\nValueError: no such thing\\n")
    'ValueError: no such thing'
    """
    return text.strip().rpartition("\n")[2]


def kind_and_line(error: BaseException) -> str:
    """Return the type of an error and the first line of its message, for errors in user code.

    >>> kind_and_line(ValueError("no such thing\\nat all")), kind_and_line(KeyboardInterrupt())
    ('ValueError: no such thing', 'KeyboardInterrupt')
    """
    kind, reason = type(error).__name__, (str(error).strip().splitlines() or [""])[0][:200]
    return f"{kind}: {reason}" if reason else kind


def is_out_of_memory(error: BaseException | None) -> bool:
    """Return whether memory ran out, also that of a device; torch raises a RuntimeError.

    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    True
    """
    message = "".join(format_exception_only(error))  # str() of an exception of user code may fail
    return isinstance(error, MemoryError) or any(text in message for text in _NO_MEMORY)


def close_names(given: str, allowed: Iterable[str]) -> list[str]:
    """Return the allowed names that are closest to `given`: at most two."""
    names = {name.lower(): name for name in allowed}
    if given.lower() in names:
        return [names[given.lower()]]
    return [names[name] for name in get_close_matches(given.lower(), names, n=2, cutoff=0.6)]


def suggestion(given: str, allowed: Iterable[str]) -> str:
    """Return the last part of a message about an unknown name: the closest names, else all.

    >>> suggestion("adma", ["sgd", "adam", "adamax"])
    'did you mean adamax or adam?'
    >>> suggestion("AdamW", ["adam", "adamw"])
    'did you mean adamw?'
    >>> suggestion("xyz", ["sgd", "adam"])
    'choose from sgd, adam'
    """
    names = list(allowed)
    if close := close_names(given, names):
        return f"did you mean {' or '.join(close)}?"
    return f"choose from {', '.join(names)}"
