"""Almost-valid input for the fuzz tests: hostile text, mutations, odd JSON, odd Arrow columns."""

from __future__ import annotations

import datetime
import decimal
import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

#: Names and cells that have done harm somewhere: paths, markup, formulas, escapes, templates.
HOSTILE = (
    *("", " ", ".", "..", "../x", "../../../../x", "a/b", "/dev/null", "/proc/none/x", "..\\x"),
    *("'", '"', "`", "a b", "-", "--", "-x", "é", "名前", "🙂", "𝒳", "x" * 300, "é" * 300),
    *("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</script>", "<!--", "]]>"),
    *("=1+1", "+1", "-1", "@x", "=cmd|' /C calc'!A0", "＝1", " =1", "\t=1", "'=1"),
    *("\x1b[2J", "\x1b]0;t\x07", "\x9b31m", "\x7f", "a\nb", "a\rb", "a\tb", "\u2028", "\u202ea"),
    *("%s", "%(prog)s", "{x}", "{{7*7}}", "{% x %}", "[red]", "[/]", "\\input{x}", "$x^2$", "|"),
    *("CON", "nul.html", "NaN", "inf", "-inf", "1e999", "1e308", "5e-324", "9" * 400, "None"),
    *("adam[lr=0.1]", "true", "0x1f", "1_0", "１", "2**64", "18446744073709551616", "\u200b"),
)
#: What no word of a command line can hold, but a file can.
UNSPEAKABLE = ("\0", "\ud800", "a\0b", "\ufeff")

hostile = st.sampled_from(HOSTILE) | st.text(max_size=8)
anything = hostile | st.sampled_from(UNSPEAKABLE)
ANYTHING = (*HOSTILE, *UNSPEAKABLE)


def mutated(
    base: st.SearchStrategy[str], tokens: Sequence[str] = HOSTILE
) -> st.SearchStrategy[str]:
    """A text after up to three cuts, repetitions and insertions; sometimes none.

    One drawn number decides on all of them: that is several times as fast as a draw for each.
    """
    return st.builds(_mutate, base, st.integers(0, 2**32), st.just(tokens))


def _mutate(text: str, seed: int, tokens: Sequence[str]) -> str:
    chance = random.Random(seed)
    for _ in range(chance.choice((0, 0, 1, 1, 1, 2, 3))):
        first = chance.randint(0, len(text))
        last = min(len(text), first + chance.randint(0, 6))
        middle = chance.choice(
            (
                "",
                text[first:last] * chance.choice((2, 3, 300)),
                chance.choice(tokens) + text[first:last],
                chance.choice(tokens),
                chr(chance.choice((chance.randint(0, 0x2FF), chance.randint(0, 0xD7FF)))),
            )
        )
        text = text[:first] + middle + text[last:]
    return text


#: Optimizer names, and values that are code, too deep, too long or of the wrong kind.
_NAMES = ("sgd", "momentum", "nesterov", "adam", "adagrad", "adadelta", "adamax", "rmsprop")
_KEYS = (
    *("lr",) * 9,
    *("lr", "betas", "eps", "weight_decay", "momentum", "nesterov", "amsgrad", "rho", "alpha"),
    *("foreach", "fused", "capturable", "differentiable", "maximize", "params", "dampening"),
)
_VALUES = (
    *("0.1", "0", "1", "-1", "1e-3", "1e300", "1e999", "-0.0", ".5", "(0.9,0.99)", "[0.9,0.999]"),
    *("True", "False", "None", "cosine", "'a,b]'", "()", "(0.9,)", "(1,(2,3))", "nan", "inf"),
    *("__import__('os').system('touch pwned')", "open('pwned','w')", "(lambda: 1)()", "1+1j"),
    *("[x for x in (1,)]", 'f\'{open("pwned","w")}\'', "{}", "{1,2}", "b'x'", "...", "*x", "x.y"),
    *("0x" + "f" * 5000, "9" * 5000, "-" * 3000 + "1", "1+" * 3000 + "1", "not " * 2000 + "1"),
    *("(" * 300, "(" * 90 + ")" * 90, "[" * 5000, "1if 2else 3", "'\\d'", "1 is 1", "'\\ud800'"),
    *("x:=1", "yield", "await x", "0777", "1__0", "'''", "#", "\\", "1,", "lr=", "()()", "1(2)"),
)


def _expression(seed: int) -> str:
    chance = random.Random(seed)
    variants = []
    for _ in range(chance.choice((1, 1, 2, 3))):
        name = chance.choice(_NAMES)
        pairs = [
            f"{chance.choice(_KEYS)}={_value(chance)}"
            for _ in range(chance.choice((0, 1, 1, 2, 3)))
        ]
        variants.append(f"{name}[{','.join(pairs)}]" if pairs else name)
    return ",".join(variants)


expressions = mutated(st.builds(_expression, st.integers(0, 2**32)), ANYTHING)


