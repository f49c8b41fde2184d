"""Read a spec file: a YAML mapping of options of the sweep command to values.

YAML resolves no value: the text of every scalar goes to the converter of its option. So ``1e-3`` is
a number, ``012`` is twelve, and ``1:30`` is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import yaml

from bench.cli.arguments import make_sweep_parser
from bench.cli.sweep import ALTERNATIVES
from bench.errors import SpecError, UsageError, first_line, suggestion
from bench.spec.expressions import MAX_SEEDS, parse_optimizers, parse_seeds
from bench.spec.options import parse_gpus

#: Options of a single call, which are allowed on the command line only.
COMMAND_LINE_ONLY = ("config", "dry-run", "force", "shard")
#: Options that may be a list, with the parser of an element.
_LISTS: Mapping[str, Callable[[str], object]] = {
    "optimizers": parse_optimizers,
    "seed-list": parse_seeds,
    "gpus": parse_gpus,
}
#: Maximum size of a file.
MAX_BYTES = 1_000_000
#: Maximum number of elements in a list.
MAX_ELEMENTS = MAX_SEEDS
#: Maximum length of a value: Linux limits a word of a command line to about as many bytes.
MAX_CHARACTERS = 130_000
#: Maximum number of keys, values and elements in a file, and of levels of nesting.
MAX_NODES, MAX_DEPTH = 3 * MAX_ELEMENTS, 10
#: How YAML writes null; in quotes these are text.
_NULLS = ("", "~", "null", "Null", "NULL")
#: Maximum length of a quotation in a message.
QUOTED = 80


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An option of a spec file as a word of a command line; no word for a flag that is false."""

    option: str
    word: str
    line: int


def read_entries(file: Path) -> list[Entry]:
    """The options in a spec file; their values are not yet converted.

    Raise UsageError if the file cannot be read, or is not a mapping of options to values.
    """
    entries: dict[str, Entry] = {}
    for entry in map(_EntryReader(file).entry, *_compose(file)):
        if entry.option in entries:
            first = entries[entry.option].line
            message = f"{entry.option} is given in line {first} already"
            raise spec_file_error(file, entry.line, message)
        entries[entry.option] = entry
    for one, other in ALTERNATIVES:
        if one in entries and other in entries:
            line = max(entries[one].line, entries[other].line)
            message = f"{one} and {other} exclude each other: give one of them"
            raise spec_file_error(file, line, message)
    return list(entries.values())


def spec_file_error(file: Path, line: int | None, message: str) -> UsageError:
    """An error that names the file, and the line where it is known."""
    return UsageError(f"{file}{'' if line is None else f', line {line}'}: {message}")


class _NodeError(Exception):
    """A node that is not allowed in a spec file."""

    def __init__(self, place: yaml.Node | yaml.Event, message: str) -> None:
        super().__init__(message)
        self.line = place.start_mark.line + 1 if place.start_mark else None


