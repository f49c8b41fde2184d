from __future__ import annotations

import json
import os
import re
import textwrap
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench import cli
from bench.cli.arguments import make_parser
from bench.cli.config import parse_words
from bench.cli.spec_file import MAX_BYTES
from bench.cli.sweep import ALTERNATIVES, make_spec
from bench.errors import UsageError
from bench.spec.expressions import parse_optimizers
from bench.spec.model import OptimizerSpec, SweepSpec
from bench.spec.options import ExecutionOptions
from bench.storage.store import Store
from bench.sweeps.reproduce import HEADER, declared_settings, options_text

Sweep = Callable[..., Namespace]


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """The arguments of a sweep with a spec file of this content."""
    monkeypatch.chdir(tmp_path)

    def parse(content: str | bytes, *words: str) -> Namespace:
        raw = content.encode() if isinstance(content, str) else content
        (tmp_path / "sweep.yaml").write_bytes(raw)
        return parse_words(["sweep", "--config", "sweep.yaml", *words])

    return parse


def on_the_command_line(*words: str) -> dict[str, object]:
    found = vars(make_parser().parse_args(["sweep", *words]))
    return {name: value for name, value in found.items() if name != "print_completion"}


#: A file, and the words that say the same.
RIGHT: Sequence[tuple[str, Sequence[str]]] = [
    ("seeds: 40", ["--seeds", "40"]),
    ("seed-list: 0-9", ["--seed-list", "0-9"]),
    ("seed-list: 0-9,15", ["--seed-list", "0-9,15"]),
    ("seed-list: [0-9, 15]", ["--seed-list", "0-9,15"]),
    ("optimizers: sgd,adam[lr=0.003]", ["--optimizers", "sgd,adam[lr=0.003]"]),
    (
        "optimizers:\n- sgd\n- adam[betas=(0.9,0.99)]",
        ["--optimizers", "sgd,adam[betas=(0.9,0.99)]"],
    ),
    ("optimizers:\n- fast=adam[lr=0.01]", ["--optimizers", "fast=adam[lr=0.01]"]),
    ('optimizers: [sgd, "adam[lr=0.003]"]', ["--optimizers", "sgd,adam[lr=0.003]"]),
    ("preset: regimes", ["--preset", "regimes"]),
    ("epochs: 3", ["--epochs", "3"]),
    ("iterations: 600", ["--iterations", "600"]),
    ("batch-size: 50", ["--batch-size", "50"]),
    ("eval-every: 100", ["--eval-every", "100"]),
    ("dataset: digits", ["--dataset", "digits"]),
    ("network: mlp[hidden=128x64]", ["--network", "mlp[hidden=128x64]"]),
    ("resample-train: bootstrap", ["--resample-train", "bootstrap"]),
    ("tune: true\ntune-trials: 3\ntune-seeds: 2", ["--tune", "--tune-trials=3", "--tune-seeds=2"]),
    ("tune-over: lr,momentum\ntune-for: loss", ["--tune-over=lr,momentum", "--tune-for=loss"]),
    ("space: adam[lr=0.01..1]", ["--space", "adam[lr=0.01..1]"]),
    ("budget: iterations", ["--budget", "iterations"]),
    ("alpha: 0.01", ["--alpha", "0.01"]),
    ("margin: 0.01", ["--margin", "0.01"]),
    ("margin: 0.2pp", ["--margin", "0.002"]),
    ("margin: 1%", ["--margin", "0.01"]),
    ("target: .9", ["--target", "0.9"]),
    ("looks: any", ["--looks", "any"]),
    ("until-decided: true\nmax-seeds: 40", ["--until-decided", "--max-seeds", "40"]),
    ("until-decided: true\nlooks: 9,18", ["--until-decided", "--looks", "9,18"]),
    ("win-threshold: .75", ["--win-threshold", "0.75"]),
    ("correction: max-t", ["--correction", "max-t"]),
    ("n-jobs: -1", ["--n-jobs", "-1"]),
    ("device: cpu", ["--device", "cpu"]),
    ("stack: 4", ["--stack", "4"]),
    ("gpus: 0,1", ["--gpus", "0,1"]),
    ("gpus: [0, 1]", ["--gpus", "0,1"]),
    ("jobs-per-gpu: 2", ["--jobs-per-gpu", "2"]),
    ("tune: true\ntune-repeats: 2", ["--tune", "--tune-repeats", "2"]),
    ("tune-extend: true\nvalidation: per-seed", ["--tune-extend", "--validation", "per-seed"]),
    ("tf32: true\nmix-devices: false", ["--tf32"]),
    ("mix-devices: true", ["--mix-devices"]),
    ("timeout: 60", ["--timeout", "60"]),
    ("in-process: true", ["--in-process"]),
    (
        "backend: dask\nscheduler: tcp://127.0.0.1:8786",
        ["--backend", "dask", "--scheduler", "tcp://127.0.0.1:8786"],
    ),
    ("name: mine", ["--name", "mine"]),
    ("results: deep/er", ["--results", "deep/er"]),
    ("reports: ../x", ["--reports", "../x"]),
    ("data-dir: -x y", ["--data-dir=-x y"]),
    ("no-report: true", ["--no-report"]),
    ("verbose: true", ["--verbose"]),
    ("quiet: true", ["--quiet"]),
    ("quiet: false\nno-report: false", []),
    # the surprises of YAML: values are what is written
    ("alpha: 1e-3", ["--alpha", "0.001"]),
    ("seeds: 012", ["--seeds", "12"]),
    ("name: 2026-11-24", ["--name", "2026-11-24"]),
    ("name: no", ["--name", "no"]),
    ("name: 1.30", ["--name", "1.30"]),
    ("name: 'null'", ["--name", "null"]),
    ("name: 0x1f", ["--name", "0x1f"]),
    ("optimizers: >\n  sgd,\n  adam\n", ["--optimizers", "sgd, adam"]),
    # other spellings of a document
    ('{"seeds": 3, "alpha": 1e-2, "quiet": true}', ["--seeds", "3", "--alpha", "0.01", "-q"]),
    ("%YAML 1.1\n---\n# why\nseeds: 3  # three\n...\n", ["--seeds", "3"]),
    ("\ufeffseeds: 3\r\nname: x\r\n", ["--seeds", "3", "--name", "x"]),
    ("{}", []),
]