def _value(chance: random.Random) -> str:
    if chance.random() < 0.3:
        return chance.choice(_VALUES)
    return repr(chance.choice((True, None, (0.9, 0.99), chance.random(), chance.gauss(0, 9))))


def _seed_list(seed: int) -> str:
    chance = random.Random(seed)
    parts = []
    for _ in range(chance.choice((1, 1, 2, 3, 5))):
        first = chance.choice((chance.randint(0, 30), chance.randint(0, 2**33)))
        length = chance.choice((0, 0, 3, 30, -2, 9_998, 10_000))
        parts.append(f"{first}-{first + length}" if length else str(first))
    return chance.choice((",", ", ", " ,")).join(parts)


seed_lists = mutated(st.builds(_seed_list, st.integers(0, 2**32)), ANYTHING)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | anything
    | st.sampled_from((10**400, -1, 0, 1, 2**63, 1e308, "0-3", "2026-11-23", "9999-12-31")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(anything, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def mutated_json(draw: st.DrawFn, base: Any) -> str:
    """JSON with up to three values replaced, removed or added, and perhaps its text mutated."""
    content = json.loads(json.dumps(base))
    for _ in range(draw(st.integers(0, 3))):
        content = _edited(draw, content)
    text = json.dumps(content)
    return draw(mutated(st.just(text), ANYTHING)) if draw(st.integers(0, 3)) == 3 else text


def _edited(draw: st.DrawFn, content: Any) -> Any:
    """`content` with one change, somewhere."""
    if not content or not isinstance(content, dict | list) or draw(st.integers(0, 5)) == 5:
        return draw(json_values)
    keys: Sequence[Any] = list(content) if isinstance(content, dict) else range(len(content))
    key = draw(st.sampled_from(keys))
    match draw(st.sampled_from(("deeper", "deeper", "deeper", "remove", "add"))):
        case "deeper":
            content[key] = _edited(draw, content[key])
        case "remove":
            del content[key]
        case "add" if isinstance(content, dict):
            content[draw(anything)] = draw(json_values)
        case _:
            content.append(content[key])
    return content


def maybe(kept: st.SearchStrategy[Any], odd: st.SearchStrategy[Any], one_in: int = 8) -> Any:
    """Mostly `kept`, once in a while `odd`."""
    return st.integers(1, one_in).flatmap(lambda n: odd if n == one_in else kept)


#: Types that a column may have, with something to put into it.
_moment = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)
ARROW: Mapping[str, tuple[Callable[[], pa.DataType], st.SearchStrategy[Any]]] = {
    "int64": (pa.int64, st.integers(-(2**63), 2**63 - 1) | st.integers(0, 3)),
    "uint64": (pa.uint64, st.integers(0, 2**64 - 1)),
    "int8": (pa.int8, st.integers(-128, 127)),
    "float64": (pa.float64, st.floats() | st.floats(0, 1)),
    "float16": (pa.float16, st.floats(width=16)),
    "bool": (pa.bool_, st.booleans()),
    "string": (pa.string, hostile.filter(str.isprintable) | st.sampled_from(("ok", "1", "{}"))),
    "large_string": (pa.large_string, st.sampled_from(HOSTILE)),
    "binary": (pa.binary, st.binary(max_size=6)),
    "null": (pa.null, st.none()),
    "decimal": (lambda: pa.decimal128(30, 2), st.just(decimal.Decimal("1.25"))),
    "time": (lambda: pa.timestamp("us", tz="UTC"), st.just(_moment)),
    "date": (pa.date32, st.dates()),
    "duration": (
        lambda: pa.duration("us"),
        st.timedeltas(datetime.timedelta(-99), datetime.timedelta(99)),  # more may not fit
    ),
    "list": (lambda: pa.list_(pa.float64()), st.lists(st.floats() | st.none(), max_size=3)),
    "strings": (lambda: pa.list_(pa.string()), st.lists(st.sampled_from(HOSTILE), max_size=3)),
    "lists": (
        lambda: pa.list_(pa.list_(pa.int64())),
        st.lists(st.lists(st.integers(0, 9), max_size=2), max_size=2),
    ),
    "struct": (lambda: pa.struct([("a", pa.int64())]), st.just({"a": 1})),
    "map": (lambda: pa.map_(pa.string(), pa.int64()), st.just([("a", 1)])),
    "dictionary": (
        lambda: pa.dictionary(pa.int32(), pa.string()),
        st.sampled_from(("adam", "sgd", "<b>")),
    ),
}


@st.composite
def arrow_columns(draw: st.DrawFn, n_rows: int) -> pa.Array:
    """A column of any type, with gaps."""
    make, values = ARROW[draw(st.sampled_from(sorted(ARROW)))]
    cells = draw(st.lists(values | st.none(), min_size=n_rows, max_size=n_rows))
    if draw(st.booleans()):  # the same in every row, as facts about a sweep are
        cells = cells[:1] * n_rows
    return pa.array(cells, make())
