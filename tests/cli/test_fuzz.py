"""Ten thousand hostile inputs: none ends in a traceback, a hang, or a file where none belongs.

Input is almost valid, so that it gets past the first check. It is the same in each run;
``--hypothesis-profile=random`` draws new input, and FUZZ_SCALE=1 gives all of it; the default is a
twentieth.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import shutil
import signal
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from _fuzz import (
    ANYTHING,
    HOSTILE,
    anything,
    arrow_columns,
    expressions,
    hostile,
    maybe,
    mutated,
    mutated_json,
    seed_lists,
)
from _rows import outcome, record
from conftest import SCALE
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bench import cli
from bench.cli.arguments import make_parser
from bench.cli.config import parse_words
from bench.cli.printing import printable
from bench.errors import BenchError, StoreError, UsageError
from bench.optimizers.resolve import resolve
from bench.report.formats.csv import _FORMULA, _NUMBER
from bench.spec.expressions import MAX_SEEDS, format_seeds, parse_optimizers, parse_seeds
from bench.spec.model import OptimizerSpec, RunSpec, SweepSpec, canonical_json, check_sweep_name
from bench.spec.options import ExecutionOptions
from bench.storage.looks import Ledger, TakenLook
from bench.storage.records import SCHEMA
from bench.storage.run_files import file_stem
from bench.sweeps.reproduce import command_line, options_text

pytestmark = pytest.mark.slow

#: How many inputs of each kind.
EXAMPLES: Mapping[str, int] = {
    "expressions": 1000,
    "seed lists": 4200,
    "names": 3700,
    "specifications": 800,
    "ledgers": 400,
    "command lines": 400,
    "spec files": 400,
    "spec files of dry runs": 40,
    "dry runs": 80,
    "text tables": 60,
    "arrow tables": 60,
    "sweeps": 16,
    "comparisons": 16,
}
#: A failing input of these is shown as it was found: making it small would take minutes.
COSTLY = ("text tables", "arrow tables", "sweeps", "comparisons")
SECONDS = 20

T = TypeVar("T", bound=Callable[..., None])


def fuzz(kind: str, **strategies: st.SearchStrategy[Any]) -> Callable[[T], Callable[..., None]]:
    """Run a test with as many inputs as its kind has."""

    def decorate(test: T) -> Callable[..., None]:
        limited = settings(
            max_examples=max(5, round(EXAMPLES[kind] * SCALE)),
            suppress_health_check=list(HealthCheck),
            phases=[p for p in Phase if p is not Phase.shrink or kind not in COSTLY],
        )
        return limited(given(**strategies)(test))

    return decorate


class HangError(BaseException):
    """Nothing in the program catches it."""


@contextlib.contextmanager
def time_limit(seconds: int = SECONDS) -> Iterator[None]:
    def ring(_number: int, _frame: FrameType | None) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    except HangError:
        pytest.fail(f"took longer than {seconds} s")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def returns_or_refuses(call: Callable[[], Any]) -> Any:
    """What `call` returns, None where it refuses: with one line, and in time."""
    with time_limit():
        try:
            return call()
        except BenchError as error:
            said = str(error)
    printable(said).encode()
    assert said, "an error must say something"
    return None


@dataclass(frozen=True)
class Box:
    """A working directory, and all around it what nobody may touch."""

    outside: Path

    @property
    def work(self) -> Path:
        return self.outside / "a" / "b" / "c" / "work"

    @contextlib.contextmanager
    def entered(self) -> Iterator[Path]:
        """An empty working directory; what is outside is the same before and after."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        before = self._around()
        with contextlib.chdir(self.work):
            yield self.work
        assert self._around() == before

    def _around(self) -> Mapping[str, tuple[int, int]]:
        found = {}
        for place, directories, files in os.walk(self.outside):
            if Path(place) == self.work.parent:
                directories.remove("work")
            for name in files + directories:
                status = os.stat(os.path.join(place, name))
                is_file = name in files
                found[os.path.join(place, name)] = (status.st_size * is_file, status.st_ino)
        return found


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Box:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "x").write_text("not yours")
    return Box(outside)


@dataclass(frozen=True)
class Finished:
    code: int
    out: str
    err: str


