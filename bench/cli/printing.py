"""Make text safe to print: stored names and errors may hold any character."""

from __future__ import annotations

import sys

from bench.storage.remote import with_uris

#: Characters of the beginning and of the end of a long message.
_HALF = 2000


def printable(text: str) -> str:
    """Return `text` on one line, without control characters, escapes and direction marks.

    URIs are in place of the directories of their copies.

    >>> printable("a\\x1b[2Jb\\nc\\u202ed")
    'a\ufffd[2Jb c\ufffdd'
    """
    return "".join(
        c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}"
        for c in with_uris(text)
    )


def bounded(text: str) -> str:
    """Return :func:`printable` text of bounded length: a cell of a table may have millions.

    >>> len(bounded(10**6 * "x"))
    4007
    """
    if len(text) > 2 * _HALF:
        text = f"{text[:_HALF]} [...] {text[-_HALF:]}"
    return printable(text)


def print_note(text: str) -> None:
    """Print a note about how a file was read on standard error."""
    print(f"optimizer-bench: note: {bounded(text)}", file=sys.stderr)
