"""Nouns for the compared treatments and the blocks that pair them, such as optimizers and seeds."""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis.results import Parameters
from bench.report.text.format import count
from bench.report.text.sanitize import clean
from bench.words import plural, spoken


@dataclass(frozen=True)
class Noun:
    """A noun and its plural.

    >>> Noun("batch").plural, Noun("study").plural, Noun("day").plural
    ('batches', 'studies', 'days')
    """

    one: str

    @property
    def plural(self) -> str:
        """The plural."""
        return plural(self.one)

    def count(self, n: int) -> str:
        """``1 seed``, ``20 seeds``."""
        return count(n, self.one)

    @property
    def title(self) -> str:
        """With a capital letter."""
        return self.one[:1].upper() + self.one[1:]

    def __str__(self) -> str:
        return self.one


@dataclass(frozen=True)
class Nouns:
    """Nouns for the treatments and for the blocks that pair their runs."""

    treatment: Noun
    block: Noun

    @classmethod
    def of(cls, parameters: Parameters) -> Nouns:
        """Take the nouns from the names of the columns; unpaired runs are runs."""
        return cls(Noun(clean(spoken(parameters.treatment))), Noun(clean(parameters.unit)))
