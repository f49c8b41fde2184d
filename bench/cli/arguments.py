"""Every option of every command."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from bench import __version__
from bench.cli.converters import (
    MAX_COUNT,
    checked,
    file_or_stdout,
    file_path,
    fraction,
    number_of_jobs,
    number_of_looks,
    positive,
    up_to,
)
from bench.datasets.cache import DATA_DIR_VARIABLE
from bench.datasets.names import resolve_datasets
from bench.errors import UsageError
from bench.networks.names import resolve_network
from bench.optimizers.catalogue import DEFAULT_OPTIMIZERS
from bench.optimizers.variants import PRESETS
from bench.spec.expressions import MAX_SEEDS, parse_optimizers, parse_seeds
from bench.spec.model import BUDGETS, EPOCHS, Declaration, Workload, check_sweep_name
from bench.spec.options import DEVICES, MAX_JOBS_PER_GPU, parse_gpus
from bench.sweeps.reproduce import ANY_NUMBER, DEFAULT_SEEDS

#: Options of the sweep command of which one may be given.
ALTERNATIVES = (("seeds", "seed-list"), ("optimizers", "preset"), ("epochs", "iterations"))

_WORKLOAD_OPTIONS = {
    "iterations": "updates per run",
    "batch_size": "images per update",
    "eval_every": "updates between evaluations",
}
_DECLARATION_OPTIONS = {
    "alpha": "family-wise error rate",
    "margin": "difference in accuracy that does not matter",
    "target": "accuracy that counts as having learned the task",
}
#: What a report can be, with the ending of its file.
REPORT_FORMATS = {"html": ".html", "json": ".json", "markdown": ".md", "csv": ".csv"}

_SWEEP_EXAMPLES = """\
examples:
  python scripts/sweep.py --seeds 20              the tutorial's eight optimizers, every core
  python scripts/sweep.py --seeds 40              later: 20 more seeds; what is done is kept
  python scripts/sweep.py --optimizers 'sgd,adam,adam[lr=0.003]'
                                                  three variants, one with its own learning rate
  python scripts/sweep.py --seeds 5 --iterations 600
                                                  a quick look, stored as a sweep of its own
  python scripts/sweep.py --seeds 20 --dry-run    what would run, and how long it would take
  python scripts/sweep.py --config sweep.yaml     options from a file
"""


_ANALYZE_COLUMNS = {
    "treatment": ("optimizer", "what is compared"),
    "block": ("seed", "what pairs the runs"),
    "value": ("test_accuracy", "the result of a run"),
}
#: What a result that is nan or inf can be read as, the default first.
NAN_READINGS = ("diverged", "missing")
_ANALYZE_EXAMPLES = """\
examples:
  python scripts/analyze.py results/mnist                     a sweep, as it was declared
  python scripts/analyze.py mine.csv --value accuracy         columns optimizer, seed, accuracy
  python scripts/analyze.py a.csv b.parquet --treatment model --block fold --value rmse \\
      --direction lower --margin 0.01 --html mine.html --json mine.json
"""
_COMPARE_EXAMPLES = """\
examples:
  python scripts/compare.py results/mnist results/mnist-new-torch
                                                  did the upgrade change results or speed?
  python scripts/compare.py before after --fail-if-changed --markdown comment.md
                                                  in CI: exit code 1 unless shown to be unchanged
"""


_REPORT_EXAMPLES = """\
examples:
  python scripts/report.py results/mnist --open               the page, in your browser
  python scripts/report.py results/mnist --format markdown --output -
                                                              for a pull request
  python scripts/report.py results/mnist --latex table.tex    for a paper
  python scripts/report.py results/mnist --check reports/mnist.html
                                                              are its numbers those of the rows?
