"""Spec files: options of the sweep command, read from YAML, and written beside a sweep's rows.

Every value is taken as it is written and goes through the converter of its option, so ``1e-3`` is a
number, ``012`` is twelve, and ``1:30`` is refused, whatever YAML would make of them.
"""

from __future__ import annotations

from argparse import ArgumentError, Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.arguments import given_options, make_parser, make_sweep_parser
from bench.cli.sweep import ALTERNATIVES
from bench.errors import SpecError, UsageError, first_line, suggestion
from bench.spec.expressions import MAX_SEEDS, parse_optimizers, parse_seeds
from bench.spec.options import parse_gpus

if TYPE_CHECKING:
    from yaml import Event, ScalarEvent

#: Options that no file may give: they are of one call.
OF_ONE_CALL = ("config", "dry-run", "force")
#: Options that may be a list, with what reads one of its elements.
_LISTS: Mapping[str, Callable[[str], object]] = {
    "optimizers": parse_optimizers,
    "seed-list": parse_seeds,
    "gpus": parse_gpus,
}
#: A longer file is no list of options.
MAX_BYTES = 1_000_000
#: So many seeds a sweep may have; and as much text as a word of a command line may be.
MAX_ELEMENTS, MAX_CHARACTERS = MAX_SEEDS, 130_000
#: How YAML writes nothing; in quotes each of them is text.
_NULLS = ("", "~", "null", "Null", "NULL")
#: A message quotes at most so many characters of what was given.
QUOTED = 80


def parse_words(words: Sequence[str]) -> Namespace:
    """The arguments of a command line, with those of its spec file where it names one.

    What the command line gives itself sets aside the same option in the file, and its alternative.

    Raises
    ------
    UsageError
        If the command line or the file is wrong; of the file it names the line.
    """
    arguments = make_parser().parse_args(words)
    if getattr(arguments, "config", None) is None:
        return arguments
    own = words[list(words).index("sweep") + 1 :]  # nothing that stands before it takes a value
    entries = without(read_entries(arguments.config), given_options(own))
    try:
        merged = make_sweep_parser().parse_args([*(e.word for e in entries if e.word), *own])
    except ArgumentError as error:  # the command line alone was right
        option = (error.argument_name or "").rpartition("--")[2]
        line = next((entry.line for entry in entries if entry.option == option), None)
        raise _error(arguments.config, line, f"{option}: {error.message}") from None
    return Namespace(**{**vars(arguments), **vars(merged)})