def run(argv: Sequence[str]) -> Finished:
    """The program, in this process; every property that all of its endings have is checked."""
    out, err = io.StringIO(), io.StringIO()
    handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        with (
            time_limit(),
            warnings.catch_warnings(record=True) as early,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            warnings.simplefilter("always")
            try:
                code = cli.main(argv)
            except SystemExit as end:  # --help and --version
                code = int(end.code or 0)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert not early, early[0]
    finished = Finished(code, out.getvalue(), err.getvalue())
    _check_ending(finished)
    return finished


OWN_WARNING = "optimizer-bench: warning: this look at the results is not recorded"
NOTE = "optimizer-bench: note: "
NO_BROWSER = "no browser could be started: open file:///"


def _unsafe(text: str) -> str:
    """Control and format characters, and other line ends than the usual."""
    lines = text.replace("\r\n", "\n").replace("\n", "")
    return "".join(c for c in lines if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp"))


def _check_ending(finished: Finished) -> None:
    assert finished.code in (0, 1, 2)
    for text in (finished.out, finished.err):
        text.encode()
        assert not _unsafe(text)
        assert "Traceback" not in text
    lines = finished.err.splitlines()
    errors = [line for line in lines if line.startswith("optimizer-bench: error: ")]
    others = [line for line in lines if line not in errors]
    assert all(line.startswith((OWN_WARNING, NOTE, NO_BROWSER)) for line in others), others
    # 1 is also what a check and a comparison say that found something
    assert len(errors) == (finished.code == 2) or (len(errors), finished.code) == (1, 1)


@fuzz("expressions", text=expressions)
def test_expressions_are_literals_and_never_evaluated(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for expression in returns_or_refuses(lambda: parse_optimizers(text)) or ():
        spec = returns_or_refuses(lambda e=expression: resolve(e))
        if spec is not None:
            spec.name.encode()
            assert re.fullmatch(r"[A-Za-z0-9._=+-]{1,99}", file_stem(spec.name))
    assert not os.listdir()


@fuzz("seed lists", text=seed_lists)
def test_seed_lists(text: str) -> None:
    seeds = returns_or_refuses(lambda: parse_seeds(text))
    if seeds is not None:
        assert 0 < len(seeds) <= MAX_SEEDS
        assert parse_seeds(format_seeds(seeds)) == seeds


@fuzz("names", name=mutated(st.sampled_from(("mnist", "a.b-c_d")), ANYTHING))
def test_names(name: str) -> None:
    if returns_or_refuses(lambda: check_sweep_name(name)) is not None:
        assert Path(f"{name}.html").name == f"{name}.html"
        assert name.isascii()
        assert len(name) <= 100


SPEC = SweepSpec(
    name="fuzz",
    optimizers=tuple(
        OptimizerSpec(name=n, algorithm=f"torch.optim.{a}", hyperparameters=h)
        for n, a, h in (
            ("sgd", "SGD", (("lr", 0.1),)),
            ("adam[lr=0.01]", "Adam", (("betas", (0.9, 0.999)), ("lr", 0.01))),
            ("rmsprop", "RMSprop", (("lr", 0.01), ("momentum", 0))),
        )
    ),
    seeds=(0, 1, 2, 5),
)
LOOKS = {
    "looks": [
        {"seeds": "0-1", "missing": 0, "at": "2026-11-23T09:34:00+00:00"},
        {"seeds": "0-2,5", "missing": 0, "at": "2026-11-24T09:34:00+00:00"},
    ]
}


def spec_texts() -> st.SearchStrategy[str]:
    return mutated_json(json.loads(SPEC.to_json()))


@fuzz("specifications", text=spec_texts())
def test_specifications(text: str) -> None:
    spec = returns_or_refuses(lambda: SweepSpec.from_json(text))
    if spec is not None:
        assert SweepSpec.from_json(spec.to_json()) == spec
        assert len({run.key for run in spec.plan()}) == len(spec.optimizers) * len(spec.seeds)
        command_line(spec, ExecutionOptions(device="cpu")).encode()
        options_text(spec, ExecutionOptions(device="cpu")).encode()


@fuzz("ledgers", text=mutated_json(LOOKS))
def test_ledgers(box: Box, text: str) -> None:
    now = TakenLook(seeds=(0, 1, 2), missing=0, at=datetime.now(UTC))
    with box.entered():
        ledger = Ledger(Path("looks.json"))
        ledger.file.write_text(text, encoding="utf-8", errors="surrogatepass")
        looks = returns_or_refuses(lambda: ledger.with_look(now))
        if looks is not None:
            ledger.record(looks)
            assert ledger.with_look(now) == looks


#: Values that fit an option, by the first letters of its name.
INPUTS = ("x.csv", "x.parquet", "sweep", "sweep/runs.parquet", "sweep/spec.json", "x", "none")
OUTPUTS = ("out.html", "deep/er/out.json", "sweep/runs.parquet", "sweep/spec.json", "sweep", "-")
OPTIONS: Mapping[str, Mapping[str, st.SearchStrategy[str] | None]] = {
    "sweep": {
        "--seeds": st.sampled_from(("2", "3", "0", "-1", "1e3", "9" * 5000, "10001")),
        "--seed-list": seed_lists.filter(lambda text: len(text) < 20),
        "--optimizers": expressions,
        "--iterations": st.sampled_from(("20", "0", "1_0", "１", "1000000")),
        "--batch-size": st.sampled_from(("100", "60001", "-5")),
        "--eval-every": st.sampled_from(("50", "nan")),
        "--alpha": st.floats().map(repr),
        "--margin": st.floats(0, 1).map(repr),
        "--target": st.floats(0, 1).map(repr),
        "--looks": st.sampled_from(("1", "3", "any", "0", "1000000")),
        "--win-threshold": st.sampled_from(("0.75", "0.5", "none", "1", "nan")),
        "--correction": st.sampled_from(("holm", "max-t", "bonferroni")),
        "-j": st.sampled_from(("-1", "2", "0", "5000")),
        "--device": st.sampled_from(("auto", "cpu", "tpu")),
        "--timeout": st.floats().map(repr),
        "--name": hostile,
        "--results": st.sampled_from((".", "deep", "x.csv")) | hostile,
        "--config": st.sampled_from(("results/mnist/runs.parquet", "results", "none")) | hostile,
        "--force": None,
        "--quiet": None,
        "--no-report": None,
    },
    "report": {
        "--format": st.sampled_from(("html", "json", "markdown", "csv", "pdf")),
        "--output": st.sampled_from(OUTPUTS),
        "--latex": st.sampled_from(OUTPUTS),
        "--rows": st.sampled_from(OUTPUTS),
        "--check": st.sampled_from((*OUTPUTS, *INPUTS)),
        "--open": None,
    },
    "analyze": {
        "--treatment": st.sampled_from(("optimizer", "seed", "note")) | hostile,
        "--block": st.sampled_from(("optimizer", "seed")) | hostile,
        "--value": st.sampled_from(("accuracy", "test_accuracy", "train_seconds")) | hostile,
        "--direction": st.sampled_from(("higher", "lower", "up")),
        "--alpha": st.floats(0, 1).map(repr),
        "--margin": st.floats(0).map(repr),
        "--target": st.floats(0, 1).map(repr),
        "--win-threshold": st.sampled_from(("0.75", "none", "0.1")),
        "--correction": st.sampled_from(("holm", "max-t", "bonferroni")),
        "--nan": st.sampled_from(("diverged", "missing", "ok")),
        "--ignore-column": st.sampled_from(("status", "seed", "note", "error")) | hostile,
        "--json": st.sampled_from(OUTPUTS),
        "--html": st.sampled_from(OUTPUTS),
    },
    "compare": {
        "--ignore-column": st.sampled_from(("status", "git_commit", "schedule")) | hostile,
        "--alpha": st.floats(0, 1).map(repr),
        "--margin": st.floats(0, 1).map(repr),
        "--fail-if-changed": None,
        "--json": st.sampled_from(OUTPUTS),
        "--html": st.sampled_from(OUTPUTS),
        "--markdown": st.sampled_from(OUTPUTS),
    },
}
#: This is only parsed here: it runs for minutes.
PARSED_ONLY = ("benchmark",)


@st.composite
def words(draw: st.DrawFn, command: str, inputs: Sequence[str], most: int = 3) -> list[str]:
    """A command line of one command, mostly right."""
    options = OPTIONS[command]
    line: list[str] = []
    for option in draw(st.lists(st.sampled_from(sorted(options)), max_size=most)):
        values = options[option]
        line.append(option)
        if values is not None:
            line.append(draw(values))
    line += inputs
    if draw(st.integers(0, 9)) == 9:
        line.insert(draw(st.integers(0, len(line))), draw(hostile))
    return [command, *(word.replace("\0", "") for word in line)]


@st.composite
def any_command_line(draw: st.DrawFn) -> list[str]:
    command = draw(st.sampled_from((*OPTIONS, *PARSED_ONLY)))
    inputs = draw(st.lists(st.sampled_from(INPUTS) | hostile, max_size=3))
    line = draw(words(command, inputs)) if command in OPTIONS else [command, *inputs]
    if draw(st.integers(0, 4)) == 4:
        place = draw(st.integers(0, len(line) - 1))
        line[place] = draw(mutated(st.just(line[place])))
    return line


@fuzz("command lines", line=any_command_line())
def test_command_lines_are_parsed_or_refused(line: list[str]) -> None:
    out, code = io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.suppress(UsageError), time_limit():
        try:
            make_parser().parse_args(line)
        except SystemExit as end:
            code = end.code or 0
    assert code == 0


@pytest.fixture(scope="module", autouse=True)
def nothing_is_trained() -> Iterator[None]:
    """Dry runs without a dataset and timings; no browser."""
    from bench.execution import train_job
    from bench.sweeps import run as sweeps

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeps.datasets, "prepare", lambda *_: Path("nowhere"))
        patch.setattr(train_job, "load_data", lambda *_: None)
        patch.setattr(
            train_job, "estimate_seconds", lambda _w, unknown, *_: {o.name: 1.0 for o in unknown}
        )
        patch.setattr(train_job, "seconds_per_evaluation", lambda *_: 0.01)
        patch.setattr("webbrowser.open", lambda _: False)
        yield


@fuzz("dry runs", line=words("sweep", ()), stored=st.booleans())
def test_dry_runs_write_nothing(box: Box, line: list[str], stored: bool) -> None:
    with box.entered() as work:
        if stored:
            write_sweep(Path("results") / "mnist", ROWS)
        before = sorted(work.rglob("*"))
        run([line[0], "--dry-run", *line[1:]])
        assert sorted(work.rglob("*")) == before


#: A spec file that is right, but for what is done to it.
SPEC_FILE = """\
# every option, and every kind of value
seeds: 3
optimizers: [sgd, "adam[lr=0.01]", 'rmsprop']
iterations: 20
batch-size: 100
dataset: mnist
network: mlp[hidden=8]
alpha: 1e-3
looks: any
n-jobs: 1
name: fuzz
results: deep
timeout: 9.5
no-report: true
quiet: false
"""
YAML = (
    *("&a ", "*a", "!!python/object/apply:os.system ", "!!int ", "!x ", "<<: ", "? ", "- ", ": "),
    *("|\n", ">\n", "---\n", "...\n", "%YAML 9.9\n", "%TAG ! x\n", "{", "}", "[" * 3000, "]", ","),
    *("null", "~", "yes", "1:30", "2026-11-24", "0o17", ".inf", '"\\ud800"', '"\\UFFFFFFFF"', "\t"),
    *("seed-list: 0-9\n", "seeds: 4\n", "preset: all\n", "epochs: 2\n", "config: x\n", "\r", "\n"),
)
JSON_SPEC = {"seeds": 3, "optimizers": ["sgd", "adam"], "alpha": 0.01, "quiet": True, "name": "x"}


def _as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


spec_files = st.one_of(
    mutated(st.just(SPEC_FILE), (*YAML, *ANYTHING)).map(_as_bytes),
    mutated(st.just(SPEC_FILE), YAML).map(_as_bytes),
    mutated_json(JSON_SPEC).map(_as_bytes),
    st.text().map(_as_bytes) | st.binary(max_size=60),
    st.sampled_from(("utf-16", "utf-32", "utf-8-sig")).map(SPEC_FILE.encode),
)


@fuzz("spec files", content=spec_files, line=words("sweep", (), most=2))
def test_spec_files_are_read_or_refused(box: Box, content: bytes, line: list[str]) -> None:
    with box.entered() as work:
        Path("sweep.yaml").write_bytes(content)

        def read() -> Any:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
                return parse_words([line[0], "--config", "sweep.yaml", *line[1:]])

        arguments = returns_or_refuses(read)
        if arguments is not None:
            assert arguments.config == Path("sweep.yaml")
            assert 1 <= arguments.seeds <= MAX_SEEDS
        assert os.listdir(work) == ["sweep.yaml"]


@fuzz("spec files of dry runs", content=spec_files)
def test_a_dry_run_of_a_spec_file_writes_nothing(box: Box, content: bytes) -> None:
    with box.entered() as work:
        Path("sweep.yaml").write_bytes(content)
        run(["sweep", "--dry-run", "--config", "sweep.yaml"])
        assert os.listdir(work) == ["sweep.yaml"]


NUMBER = st.floats(0, 1).map(repr)
CELLS = {
    "optimizer": maybe(st.sampled_from(("adam", "sgd")), hostile, 12),
    "seed": maybe(st.integers(0, 5).map(str), hostile, 12),
    "accuracy": maybe(NUMBER, st.sampled_from(("", "nan", "-inf", "1e999", "-1", "97.5")), 12),
    "test_accuracy": NUMBER,
    "status": maybe(
        st.just("ok"), st.sampled_from(("diverged", "failed", "", "OK", "RUNNING")), 12
    ),
    "train_seconds": maybe(NUMBER, hostile),
    "eval_seconds": NUMBER,
    "error": hostile,
    "diverged_at": maybe(st.just(""), st.sampled_from(("5", "1e300", "-1", "inf"))),
    "eval_iterations": maybe(st.just("[10,20]"), hostile),
    "eval_test_accuracy": maybe(st.just("[0.5,0.6]"), st.just("[null]") | hostile),
    "eval_test_loss": maybe(st.just("[0.5,0.6]"), st.just('["inf",1e999]') | hostile),
    "eval_train_loss": st.just("[0.5,null]"),
    "eval_train_seconds": maybe(st.just("[0.5,0.6]"), hostile),
    "iterations": maybe(st.just("20"), hostile),
    "started_at": maybe(st.just("2026-11-23T12:00:00+00:00"), hostile),
    "algorithm": st.just("torch.optim.SGD"),
    "hyperparameters": maybe(st.just("{}"), st.just("[" * 9000) | hostile),
    "initial_weights_sha256": maybe(st.just("abc"), hostile),
    "torch_version": maybe(st.just("2.13"), hostile),
    "cores": maybe(st.just("2"), hostile),
    "test_correct": st.just("9000"),
    "test_total": maybe(st.just("10000"), hostile),
    "note": anything,
}
KEYS = ("optimizer", "seed", "accuracy")


@st.composite
def text_tables(draw: st.DrawFn) -> tuple[str, bytes]:
    """The name and the content of a CSV or TSV file."""
    ending = draw(st.sampled_from((".csv", ".tsv", ".CSV")))
    more = draw(st.lists(st.sampled_from(sorted(set(CELLS) - set(KEYS))), max_size=6))
    columns = [*KEYS, *dict.fromkeys(more)] if draw(st.integers(0, 5)) else [*KEYS, *more]
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter="\t" if ending == ".tsv" else ",", escapechar="\\")
    writer.writerow(draw(maybe(st.just(columns), st.just(columns[::-1]) | st.just([*HOSTILE[:9]]))))
    for name in ("adam", "sgd", draw(hostile)):
        for seed in range(draw(st.integers(1, 4))):
            own = {"optimizer": name, "seed": str(seed)}
            kept = draw(st.integers(0, 15))
            cells = [own[c] if c in own and kept else draw(CELLS[c]) for c in columns]
            writer.writerow(cells[: draw(maybe(st.just(len(cells)), st.integers(0, 3), 20))])
    text = sink.getvalue()
    if draw(st.integers(0, 3)) == 3:
        text = draw(mutated(st.just(text), ANYTHING))
    encoding = draw(maybe(st.just("utf-8"), st.sampled_from(("utf-16", "utf-8-sig", "utf-7")), 12))
    return f"x{ending}", text.encode(encoding, "surrogatepass")


@st.composite
def arrow_tables(draw: st.DrawFn) -> pa.Table:
    """A table of runs, with some columns of another type, twice, or missing."""
    names = ["adam", "sgd", draw(hostile.filter(lambda t: not any(map(_is_surrogate, t))))]
    n_seeds = draw(st.integers(1, 3))
    keys = [(name, seed) for name in names for seed in range(n_seeds)]
    arrays: list[tuple[str, pa.Array]] = [
        ("optimizer", pa.array([name for name, _ in keys])),
        ("seed", pa.array([seed for _, seed in keys])),
        ("accuracy", pa.array([0.9 + i % 5 / 100 for i in range(len(keys))])),
    ]
    odd = draw(st.lists(st.sampled_from((*SCHEMA.names, "note", "run_file")), max_size=4))
    arrays += [(name, draw(arrow_columns(len(keys)))) for name in odd]
    if draw(st.integers(0, 3)) == 3:
        place = draw(st.integers(0, 2))
        arrays[place] = (arrays[place][0], draw(arrow_columns(len(keys))))
    if draw(st.booleans()):
        arrays = list(dict(arrays).items())
    table = pa.Table.from_arrays([a for _, a in arrays], names=[n for n, _ in arrays])
    if draw(st.integers(0, 9)) == 9:
        table = table.slice(0, draw(st.integers(0, 2)))
    if draw(st.integers(0, 5)) == 5:
        pandas = {"index_columns": ["seed"], "columns": [], "column_indexes": []}
        content = draw(mutated_json(pandas)).encode("utf-8", "surrogatepass")
        table = table.replace_schema_metadata({b"pandas": content})
    return table


def _is_surrogate(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"


#: A page takes most of the time: few tables get one.
MORE = maybe(
    st.just([]), words("analyze", ()).map(lambda w: w[1:]) | st.just(["--html", "out.html"]), 3
)
ANALYZE = ("--value", "accuracy", "--json", "out.json")


@fuzz(
    "text tables",
    table=text_tables(),
    more=MORE,
)
def test_text_tables(box: Box, table: tuple[str, bytes], more: list[str]) -> None:
    with box.entered() as work:
        file, content = table
        Path(file).write_bytes(content)
        finished = run(["analyze", file, *ANALYZE, *more])
        check_outputs(work, finished)


@fuzz(
    "arrow tables",
    table=arrow_tables(),
    more=MORE,
)
def test_arrow_tables(box: Box, table: pa.Table, more: list[str]) -> None:
    with box.entered() as work:
        pq.write_table(table, "x.parquet")
        finished = run(["analyze", "x.parquet", *ANALYZE, *more])
        check_outputs(work, finished)


def check_outputs(work: Path, finished: Finished) -> None:
    """Wrong usage writes nothing; what is written holds no markup and formula of anybody's."""
    written = [f for f in work.rglob("*") if f.suffix in (".html", ".json", ".md", ".csv")]
    pages = [f.read_text() for f in written if f.suffix == ".html"]
    if finished.code == 2:
        assert not pages
    for page in [*pages, *([finished.out] if finished.out.startswith("<!doctype") else [])]:
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        # what is only invisible, as a soft hyphen or a tab in a name, does no harm in a page
        bad = {c for c in _unsafe(page) if unicodedata.category(c) in ("Cc", "Cs")} - {"\t"}
        assert not bad, [page[max(0, page.index(c) - 80) :][:100] for c in bad]


def check_csv(text: str) -> None:
    for row in csv.reader(io.StringIO(text)):
        for cell in row:
            assert not _FORMULA.match(cell) or _NUMBER.fullmatch(cell) or cell.startswith("'")


def make_rows(names: Sequence[str], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Sound rows of a sweep, whatever its optimizers are called."""
    rows = []
    for number, name in enumerate(names):
        optimizer = OptimizerSpec(
            name=name, algorithm="torch.optim.SGD", hyperparameters=(("lr", (number + 1) / 10),)
        )
        for seed in seeds:
            planned = RunSpec(workload=SPEC.workload, optimizer=optimizer, seed=seed)
            settings_ = canonical_json(dict(optimizer.hyperparameters))
            measured = outcome(9500 + 30 * number + 7 * seed % 11)
            rows.append(vars(record(planned, hyperparameters=settings_, **measured)))
    return rows


#: Anybody can write a file with gaps.
NULLABLE = pa.schema([field.with_nullable(True) for field in SCHEMA])


def write_sweep(
    directory: Path, rows: Sequence[Mapping[str, Any]], spec: str = "", looks: str = ""
) -> None:
    directory.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema=NULLABLE), directory / "runs.parquet")
    for name, text in (("spec.json", spec), ("looks.json", looks)):
        if text:
            (directory / name).write_text(text, encoding="utf-8", errors="surrogatepass")


ROWS = make_rows(("sgd", "adam"), (0, 1, 2))


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What a results directory is made of: sound rows, but for the changes."""

    names: Sequence[str]
    seeds: Sequence[int]
    changes: Sequence[tuple[int, str, Any]]
    constants: Mapping[str, str]
    spec: str
    looks: str

    def write(self, directory: Path) -> None:
        rows = [{**row, **self.constants} for row in make_rows(self.names, self.seeds)]
        for place, column, value in self.changes:
            row = rows[place % len(rows)]
            row[column] = value if isinstance(row[column], str) else None
        write_sweep(directory, rows, self.spec, self.looks)


@st.composite
def stored_sweeps(draw: st.DrawFn) -> Sweep:
    text = st.sampled_from(HOSTILE[1:])
    names = draw(st.lists(text, min_size=1, max_size=3, unique=True))
    seeds = draw(st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True))
    change = st.tuples(st.integers(0, 9), st.sampled_from(SCHEMA.names), text)
    stated = ("torch_version", "git_commit", "device_name", "error")
    declared = replace(
        SPEC,
        seeds=tuple(seeds),
        optimizers=tuple(
            OptimizerSpec.from_json(r["optimizer"], r["algorithm"], r["hyperparameters"])
            for r in make_rows(names, (0,))
        ),
    ).to_json()
    return Sweep(
        names=names,
        seeds=seeds,
        changes=draw(maybe(st.just(()), st.lists(change, min_size=1, max_size=3), 3)),
        constants=draw(st.dictionaries(st.sampled_from(stated), text, max_size=2)),
        spec=draw(maybe(st.just(declared), mutated_json(json.loads(declared)) | st.just(""), 3)),
        looks=draw(maybe(st.just(""), mutated_json(LOOKS), 3)),
    )


@fuzz(
    "sweeps",
    sweep=stored_sweeps(),
    line=words("report", ("sweep",)) | words("analyze", ("sweep",)),
)
def test_stored_sweeps(box: Box, sweep: Sweep, line: list[str]) -> None:
    with box.entered() as work:
        sweep.write(Path("sweep"))
        finished = run(line)
        check_outputs(work, finished)
        for file in work.rglob("*.csv"):
            check_csv(file.read_bytes().decode())


@fuzz(
    "comparisons",
    before=stored_sweeps(),
    after=stored_sweeps(),
    is_same=st.booleans(),
    line=words("compare", ("before", "after")),
)
def test_comparisons(
    box: Box,
    before: Sweep,
    after: Sweep,
    is_same: bool,
    line: list[str],
) -> None:
    with box.entered() as work:
        before.write(Path("before"))
        (before if is_same else after).write(Path("after"))
        check_outputs(work, run(line))


def test_words_that_are_no_text_are_refused() -> None:
    finished = run(["analyze", "\udcff.csv"])
    assert finished.code == 2
    assert "must be text in UTF-8, got '\\udcff.csv'" in finished.err


def test_an_endless_number_in_a_ledger_is_refused(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "looks.json")
    ledger.file.write_text('{"looks": [{"seeds": "0", "missing": Infinity, "at": "2026-11-23"}]}')
    with pytest.raises(StoreError, match="not a list of looks"):
        ledger.read()


def test_there_are_ten_thousand_inputs() -> None:
    assert sum(EXAMPLES.values()) >= 10_000