"""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, raised like every other error of this package."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (try {self.prog} --help)")


def make_parser() -> Parser:
    """The parser of all commands."""
    parser = Parser(
        prog="optimizer-bench",
        description="Compare PyTorch optimizers over many seeds, with statistics that hold.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_sweep(commands)
    _add_list(commands)
    _add_report(commands)
    _add_analyze(commands)
    _add_compare(commands)
    _add_benchmark(commands)
    return parser


def make_sweep_parser() -> Parser:
    """The parser of what follows ``sweep``; it raises argparse's errors, which name the option."""
    parser = Parser(prog="optimizer-bench sweep", exit_on_error=False)
    _add_sweep_options(parser)
    return parser


def given_options(words: Sequence[str]) -> frozenset[str]:
    """The options, without dashes, that these words after ``sweep`` give themselves."""
    parser, nothing = make_sweep_parser(), object()
    parser.set_defaults(**dict.fromkeys(vars(parser.parse_args([])), nothing))
    given = vars(parser.parse_args(words))
    return frozenset(k.replace("_", "-") for k, value in given.items() if value is not nothing)


def analyze_command(arguments: argparse.Namespace) -> str:
    """The shortest command line that asks this question of these files again."""
    words = ["python", "scripts/analyze.py", *map(str, arguments.files)]
    for name in ("treatment", "block", "value", "direction", "alpha", "margin", "target"):
        value = getattr(arguments, name)
        if value is not None and value != _ANALYZE_COLUMNS.get(name, ("", ""))[0]:
            words += [f"--{name}", str(value)]
    if arguments.nan != NAN_READINGS[0]:
        words += ["--nan", arguments.nan]
    return shlex.join([*words, *_ignoring(arguments)])


def _ignoring(arguments: argparse.Namespace) -> list[str]:
    return [word for column in arguments.ignore_column for word in ("--ignore-column", column)]


def compare_command(arguments: argparse.Namespace) -> str:
    """The shortest command line that compares these two sweeps again."""
    words = ["python", "scripts/compare.py", str(arguments.before), str(arguments.after)]
    for name in ("alpha", "margin"):
        if (value := getattr(arguments, name)) is not None:
            words += [f"--{name}", str(value)]
    return shlex.join([*words, *_ignoring(arguments)])


