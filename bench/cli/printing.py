"""Make text safe to print: stored names and errors may hold any character."""

from __future__ import annotations

import sys


def printable(text: str) -> str:
    """Return `text` on one line, without control characters, escapes and direction marks.

    >>> printable("a\\x1b[2Jb\\nc\\u202ed")
    'a\ufffd[2Jb c\ufffdd'
    """
    return "".join(
        c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def print_note(text: str) -> None:
    """Print a note about how a file was read on standard error."""
    print(f"optimizer-bench: note: {printable(text)}", file=sys.stderr)