@pytest.mark.parametrize(("content", "words"), RIGHT)
def test_a_file_says_what_the_command_line_says(
    sweep: Sweep, content: str, words: Sequence[str]
) -> None:
    arguments = sweep(content)
    assert arguments.config == Path("sweep.yaml")
    for option, value in on_the_command_line(*words).items():
        got = getattr(arguments, option)
        if option == "optimizers":
            got, value = (
                [[o.label, o.name, o.overrides] for o in got],
                [[o.label, o.name, o.overrides] for o in value],
            )  # type: ignore[attr-defined]
        assert got == value or option == "config", option


def test_every_option_has_a_right_file() -> None:
    tried = set(re.findall(r"^([a-z0-9-]+):", "\n".join(content for content, _ in RIGHT), re.M))
    options = {option.replace("_", "-") for option in on_the_command_line()} - {"command"}
    assert tried == options - {"config", "dry-run", "force", "shard", "diagrams"}


FILE = "seeds: 5\niterations: 600\noptimizers: sgd\nalpha: 0.01\nname: mine\nquiet: true\n"
#: Words beside that file, and what comes of both.
WINS: Sequence[tuple[str, Mapping[str, object]]] = [
    ("", {"seeds": 5, "iterations": 600, "alpha": 0.01, "name": "mine", "quiet": True}),
    ("--seeds 20", {"seeds": 20, "iterations": 600}),  # the default, but given
    ("--seeds=7 --alpha 0.05", {"seeds": 7, "alpha": 0.05, "name": "mine"}),
    ("--seed-list 3-5", {"seed_list": (3, 4, 5), "iterations": 600}),
    ("--preset regimes", {"preset": "regimes", "seeds": 5}),
    ("--epochs 2", {"epochs": 2, "iterations": 3000}),
    ("--optimizers adam", {"optimizers": parse_optimizers("adam")}),
    ("--iter 9 --na x -j 1", {"iterations": 9, "name": "x", "n_jobs": 1}),
    ("--dry-run --force", {"dry_run": True, "force": True, "seeds": 5}),
]


@pytest.mark.parametrize(("words", "expected"), WINS)
def test_the_command_line_wins(sweep: Sweep, words: str, expected: Mapping[str, object]) -> None:
    arguments = vars(sweep(FILE, *words.split()))
    assert {option: arguments[option] for option in expected} == expected