class _Loader(yaml.SafeLoader):
    """Refuses anchors, aliases, explicit tags, deep nesting and very many nodes."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.n_nodes = self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:
            raise _NodeError(event, "anchors (&) and aliases (*) are not allowed")
        if (tag := getattr(event, "tag", None)) is not None:
            raise _NodeError(event, f"tags are not allowed, got {tag[:QUOTED]!r}")
        self.n_nodes += 1
        if self.n_nodes > MAX_NODES:
            raise _NodeError(event, f"a spec file may hold at most {MAX_NODES:,} values")
        if self.depth == MAX_DEPTH:
            raise _NodeError(event, f"lists and mappings are nested more than {MAX_DEPTH} deep")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _compose(file: Path) -> tuple[list[yaml.Node], list[yaml.Node]]:
    """The keys and the values of the one mapping in a file."""
    try:
        documents = list(islice(yaml.compose_all(_text_of(file), _Loader), 2))
        if not documents:
            raise spec_file_error(file, None, "it is empty: give options such as seeds: 20")
        if len(documents) > 1:
            raise _NodeError(documents[1], "a second document: a spec file holds one")
        (top,) = documents
        if not isinstance(top, yaml.MappingNode):
            raise _NodeError(top, f"must hold options such as seeds: 20, got {_described(top)}")
    except _NodeError as error:
        raise spec_file_error(file, error.line, str(error)) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise spec_file_error(file, line, f"not YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # such as invalid escapes
        raise spec_file_error(file, None, f"not YAML: {first_line(error)}") from None
    return [key for key, _ in top.value], [value for _, value in top.value]


class _EntryReader:
    """Turns a key and a value of a spec file into an entry."""

    def __init__(self, file: Path) -> None:
        self.file = file
        defaults = vars(make_sweep_parser().parse_args([]))
        options = {name.replace("_", "-"): default for name, default in defaults.items()}
        self.options = tuple(option for option in options if option not in COMMAND_LINE_ONLY)
        self.flags = tuple(option for option, default in options.items() if default is False)

    def entry(self, key: yaml.Node, value: yaml.Node) -> Entry:
        try:
            option = self._option(key)
            if option in self.flags:
                word = f"--{option}" if _truth(option, value) else ""
            else:
                word = f"--{option}={','.join(_texts(option, value))}"
        except _NodeError as error:
            raise spec_file_error(self.file, error.line, str(error)) from None
        return Entry(option=option, word=word, line=key.start_mark.line + 1)

    def _option(self, key: yaml.Node) -> str:
        if not isinstance(key, yaml.ScalarNode):
            raise _NodeError(key, f"an option must be a name, got {_described(key)}")
        option = str(key.value)[:QUOTED]
        if option in COMMAND_LINE_ONLY:
            raise _NodeError(key, f"{option} can be given on the command line only")
        if option not in self.options:
            help_text = suggestion(option, self.options)
            raise _NodeError(key, f"unknown option {option!r}: {help_text}")
        return option


def _truth(option: str, value: yaml.Node) -> bool:
    text = _plain(value)
    if text not in ("true", "false"):
        raise _NodeError(value, f"{option}: must be true or false, got {_described(value)}")
    return text == "true"


def _texts(option: str, value: yaml.Node) -> list[str]:
    if option not in _LISTS or not isinstance(value, yaml.SequenceNode):
        return [_text(option, value)]
    if not value.value:
        raise _NodeError(value, f"{option}: must hold at least one element, got none")
    if len(value.value) > MAX_ELEMENTS:
        message = f"{option}: must hold at most {MAX_ELEMENTS} elements, got {len(value.value)}"
        raise _NodeError(value.value[MAX_ELEMENTS], message)
    return [_element(option, item) for item in value.value]


def _element(option: str, item: yaml.Node) -> str:
    """An element of a list, parsed alone: a bracket must not close in the next element."""
    text = _text(option, item)
    try:
        _LISTS[option](text)
    except SpecError as error:
        raise _NodeError(item, f"{option}: {error}") from None
    return text


def _text(option: str, value: yaml.Node) -> str:
    if not isinstance(value, yaml.ScalarNode) or _plain(value) in _NULLS:
        also = " or a list of these" if option in _LISTS else ""
        message = f"{option}: must be a number or text{also}, got {_described(value)}"
        raise _NodeError(value, message)
    text = str(value.value)
    if len(text) > MAX_CHARACTERS:
        message = f"must have at most {MAX_CHARACTERS:,} characters, got {len(text):,}"
        raise _NodeError(value, f"{option}: {message}")
    # not possible as a word of a command line; argparse reads -- as a missing value
    if text == "--" or "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise _NodeError(value, f"{option}: must be text, got {text[:QUOTED]!a}")
    return text


def _plain(value: yaml.Node) -> str | None:
    """The text of a scalar without quotes; None for any other node."""
    is_plain = isinstance(value, yaml.ScalarNode) and value.style is None
    return str(value.value) if is_plain else None


def _described(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return "nothing" if _plain(node) in _NULLS else repr(node.value[:QUOTED])
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


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
        message = f"must be text in UTF-8, got byte 0x{content[error.start]:02x}"
        raise spec_file_error(file, line, message) from None
