"""Singular and plural of English nouns."""

from __future__ import annotations

import unicodedata

#: Singular nouns that end in a single ``s``.
_SINGULAR = ("alias", "atlas", "bias", "canvas", "gas", "lens", "news")
#: Nouns whose plural is the same word.
_UNCHANGED = ("data", "series", "species")
#: Upper-case words of at most this many letters are acronyms: GPUs, not GPUS.
_ACRONYM = 3


def plural(noun: str) -> str:
    """Return `noun` with its last word in the regular plural.

    Plurals, and words that do not end in a Latin letter or a digit, are not changed.

    >>> [plural(noun) for noun in ("seed", "study", "day", "batch", "class", "seeds", "GPU")]
    ['seeds', 'studies', 'days', 'batches', 'classes', 'seeds', 'GPUs']
    >>> plural("STUDY"), plural("basis"), plural("種")
    ('STUDIES', 'bases', '種')
    """
    word = _last_word(noun)
    lower = word.lower()
    if not _takes_an_ending(word) or lower in _UNCHANGED or _is_plural(word):
        return noun
    kept, ending = noun, "s"
    if lower.endswith("is"):
        kept, ending = noun[:-2], "es"
    elif lower.endswith(("s", "x", "z", "ch", "sh")):
        ending = "es"
    elif lower.endswith("y") and lower[-2:-1] not in tuple("aeiou"):
        kept, ending = noun[:-1], "ies"
    return kept + (ending.upper() if word.isupper() and len(word) > _ACRONYM else ending)


def singular(noun: str) -> str:
    """Return `noun` with its last word in the singular; a singular is not changed.

    >>> [singular(noun) for noun in ("seeds", "studies", "batches", "classes", "seed", "bus")]
    ['seed', 'study', 'batch', 'class', 'seed', 'bus']
    """
    word = _last_word(noun)
    lower = word.lower()
    if lower in _UNCHANGED or not _is_plural(word):
        return noun
    if lower.endswith("ies") and len(lower) > 4:
        return noun[:-3] + ("Y" if noun[-3:].isupper() else "y")
    return noun[: -2 if lower.endswith(("sses", "xes", "zzes", "ches", "shes")) else -1]


def count(n: int, noun: str, *, space: str = " ") -> str:
    """Return a number with its noun: ``1 seed``, ``20 seeds``, ``3,000 updates``."""
    return f"{n:,}{space}{singular(noun) if n == 1 else plural(noun)}"


def spoken(column: str) -> str:
    """Return the name of a column as a singular noun: ``run_id`` -> ``run id``."""
    return singular(" ".join(column.replace("_", " ").split())) or "column"


def _last_word(noun: str) -> str:
    return noun.replace("_", " ").rpartition(" ")[2]


def _takes_an_ending(word: str) -> bool:
    last = word[-1:]
    return last.isdigit() or (last != "" and unicodedata.name(last, "").startswith("LATIN"))


def _is_plural(word: str) -> bool:
    """Return whether a word has the form of a plural."""
    lower = word.lower()
    if word[:-1].isupper() and word.endswith("s"):  # an acronym
        return True
    if len(lower) < 3 or lower in _SINGULAR or lower.endswith(("ss", "us", "is")):
        return False
    return lower.endswith("s")