@pytest.mark.parametrize(
    ("content", "words", "expected"),
    [
        ("seed-list: 0-9", "--seeds 3", {"seeds": 3, "seed_list": None}),
        ("preset: all", "--optimizers adam", {"preset": None}),
        ("epochs: 9", "--iterations 7", {"iterations": 7, "epochs": None}),
        ("dataset: gone.npz", "--dataset digits", {"dataset": ("digits",)}),
    ],
)
def test_what_is_set_aside_is_gone(
    sweep: Sweep, content: str, words: str, expected: Mapping[str, object]
) -> None:
    arguments = vars(sweep(content, *words.split()))
    assert {option: arguments[option] for option in expected} == expected


@pytest.mark.parametrize("pair", ALTERNATIVES)
def test_alternatives_are_those_of_the_command_line(sweep: Sweep, pair: tuple[str, str]) -> None:
    values = {"seeds": "3", "seed-list": "1", "optimizers": "sgd", "preset": "all"}
    one, other = ((option, values.get(option, "7")) for option in pair)
    with pytest.raises(UsageError, match="not allowed with argument"):
        on_the_command_line(*(f"--{option}={value}" for option, value in (one, other)))
    content = "".join(f"{option}: {value}\n" for option, value in (one, other))
    with pytest.raises(UsageError, match=f"^sweep.yaml, line 2: {pair[0]} and {pair[1]} exclude"):
        sweep(content)