def _add_sweep(commands: Any) -> None:
    parser = commands.add_parser(
        "sweep",
        help="train every optimizer with every seed, then compare them",
        description="Train every optimizer with every seed, test which differ, write a report. "
        "Runs that are stored already are not done again.",
        epilog=_SWEEP_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_sweep_options(parser)


def _add_sweep_options(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to compare")
    seeds = what.add_mutually_exclusive_group()
    seeds.add_argument(
        "--seeds",
        type=up_to(MAX_SEEDS),
        default=DEFAULT_SEEDS,
        metavar="N",
        help=f"seeds 0 to N-1 (default {DEFAULT_SEEDS})",
    )
    seeds.add_argument(
        "--seed-list", type=checked(parse_seeds), metavar="LIST", help="such as 0-9,15"
    )
    variants = what.add_mutually_exclusive_group()
    variants.add_argument(
        "--optimizers",
        type=checked(parse_optimizers),
        default=",".join(DEFAULT_OPTIMIZERS),
        metavar="LIST",
        help="names, each with any of its arguments, batch_size, or a schedule of the learning "
        "rate in brackets, such as sgd,adam[lr=0.003,schedule=cosine]; or your own: "
        "mypkg.mymodule:MyOptimizer[lr=0.01] (default: the tutorial's eight; scripts/list.py shows "
        "all)",
    )
    variants.add_argument(
        "--preset",
        choices=PRESETS,
        help="source: the tutorial's eight; regimes: gradient descent with all images, with one, "
        "and with a mini-batch for each update; all: both",
    )

    training = parser.add_argument_group("the workload")
    length = training.add_mutually_exclusive_group()
    length.add_argument(
        "--epochs",
        type=up_to(MAX_COUNT),
        metavar="N",
        help="passes through the training images per run, instead of --iterations",
    )
    for name, text in _WORKLOAD_OPTIONS.items():
        default = getattr(Workload, name)
        group = length if name == "iterations" else training
        group.add_argument(
            f"--{name.replace('_', '-')}",
            type=up_to(MAX_COUNT),
            default=default,
            metavar="N",
            help=f"{text} (default {default})",
        )

    training.add_argument(
        "--dataset",
        type=checked(resolve_datasets),
        default=Workload.dataset,
        help="mnist, fashion-mnist, kmnist, qmnist, emnist-digits, usps (downloaded at first use), "
        "digits (of scikit-learn), or your own: a file.npz with x_train, y_train, x_test and "
        "y_test, or mypkg.mymodule:load_data, a function that returns these; several, separated by "
        "commas, are a sweep each and a comparison over them (default: mnist)",
    )
    training.add_argument(
        "--network",
        type=checked(resolve_network),
        default=Workload.network,
        help="mlp (one hidden layer of 100), mlp[hidden=128x64], logistic, lenet, or your own: "
        "mypkg.mymodule:make_net, a function that returns an nn.Module (default: mlp)",
    )
    training.add_argument(
        "--budget",
        choices=BUDGETS,
        default=EPOCHS,
        help="what optimizers with a batch size of their own have in common with the others: as "
        "many images (epochs, default), or as many updates (iterations)",
    )

    judging = parser.add_argument_group("how it will be judged, declared before the runs")
    for name, text in _DECLARATION_OPTIONS.items():
        default = getattr(Declaration, name)
        judging.add_argument(
            f"--{name}",
            type=fraction,
            default=default,
            metavar="X",
            help=f"{text}, a fraction (default {default})",
        )

    judging.add_argument(
        "--looks",
        type=number_of_looks,
        default=Declaration.looks,
        metavar="N",
        help="how many times you will judge while you add seeds: each look has alpha/N; "
        f"'{ANY_NUMBER}': ever smaller shares (default {Declaration.looks}: the seeds are fixed)",
    )

    machine = parser.add_argument_group("the machine")
    machine.add_argument(
        "-j",
        "--n-jobs",
        type=number_of_jobs,
        default=-1,
        metavar="N",
        help="workers side by side; -1: every core this process may use (default), on GPUs as many "
        "as --jobs-per-gpu says",
    )
    machine.add_argument(
        "--device",
        choices=DEVICES,
        default="auto",
        help="auto takes GPUs where there are any (default)",
    )
    machine.add_argument(
        "--stack",
        type=up_to(MAX_SEEDS),
        metavar="N",
        help="train up to N seeds of an optimizer as one stack (default: 1 on the processor; on a "
        "GPU all, if its memory holds them)",
    )
    machine.add_argument(
        "--gpus",
        type=checked(parse_gpus),
        metavar="LIST",
        help="GPUs of CUDA to use, such as 0,1 (default: all)",
    )
    machine.add_argument(
        "--jobs-per-gpu",
        type=up_to(MAX_JOBS_PER_GPU),
        metavar="N",
        help="stacks that a GPU trains at a time (default: 2 if its memory holds them, else 1)",
    )
    machine.add_argument(
        "--tf32",
        action="store_true",
        help="let a GPU round the factors of products to ten bits: faster, less exact",
    )
    machine.add_argument(
        "--mix-devices",
        action="store_true",
        help="let runs of different devices be in one sweep; its report says so",
    )

    machine.add_argument(
        "--timeout",
        type=positive,
        metavar="SECONDS",
        help="a run that takes longer is recorded as failed (default: none)",
    )

    files = parser.add_argument_group("files")
    files.add_argument(
        "--config",
        type=file_path,
        metavar="FILE",
        help="a YAML or JSON file that gives options by their names, such as seeds: 20; what the "
        "command line gives wins. Every sweep leaves its own: DIR/NAME/sweep.yaml",
    )
    files.add_argument(
        "--name",
        type=checked(check_sweep_name),
        help="name of the sweep (default: the dataset and what differs from the default workload)",
    )
    _add_directory(files, "--results", "results", "rows are stored in DIR/NAME/")
    _add_directory(files, "--reports", "reports", "the report is DIR/NAME.html")
    files.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help=f"cache of the unpacked dataset (default: ${DATA_DIR_VARIABLE} or the user's cache)",
    )

    mode = parser.add_argument_group("what to do")
    mode.add_argument(
        "--dry-run",
        action="store_true",
        help="list the runs, the time they would take, and the seeds that the tests need",
    )
    mode.add_argument("--force", action="store_true", help="do stored runs again")
    mode.add_argument("--no-report", action="store_true", help="do not write the HTML report")
    mode.add_argument(
        "-q", "--quiet", action="store_true", help="print only errors and the report's path"
    )


def _add_list(commands: Any) -> None:
    parser = commands.add_parser(
        "list",
        help="show the optimizers and schedules that have a name here",
        description="Show every optimizer that has a name here: its update rule, its paper, its "
        "hyperparameters with their defaults, and whether it acts elementwise; then every "
        "schedule of the learning rate.",
    )
    parser.add_argument("--json", action="store_true", help="print the same as JSON")


def _add_report(commands: Any) -> None:
    parser = commands.add_parser(
        "report",
        help="make the report again from stored rows, or check one",
        description="Make the report of a sweep again from its stored rows, in any of its formats, "
        "or check that a report says what the rows give.",
        epilog=_REPORT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_rows(parser)
    report = parser.add_argument_group("the report")
    report.add_argument(
        "--format",
        choices=tuple(REPORT_FORMATS),
        help="html: the page (default); json: the comparison; markdown: verdict and tables; "
        "csv: all rows",
    )
    report.add_argument(
        "--output",
        type=file_or_stdout,
        metavar="FILE",
        help="the report (default: reports/NAME with the format's ending; '-': print it)",
    )
    report.add_argument("--open", action="store_true", help="open the HTML report in your browser")
    more = parser.add_argument_group("further files")
    more.add_argument(
        "--latex",
        type=file_path,
        metavar="FILE",
        help="also write the leaderboard as a LaTeX table (booktabs)",
    )
    more.add_argument(
        "--rows", type=file_path, metavar="FILE", help="also write all rows into one parquet file"
    )
    checking = parser.add_argument_group("checking, with no other option")
    checking.add_argument(
        "--check",
        type=file_path,
        metavar="REPORT",
        help="recompute every number of this HTML report from the rows; exit code 1 where one "
        "differs, and nothing is written",
    )


def _add_analyze(commands: Any) -> None:
    parser = commands.add_parser(
        "analyze",
        help="compare the optimizers of any table of results",
        description="Compare optimizers, or any treatments, of a sweep or of anybody's table: "
        "one row per run, with a column that names the treatment, one that pairs the runs, and one "
        "with the result.",
        epilog=_ANALYZE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="a sweep's directory such as results/mnist, or CSV, TSV or parquet files, or "
        "directories of such files",
    )
    columns = parser.add_argument_group("columns")
    for name, (default, text) in _ANALYZE_COLUMNS.items():
        columns.add_argument(
            f"--{name}", default=default, metavar="COLUMN", help=f"{text} (default: {default})"
        )
    _add_ignored(columns, "leave out a column that means something else, such as status")
    columns.add_argument(
        "--nan",
        choices=NAN_READINGS,
        default=NAN_READINGS[0],
        help="what a result that is nan or inf says of its run: it diverged, and ranks worst "
        "(default), or it has no result; an empty cell, NA, N/A, null or None is no result",
    )
    judging = parser.add_argument_group("judging")
    judging.add_argument(
        "--direction",
        choices=("higher", "lower"),
        help="which values are better; known for accuracies, losses and seconds",
    )
    judging.add_argument(
        "--alpha",
        type=fraction,
        metavar="X",
        help="family-wise error rate (default: as declared, else 0.05)",
    )
    judging.add_argument(
        "--margin",
        type=positive,
        metavar="X",
        help="difference that does not matter, in the unit of the value (default: as declared, "
        "else 0.2 percentage points of an accuracy, else none)",
    )
    judging.add_argument(
        "--target",
        type=fraction,
        metavar="X",
        help="accuracy whose first reaching is compared, where the table has evaluations "
        "(default: as declared, else 0.95)",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--json",
        type=file_or_stdout,
        metavar="FILE",
        help="write the comparison as JSON ('-': print it)",
    )
    output.add_argument("--html", type=file_or_stdout, metavar="FILE", help="write the HTML report")


def _add_compare(commands: Any) -> None:
    parser = commands.add_parser(
        "compare",
        help="set two sweeps against each other: did an upgrade change anything?",
        description="Compare every optimizer that two sweeps have with itself: final test "
        "accuracy, paired by seed where a seed fixes the same in both, and training time. Neither "
        "sweep is changed, and no look at it is recorded.",
        epilog=_COMPARE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name in ("before", "after"):
        parser.add_argument(
            name,
            type=Path,
            metavar=name.upper(),
            help="a sweep's directory such as results/mnist, or a parquet file of rows",
        )
    _add_ignored(parser, "leave out a column that may differ, such as git_commit")
    judging = parser.add_argument_group("judging")
    judging.add_argument(
        "--alpha",
        type=fraction,
        metavar="X",
        help="family-wise error rate over all optimizers (default: what BEFORE declared)",
    )
    judging.add_argument(
        "--margin",
        type=fraction,
        metavar="X",
        help="difference in accuracy that does not matter, a fraction (default: what BEFORE "
        "declared)",
    )
    judging.add_argument(
        "--fail-if-changed",
        action="store_true",
        help="end with exit code 1 unless every optimizer is identical or equivalent (or all of "
        "its runs ended alike) and no run fails that did not before; times do not count",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--json",
        type=file_or_stdout,
        metavar="FILE",
        help="write the comparison as JSON ('-': print it)",
    )
    output.add_argument(
        "--html", type=file_or_stdout, metavar="FILE", help="write the comparison as a page"
    )
    output.add_argument(
        "--markdown",
        type=file_or_stdout,
        metavar="FILE",
        help="write a comment for a pull request ('-': print it)",
    )


def _add_benchmark(commands: Any) -> None:
    parser = commands.add_parser(
        "benchmark",
        help="measure how fast this program is on this machine",
        description="Measure, in one run on this machine, how this program compares with the "
        "tutorial's plain script and with the least time that the arithmetic needs.",
    )
    parser.add_argument(
        "--repeats",
        type=up_to(MAX_COUNT),
        default=3,
        metavar="N",
        help="of each timing (default 3)",
    )
    parser.add_argument(
        "--full", action="store_true", help="also time the default sweep of 160 runs"
    )
    parser.add_argument(
        "--device",
        choices=DEVICES,
        default="cpu",
        help="measure stacks of runs on a GPU instead (default: cpu)",
    )
    parser.add_argument(
        "--json", type=file_or_stdout, metavar="FILE", help="also write the figures as JSON"
    )


def _add_rows(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "results",
        type=Path,
        metavar="RESULTS",
        help="a sweep's directory such as results/mnist, or a parquet file of rows",
    )


def _add_ignored(group: Any, text: str) -> None:
    group.add_argument(
        "--ignore-column",
        action="append",
        default=[],
        metavar="COLUMN",
        help=f"{text}; can be given several times",
    )


def _add_directory(group: Any, option: str, default: str, text: str) -> None:
    group.add_argument(
        option,
        type=Path,
        default=Path(default),
        metavar="DIR",
        help=f"{text} (default: {default})",
    )
