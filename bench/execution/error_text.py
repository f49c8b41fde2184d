"""The text of an error in a row: short, without names of users, and valid UTF-8."""

from __future__ import annotations

import getpass
import re
from contextlib import suppress
from pathlib import Path

#: Most characters of an error that a row holds: of a line, of its beginning and of its end.
_LINE, _BEGINNING, _END = 500, 1000, 3000


def error_text(text: str) -> str:
    """Prepare an error for a row: no user name, valid UTF-8, and a bounded length."""
    lines = (line if len(line) <= _LINE else f"{line[:_LINE]} [...]" for line in text.split("\n"))
    text = "\n".join(lines)
    if len(text) > _BEGINNING + _END:
        text = f"{text[:_BEGINNING]}\n[...]\n{text[-_END:]}"
    return without_user(text.encode(errors="replace").decode())


def without_user(text: str) -> str:
    """Remove the home directory and the user's name from paths: rows may be published."""
    with suppress(OSError, RuntimeError):  # a process need not have a home
        home = Path.home()
        if len(home.parts) > 1:  # not where it is the root
            text = re.sub(rf"{re.escape(str(home))}(?=[/\\\s\"']|$)", "~", text)
    with suppress(OSError, KeyError, ImportError):
        user = re.escape(getpass.getuser())
        text = re.sub(rf"(?<=[/\\]){user}(?=[/\\])", "user", text)
    return text