BOMB = "a: &a [x]\nb: &b [*a, *a]\n"
WRONG: Sequence[tuple[str | bytes, str]] = [
    # not a mapping of options
    ("", r"sweep\.yaml: it is empty: give options such as seeds: 20"),
    ("# nothing\n", r"sweep\.yaml: it is empty"),
    ("---\n", r"line 2: must hold options such as seeds: 20, got nothing"),
    ("hello", r"line 1: must hold options such as seeds: 20, got 'hello'"),
    ("\n- seeds\n", r"line 2: must hold options such as seeds: 20, got a list"),
    ("seeds: 3\n---\nseeds: 4\n", r"line 3: a second document: a spec file holds one"),
    # not YAML
    ("seed-list: [3", r"line 1: not YAML: expected ',' or '\]', but got '<stream end>'"),
    ("seeds: 3\n\tname: x", r"line 2: not YAML: "),
    ('name: "x', r"line 1: not YAML: "),
    ("optimizers: [adam[lr=0.1]]", r"line 1: not YAML: "),
    (b"seeds: 3\nname: \xff\n", r"line 2: must be text in UTF-8, got byte 0xff"),
    ("seeds: 3".encode("utf-16"), r"line 1: must be text in UTF-8, got byte 0xff"),
    ("name: \x07", r"sweep\.yaml: not YAML: unacceptable character #x0007"),
    ('name: "\\UFFFFFFFF"', r"sweep\.yaml: not YAML: "),
    (b"#" * (MAX_BYTES + 1), r"a spec file may have at most 1,000,000 bytes, it has more"),
    # anchors, aliases, tags, depth
    (BOMB, r"line 1: anchors \(&\) and aliases \(\*\) are not allowed"),
    ("seed-list: &a [1, 2]\n", r"line 1: anchors \(&\) and aliases \(\*\) are not allowed"),
    ("name: x\nseeds: *a\n", r"line 2: anchors \(&\) and aliases \(\*\) are not allowed"),
    ("&a seeds: 3", r"line 1: anchors \(&\) and aliases"),
    ("optimizers: &a [*a]", r"line 1: anchors \(&\) and aliases"),
    ("seeds: !!int 3", r"line 1: tags are not allowed, got 'tag:yaml\.org,2002:int'"),
    ("name: !!python/object/apply:os.getcwd []", r"line 1: tags are not allowed, got 'tag:yaml"),
    ("!x {seeds: 3}", r"line 1: tags are not allowed, got '!x'"),
    ("seed-list: " + "[" * 100_000, r"line 1: lists and mappings are nested more than 10 deep"),
    ("- " * 100_000 + "x", r"line 1: lists and mappings are nested more than 10 deep"),
    ("{a: " * 100_000, r"line 1: lists and mappings are nested more than 10 deep"),
    ("seed-list:" + "\n- 1" * 40_000, r"line 29999: a spec file may hold at most 30,000 values"),
    ("<<: {seeds: 3}", r"line 1: unknown option '<<'"),
    # keys
    ("batch_size: 3", r"line 1: unknown option 'batch_size': did you mean batch-size\?"),
    ("name: x\nseed: 3", r"line 2: unknown option 'seed': did you mean seeds"),
    ("--seeds: 3", r"unknown option '--seeds': did you mean seeds"),
    ("frobnicate: 3", r"unknown option 'frobnicate': choose from seeds, seed-list, max-seeds"),
    ("~: 3", r"unknown option '~'"),
    ("[seeds]: 3", r"line 1: an option must be a name, got a list"),
    ("? {a: b}\n: 3", r"line 1: an option must be a name, got a mapping"),
    ("seeds: 3\nname: x\nseeds: 4", r"line 3: seeds is given in line 1 already"),
    ("quiet: true\nquiet: true", r"line 2: quiet is given in line 1 already"),
    ("config: x.yaml", r"line 1: config can be given on the command line only"),
    ("dry-run: true", r"line 1: dry-run can be given on the command line only"),
    ("force: true", r"line 1: force can be given on the command line only"),
    ("help: true", r"line 1: unknown option 'help'"),
    ("command: list", r"line 1: unknown option 'command'"),
    # values
    ("seeds:", r"line 1: seeds: must be a number or text, got nothing"),
    ("name: x\nseeds: null", r"line 2: seeds: must be a number or text, got nothing"),
    ("name: ~", r"line 1: name: must be a number or text, got nothing"),
    ("seeds: [3]", r"line 1: seeds: must be a number or text, got a list"),
    ("seeds: {a: 3}", r"line 1: seeds: must be a number or text, got a mapping"),
    ("optimizers: {a: 3}", r"optimizers: must be a number or text or a list of these, got a map"),
    (
        "optimizers: [sgd, [adam]]",
        r"optimizers: must be a number or text or a list of these, got a l",
    ),
    ("optimizers: [sgd, null]", r"optimizers: must be .*, got nothing"),
    ("optimizers: []", r"line 1: optimizers: must hold at least one element, got none"),
    ("optimizers:\n- sgd\n- ''", r"line 3: optimizers: an optimizer is written name or .*, got ''"),
    ('optimizers: ["adam[lr=1", "eps=1]"]', r"optimizers: an optimizer is .*, got 'adam\[lr=1'"),
    ("optimizers:" + "\n- sgd" * 10_001, r"line 10002: optimizers: must hold at most 10000 elem"),
    (f"network: {'x' * 130_001}", r"network: must have at most 130,000 characters, got 130,001"),
    ("seed-list: [1, 3-2]", r"line 1: seed-list: a range of seeds must ascend, got '3-2'"),
    ("quiet: yes", r"line 1: quiet: must be true or false, got 'yes'"),
    ("quiet: 'true'", r"line 1: quiet: must be true or false, got 'true'"),
    ("quiet:", r"line 1: quiet: must be true or false, got nothing"),
    ("no-report: [true]", r"line 1: no-report: must be true or false, got a list"),
    ('name: "a\\0b"', r"line 1: name: must be text, got 'a\\x00b'"),
    ('name: "\\ud800"', r"line 1: name: must be text, got '\\ud800'"),
    ("name: --", r"line 1: name: must be text, got '--'"),
    # what the options themselves refuse
    ("name: x\nseeds: 0", r"^sweep\.yaml, line 2: seeds: must be at least 1 and .*, got 0$"),
    ("seeds: 1:30", r"line 1: seeds: must be a whole number, got '1:30'"),
    ("seeds: 3.0", r"line 1: seeds: must be a whole number, got '3\.0'"),
    ("gpus: 1.5", r"line 1: gpus: must be numbers of GPUs such as 0,1, got '1\.5'"),
    ("gpus: [0, 0]", r"line 1: gpus: every GPU may be given once, got '0,0'"),
    ("seeds: true", r"line 1: seeds: must be a whole number, got 'true'"),
    ("seed-list: 3-1", r"line 1: seed-list: a range of seeds must ascend, got '3-1'"),
    ("optimizers: adam[lr]", r"line 1: optimizers: hyperparameters are written key=value"),
    ("preset: mine", r"line 1: preset: invalid choice: 'mine' \(choose from"),
    ("alpha: 1.5", r"line 1: alpha: must be a number between 0 and 1 \(exclusive\), got '1\.5'"),
    ("alpha: .nan", r"line 1: alpha: must be a number between 0 and 1 \(exclusive\), got '\.nan'"),
    ("n-jobs: 0", r"line 1: n-jobs: must be at least 1 and at most 1024, or -1"),
    ("device: tpu", r"line 1: device: invalid choice: 'tpu'"),
    ("dataset: minst", r"line 1: dataset: unknown dataset 'minst': did you mean"),
    ("name: ../../etc", r"line 1: name: a sweep's name must be"),
    ("timeout: -1", r"line 1: timeout: must be a positive number, got '-1'"),
    ("timeout: 1e10", r"line 1: timeout: must be at most 1,000,000,000 seconds, got '1e10'"),
]