@contextmanager
def naming_file(arguments: Namespace) -> Iterator[None]:
    """Add the spec file to what is said of settings that do not go together."""
    try:
        yield
    except SpecError as error:
        if arguments.config is None:
            raise
        raise SpecError(f"{error} (with the options of {arguments.config})") from error


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An option of a spec file, as a word of a command line; empty for a flag that is not set."""

    option: str
    word: str
    line: int


def without(entries: Sequence[Entry], given: frozenset[str]) -> list[Entry]:
    """The entries that options given elsewhere, or their alternatives, do not set aside."""
    aside = {other for pair in ALTERNATIVES if given & set(pair) for other in pair} | given
    return [entry for entry in entries if entry.option not in aside]


def read_entries(file: Path) -> list[Entry]:
    """The options that a spec file gives; their values are not yet converted.

    Raises
    ------
    UsageError
        If it cannot be read, or is anything but a mapping of options to values.
    """
    entries: dict[str, Entry] = {}
    for entry in _Reader(file).entries():
        if entry.option in entries:
            first = entries[entry.option].line
            raise _error(file, entry.line, f"{entry.option} is given in line {first} already")
        entries[entry.option] = entry
    for one, other in ALTERNATIVES:
        if one in entries and other in entries:
            line = max(entries[one].line, entries[other].line)
            raise _error(file, line, f"{one} and {other} exclude each other: give one of them")
    return list(entries.values())


class _Reader:
    """Reads YAML event by event: what is not allowed is refused before anything is built of it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.events = self._events(_text_of(file))
        defaults = vars(make_sweep_parser().parse_args([]))
        options = {name.replace("_", "-"): default for name, default in defaults.items()}
        self.options = tuple(option for option in options if option not in OF_ONE_CALL)
        self.flags = tuple(option for option, default in options.items() if default is False)

    def entries(self) -> Iterator[Entry]:
        import yaml

        next(self.events)  # the start of the stream
        if isinstance(next(self.events), yaml.StreamEndEvent):
            raise _error(self.file, None, "it is empty: give options such as seeds: 20")
        top = next(self.events)
        if not isinstance(top, yaml.MappingStartEvent):
            said = f"must hold options such as seeds: 20, got {_described(top)}"
            raise self._error(top, said)
        while not isinstance(key := next(self.events), yaml.MappingEndEvent):
            option = self._option(key)
            yield self._entry(option, key, next(self.events))
        next(self.events)  # the end of the document
        if not isinstance(more := next(self.events), yaml.StreamEndEvent):
            raise self._error(more, "a second document begins here: a spec file holds one")

    def _events(self, text: str) -> Iterator[Event]:
        import yaml

        try:
            for event in yaml.parse(text, Loader=yaml.SafeLoader):
                if getattr(event, "anchor", None) is not None:
                    raise self._error(event, "anchors (&) and aliases (*) are not allowed")
                if (tag := getattr(event, "tag", None)) is not None:
                    raise self._error(event, f"tags are not allowed, got {tag[:QUOTED]!r}")
                yield event
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else None
            raise _error(self.file, line, f"not YAML: {error.problem}") from None
        except (yaml.YAMLError, ValueError, OverflowError) as error:  # escapes of no character
            raise _error(self.file, None, f"not YAML: {first_line(error)}") from None

    def _option(self, key: Event) -> str:
        import yaml

        if not isinstance(key, yaml.ScalarEvent):
            raise self._error(key, f"an option must be a name, got {_described(key)}")
        option = str(key.value)[:QUOTED]
        if option in OF_ONE_CALL:
            raise self._error(key, f"{option} can be given on the command line only")
        if option not in self.options:
            said = f"unknown option {option!r}: {suggestion(option, self.options)}"
            raise self._error(key, said)
        return option

    def _entry(self, option: str, key: Event, value: Event) -> Entry:
        line = _line(key)
        if option in self.flags:
            word = f"--{option}" if self._truth(option, value) else ""
        else:
            word = f"--{option}={','.join(self._texts(option, value))}"
        return Entry(option=option, word=word, line=line)

    def _truth(self, option: str, value: Event) -> bool:
        import yaml

        if not isinstance(value, yaml.ScalarEvent) or _plain(value) not in ("true", "false"):
            raise self._error(value, f"{option}: must be true or false, got {_described(value)}")
        return _plain(value) == "true"

    def _texts(self, option: str, value: Event) -> list[str]:
        import yaml

        if option not in _LISTS or not isinstance(value, yaml.SequenceStartEvent):
            return [self._text(option, value)]
        texts = []
        while not isinstance(item := next(self.events), yaml.SequenceEndEvent):
            texts.append(self._text(option, item))
            if len(texts) > MAX_ELEMENTS:
                said = f"{option}: must hold at most {MAX_ELEMENTS} elements, here is one more"
                raise self._error(item, said)
            try:  # each by itself: a bracket may not close in the next one
                _LISTS[option](texts[-1])
            except SpecError as error:
                raise self._error(item, f"{option}: {error}") from None
        if not texts:
            raise self._error(value, f"{option}: must hold at least one element, got none")
        return texts

    def _text(self, option: str, value: Event) -> str:
        import yaml

        if not isinstance(value, yaml.ScalarEvent) or _is_null(value):
            also = " or a list of these" if option in _LISTS else ""
            said = f"{option}: must be a number or text{also}, got {_described(value)}"
            raise self._error(value, said)
        text = str(value.value)
        if len(text) > MAX_CHARACTERS:
            said = f"must have at most {MAX_CHARACTERS:,} characters, got {len(text):,}"
            raise self._error(value, f"{option}: {said}")
        # what no word of a command line can be; argparse takes -- for no value
        if text == "--" or "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
            raise self._error(value, f"{option}: must be text, got {text[:QUOTED]!a}")
        return text

    def _error(self, event: Event, message: str) -> UsageError:
        return _error(self.file, _line(event), message)


def _text_of(file: Path) -> str:
    try:
        if file.exists() and not file.is_file():
            raise UsageError(f"cannot read the spec file {file}: it is not a regular file")
        with file.open("rb") as source:
            content = source.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read the spec file {file}: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise UsageError(f"{file}: a spec file may have at most {MAX_BYTES:,} bytes, it has more")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        got = f"byte 0x{content[error.start]:02x}"
        raise _error(file, line, f"must be text in UTF-8, got {got}") from None


def _line(event: Event) -> int:
    return 0 if event.start_mark is None else event.start_mark.line + 1


def _plain(value: ScalarEvent) -> str | None:
    """What stands there without quotes; None for what has them, and so is text in any case."""
    return str(value.value) if value.style is None else None


def _is_null(value: ScalarEvent) -> bool:
    return _plain(value) in _NULLS


def _described(event: Event) -> str:
    import yaml

    if isinstance(event, yaml.ScalarEvent):
        return "nothing" if _is_null(event) else repr(event.value[:QUOTED])
    return "a list" if isinstance(event, yaml.SequenceStartEvent) else "a mapping"


def _error(file: Path, line: int | None, message: str) -> UsageError:
    return UsageError(f"{file}{'' if line is None else f', line {line}'}: {message}")