@pytest.mark.parametrize(("content", "message"), WRONG)
def test_a_wrong_file_is_refused_by_name_and_line(
    sweep: Sweep, content: str | bytes, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        sweep(content)
    assert str(caught.value).startswith("sweep.yaml")
    assert "\n" not in str(caught.value)
    assert os.listdir() == ["sweep.yaml"]


#: Settings that are wrong together, and what is wrong on the command line beside a right file.
TOGETHER = [
    ("optimizers: adma", "", r"unknown optimizer 'adma': .* \(with the options of sweep\.yaml\)$"),
    ("seed-list: [1, 1]", "", r"every seed may be given once, got 1 twice \(with the options of"),
    (
        "batch-size: 60001",
        "",
        r"--batch-size must be at most 60000, .* \(with the options of sweep",
    ),
    ("seeds: 3", "--alpha 7", "argument --alpha: must be a number between 0 and 1"),
    ("seeds: 0", "--seeds 3 --seed-list 1", "not allowed with argument --seeds"),
    ("seeds: 0", "--frobnicate", "unrecognized arguments: --frobnicate"),
]


@pytest.mark.parametrize(("content", "words", "message"), TOGETHER)
def test_bad_usage_with_a_file_is_one_line_and_exit_2(
    content: str,
    words: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sweep.yaml").write_text(content)
    assert cli.main(["sweep", "--config", "sweep.yaml", *words.split()]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert re.search(message, captured.err)
    assert os.listdir() == ["sweep.yaml"]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("gone.yaml", "cannot read the spec file gone.yaml: No such file or directory"),
        ("file/x.yaml", "cannot read the spec file file/x.yaml: Not a directory"),
        (".", r"cannot read the spec file \.: it is not a regular file"),
        ("pipe", "cannot read the spec file pipe: it is not a regular file"),
        ("x" * 300, "cannot read the spec file x+: File name too long"),
        ("-", "argument --config: must be a file's path, got '-'"),
        ("", "argument --config: must be a file's path, got nothing"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(
    file: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    os.mkfifo("pipe")
    with pytest.raises(UsageError, match=message):
        parse_words(["sweep", "--config", file])


def test_the_documented_spec_file_is_accepted(sweep: Sweep) -> None:
    page = (Path(cli.__file__).parents[2] / "docs" / "options.md").read_text()
    (content,) = re.findall(r"^    # sweep\.yaml\n(?:    .+\n)+", page, re.M)
    arguments = sweep(textwrap.dedent(content))
    assert [o.text for o in arguments.optimizers] == ["sgd", "adam[lr=0.003]"]
    assert (arguments.seeds, arguments.alpha, arguments.quiet) == (20, 0.01, True)


def test_a_word_that_looks_like_the_command_is_none(sweep: Sweep) -> None:
    assert sweep("seeds: 3", "--name", "sweep").name == "sweep"


def declared(*words: str) -> SweepSpec:
    return make_spec(make_parser().parse_args(["sweep", *words]))


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--seeds", "20", "--looks", "any", "--budget", "iterations"],
        ["--seed-list", "3,5-7", "--optimizers", "adam[betas=(0.9,0.99)],sgd", "--name", "mine"],
        ["--epochs", "2", "--alpha", "1e-7", "--network", "mlp[hidden=8x8]", "--preset", "all"],
        ["--optimizers", "adam[lr=0.003],sgd[batch_size=50]", "--dataset", "digits"],
    ],
)
def test_the_stored_file_declares_the_same_sweep(sweep: Sweep, words: Sequence[str]) -> None:
    spec = declared(*words)
    arguments = sweep(options_text(spec, ExecutionOptions(device="cpu")))
    assert make_spec(arguments) == spec
    assert (arguments.device, arguments.n_jobs) == ("cpu", -1)


def test_any_text_can_be_stored(sweep: Sweep) -> None:
    """Names of users' own files may hold anything; YAML escapes in another way than JSON."""
    text = "é\x7f\x85\u2028\ufeff🙂\U000e0001\"'\\ \t\n: #{[*&!%@`"
    spec = declared("--optimizers", "sgd,adam")
    odd = replace(spec.workload, network=text)
    content = options_text(replace(spec, workload=odd), ExecutionOptions(device="cpu"))
    with pytest.raises(
        UsageError, match="line 9: network: a user-defined network is written"
    ) as caught:
        sweep(content)
    assert repr(text) in str(caught.value)


def test_what_is_stored_says_it_all() -> None:
    spec = replace(
        declared("--seeds", "3"),
        optimizers=(OptimizerSpec(name="sgd", algorithm="x", hyperparameters=()),),
    )
    lines = options_text(spec, ExecutionOptions(device="cuda")).splitlines()
    assert lines[0] == HEADER
    assert lines[2:6] == ["seeds: 3", 'name: "mnist"', "optimizers:", '  - "sgd"']
    options = [line.partition(":")[0] for line in lines[2:] if not line.startswith(" ")]
    assert options == list(declared_settings(spec, ExecutionOptions(device="cuda")))
    assert {"alpha: 0.05", "looks: 1", 'device: "cuda"', "iterations: 3000"} <= set(lines)


TINY = "iterations: 20\noptimizers: [sgd, adam]\nseeds: 2\nn-jobs: 1\nname: tiny\n"


@pytest.mark.slow
def test_a_sweep_can_be_done_again_from_what_it_leaves(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def said(*words: str) -> str:
        assert cli.main(["sweep", *words]) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out

    Path("mine.yaml").write_text(TINY)
    assert said("--config", "mine.yaml", "--quiet", "--no-report") == ""
    store = Store(Path("results/tiny"))
    left, rows = store.options_file.read_text(), store.rows_file.stat().st_mtime_ns
    assert "n-jobs" not in left

    store.options_file.unlink()  # as in a sweep of an earlier version
    assert said("--config", "mine.yaml", "--quiet", "--no-report") == ""
    assert store.options_file.read_text() == left

    own = ("--config", "results/tiny/sweep.yaml", "--no-report")
    assert "runs:   4, of which 4 are done" in said(*own, "--dry-run")
    assert said(*own, "--quiet") == ""
    assert store.options_file.read_text() == left
    assert store.rows_file.stat().st_mtime_ns == rows
    assert len(json.loads(store.spec_file.read_text())["seeds"]) == 2

    assert "6 runs, 4 done already" in said(*own, "--seeds", "3", "--in-process")
    assert "seeds: 3" in store.options_file.read_text().splitlines()


@pytest.mark.parametrize("words", ["--config results/tiny/sweep.yaml", "--name tiny --seeds 2"])
def test_a_file_of_one_s_own_is_not_replaced(
    words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("results/tiny/sweep.yaml")
    file.parent.mkdir(parents=True)
    file.write_text(TINY)
    assert cli.main(["sweep", *words.split()]) == 2
    assert "results/tiny/sweep.yaml is where the sweep stores" in capsys.readouterr().err
    assert sorted(os.listdir()) == ["results"]
    assert os.listdir(file.parent) == ["sweep.yaml"]
    assert file.read_text() == TINY


@pytest.mark.parametrize(
    ("content", "words"), [("dataset: mine", []), ("seeds: 3", ["--dataset", "mine"])]
)
def test_a_value_is_converted_once(
    content: str, words: Sequence[str], sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted: list[str] = []

    def resolve(text: str) -> tuple[str, ...]:
        converted.append(text)
        return (text,)

    monkeypatch.setattr("bench.cli.sweep.resolve_datasets", resolve)
    assert sweep(content, *words).dataset == ("mine",)
    assert converted.count("mine") == 1
