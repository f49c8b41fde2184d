"""``optimizer-bench sweep``: train missing runs, compare the optimizers, write the report."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, _ActionsContainer
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.cli.converters import (
    MAX_COUNT,
    checked,
    file_path,
    fraction,
    looks_option,
    results_directory,
    up_to,
    win_threshold,
)
from bench.cli.machine import add_machine
from bench.cli.margins import accuracy_margin
from bench.cli.options import CORRECTION_HELP, Command, add_diagrams
from bench.cli.until_decided import add_until_decided, declared_looks
from bench.datasets.names import DATA_DIR_VARIABLE, resolve_datasets, short_name
from bench.errors import SpecError
from bench.execution import fork_server
from bench.networks.names import resolve_network
from bench.optimizers.catalogue import DEFAULT_OPTIMIZERS
from bench.optimizers.variants import PRESETS
from bench.spec.expressions import MAX_SEEDS, OptimizerExpression, parse_optimizers, parse_seeds
from bench.spec.model import (
    BUDGETS,
    CORRECTIONS,
    EPOCHS,
    Declaration,
    SweepSpec,
    Workload,
    check_sweep_name,
)
from bench.spec.ranges import METRICS
from bench.spec.resampling import parse_resampling
from bench.sweeps.reproduce import (
    ANY_NUMBER,
    AUTO_LOOKS,
    DEFAULT_SEEDS,
    NO_TEST,
    program,
)
from bench.tuning.plan import FIXED, MAX_TRIALS, PER_SEED, TuningProtocol
from bench.tuning.space import LEARNING_RATE, parse_spaces

#: Pairs of options that exclude each other.
ALTERNATIVES = (
    *(("seeds", "seed-list"), ("seeds", "max-seeds"), ("seed-list", "max-seeds")),
    *(("optimizers", "preset"), ("epochs", "iterations")),
)

#: Options of a tuning, with their defaults.
_TUNING: Mapping[str, Any] = {
    "tune_trials": TuningProtocol.trials,
    "tune_seeds": TuningProtocol.seeds,
    "tune_repeats": TuningProtocol.repeats,
    "tune_over": LEARNING_RATE,
    "tune_for": TuningProtocol.metric,
    "tune_extend": TuningProtocol.extend,
    "validation": TuningProtocol.validation,
    "space": None,
}

_EXAMPLES = (
    ("--seeds 20", "the tutorial's eight optimizers, all cores"),
    ("--seeds 40", "later: 20 more seeds; stored runs are kept"),
    (
        "--optimizers 'sgd,adam,adam[lr=0.003]'",
        "three variants, one with its own learning rate",
    ),
    ("--seeds 5 --iterations 600", "a short run, stored as a separate sweep"),
    ("--seeds 20 --dry-run", "estimate the time of the runs, and train nothing"),
    ("--config sweep.yaml", "read options from a file"),
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of a sweep."""
    what = parser.add_argument_group("what to compare")
    _add_seeds(what)
    _add_variants(what)
    workload = parser.add_argument_group("the workload")
    _add_lengths(workload)
    _add_task(workload)
    _add_resampling(workload)
    _add_tuning(parser.add_argument_group("tuning"))
    _add_declaration(parser.add_argument_group("how it will be judged, declared before the runs"))
    add_machine(parser.add_argument_group("the machine"))
    _add_files(parser.add_argument_group("files"))
    _add_mode(parser.add_argument_group("what to do"))


def run(arguments: Namespace) -> int:
    """Run the sweeps; return 1 if any run failed."""
    _refuse_unused_tuning(arguments)
    if arguments.shard is not None and (arguments.tune or arguments.until_decided):
        other = "--tune" if arguments.tune else "--until-decided"
        raise SpecError(f"--shard cannot be given with {other}")
    is_in_workers = not (arguments.dry_run or arguments.in_process or arguments.scheduler)
    if is_in_workers and arguments.device in ("auto", "cpu"):
        fork_server.try_to_start()  # it imports torch while this process prepares the sweep
    if arguments.tune:
        from bench.cli.tuning import execute_tuned

        return execute_tuned(arguments)
    from bench.cli.execute import execute

    return execute(arguments)


def _refuse_unused_tuning(arguments: Namespace) -> None:
    """Raise SpecError if an option of a tuning is given without ``--tune``."""
    if arguments.tune:
        return
    for name, default in _TUNING.items():
        if getattr(arguments, name) != default:
            raise SpecError(f"--{name.replace('_', '-')} needs --tune")


def make_spec(arguments: Namespace, dataset: str | None = None) -> SweepSpec:
    """The sweep on `dataset`, by default the first given; raise SpecError if it is not allowed."""
    from bench.sweeps.specify import build_spec

    dataset, expressions = dataset or arguments.dataset[0], _given_expressions(arguments)
    stages = declared_looks(arguments, len(expressions))
    n_seeds = stages[-1] if stages else arguments.seeds or DEFAULT_SEEDS
    return build_spec(
        expressions=expressions,
        seeds=arguments.seed_list or tuple(range(n_seeds)),
        dataset=dataset,
        network=arguments.network,
        batch_size=arguments.batch_size,
        iterations=arguments.iterations if arguments.epochs is None else None,
        epochs=arguments.epochs,
        eval_every=arguments.eval_every,
        resample_train=arguments.resample_train,
        budget=arguments.budget,
        name=_name_on(dataset, arguments),
        declaration=Declaration(
            alpha=arguments.alpha,
            margin=arguments.margin,
            target=arguments.target,
            looks=Declaration.looks if stages else arguments.looks,
            win_threshold=arguments.win_threshold,
            correction=arguments.correction,
            until_decided=stages,
        ),
        data_dir=arguments.data_dir,
    )


def _given_expressions(arguments: Namespace) -> tuple[OptimizerExpression, ...]:
    """The optimizers that the arguments name."""
    if arguments.preset is not None:
        return parse_optimizers(",".join(PRESETS[arguments.preset]))
    return arguments.optimizers  # type: ignore[no-any-return]


def _name_on(dataset: str, arguments: Namespace) -> str | None:
    """The name of the sweep on one of the datasets; None for the default."""
    if arguments.name is None or len(arguments.dataset) == 1:
        return arguments.name  # type: ignore[no-any-return]
    return check_sweep_name(f"{arguments.name}-{short_name(dataset)}")


def _add_seeds(group: _ActionsContainer) -> None:
    seeds = group.add_mutually_exclusive_group()
    seeds.add_argument(
        "--seeds",
        type=up_to(MAX_SEEDS),
        metavar="N",
        help=f"seeds 0 to N-1 (default {DEFAULT_SEEDS})",
    )
    seeds.add_argument(
        "--seed-list", type=checked(parse_seeds), metavar="LIST", help="such as 0-9,15"
    )
    add_until_decided(group, seeds)


def _add_variants(group: _ActionsContainer) -> None:
    variants = group.add_mutually_exclusive_group()
    variants.add_argument(
        "--optimizers",
        type=checked(parse_optimizers),
        default=",".join(DEFAULT_OPTIMIZERS),
        metavar="LIST",
        help="names, each with optional arguments, batch_size or learning rate schedule in "
        "brackets, such as sgd,adam[lr=0.003,schedule=cosine]; or your own class: "
        "mypkg.mymodule:MyOptimizer[lr=0.01] (default: the tutorial's eight; "
        f"{program('list')} shows all)",
    )
    variants.add_argument(
        "--preset",
        choices=PRESETS,
        help="source: the tutorial's eight; regimes: gradient descent with all images, with one, "
        "and with a mini-batch for each update; all: both",
    )


def _add_lengths(group: _ActionsContainer) -> None:
    length = group.add_mutually_exclusive_group()
    length.add_argument(
        "--epochs",
        type=up_to(MAX_COUNT),
        metavar="N",
        help="passes through the training images per run, instead of --iterations",
    )
    _add_count(length, "iterations", "updates per run")
    _add_count(group, "batch_size", "images per update")
    group.add_argument(
        "--eval-every",
        type=up_to(MAX_COUNT),
        metavar="N",
        help="updates between evaluations (default: a sixth of all updates, "
        f"{Workload.eval_every} of {Workload.iterations})",
    )


def _add_count(group: _ActionsContainer, name: str, text: str) -> None:
    default = getattr(Workload, name)
    group.add_argument(
        f"--{name.replace('_', '-')}",
        type=up_to(MAX_COUNT),
        default=default,
        metavar="N",
        help=f"{text} (default {default})",
    )


def _add_task(group: _ActionsContainer) -> None:
    group.add_argument(
        "--dataset",
        type=checked(resolve_datasets),
        default=Workload.dataset,
        help="mnist, fashion-mnist, kmnist, qmnist, emnist-digits, usps (downloaded at first use), "
        "digits (of scikit-learn), or your own: a file.npz with x_train, y_train, x_test and "
        "y_test, or mypkg.mymodule:load_data, a function that returns these; several, separated by "
        "commas: one sweep for each, and a comparison over them (default: mnist)",
    )
    group.add_argument(
        "--network",
        type=checked(resolve_network),
        default=Workload.network,
        help="mlp (one hidden layer of 100), mlp[hidden=128x64], logistic, lenet, or your own: "
        "mypkg.mymodule:make_net, a function that returns an nn.Module (default: mlp)",
    )
    group.add_argument(
        "--budget",
        choices=BUDGETS,
        default=EPOCHS,
        help="what optimizers with their own batch size share with the others: the number of "
        "images (epochs, default) or the number of updates (iterations)",
    )


def _add_resampling(group: _ActionsContainer) -> None:
    group.add_argument(
        "--resample-train",
        type=checked(parse_resampling),
        default=Workload.resample_train,
        metavar="HOW",
        help="draw the training set of each seed anew from the training images, the same for all "
        "optimizers: bootstrap (as many, with replacement) or subsample=0.9 (a share, without); "
        "the tests then cover other draws from these images too (default: none, all images)",
    )


def _add_tuning(group: _ActionsContainer) -> None:
    group.add_argument(
        "--tune",
        action="store_true",
        help="also tune every optimizer with the same number of trials, on a sixth of the training "
        "images that is held out, and compare the tuned optimizers in a second sweep, NAME-tuned",
    )
    group.add_argument(
        "--tune-trials",
        type=up_to(MAX_TRIALS),
        default=TuningProtocol.trials,
        metavar="N",
        help=f"settings that are tried for each optimizer (default {TuningProtocol.trials})",
    )
    group.add_argument(
        "--tune-seeds",
        type=up_to(MAX_TRIALS),
        default=TuningProtocol.seeds,
        metavar="N",
        help="seeds of each trial, which are not used to evaluate (default "
        f"{TuningProtocol.seeds})",
    )
    group.add_argument(
        "--tune-repeats",
        type=up_to(MAX_TRIALS),
        default=TuningProtocol.repeats,
        metavar="N",
        help="repeat the whole tuning with other tuning seeds and held-out images, and divide the "
        "evaluation seeds among the repeats: the tests then cover the tuning too (default "
        f"{TuningProtocol.repeats}: the chosen settings are taken as given)",
    )
    group.add_argument(
        "--tune-over",
        default=LEARNING_RATE,
        metavar="LIST",
        help="hyperparameters to tune (default: lr, the learning rate); several, such as "
        "lr,momentum: by a scrambled Halton sequence instead of a grid",
    )
    group.add_argument(
        "--tune-for",
        choices=METRICS,
        default=TuningProtocol.metric,
        help="what the setting is selected by, on the held-out images: mean accuracy (default), "
        "loss, or number of updates to the accuracy --target",
    )
    group.add_argument(
        "--tune-extend",
        action="store_true",
        help="while the best setting of an optimizer is at an end of its range, give every "
        "optimizer a quarter more trials, beyond that end (at most three times)",
    )
    group.add_argument(
        "--validation",
        choices=(FIXED, PER_SEED),
        default=TuningProtocol.validation,
        help="whether the tuning seeds of a repeat have the same held-out images (default) or each "
        "its own",
    )
    group.add_argument(
        "--space",
        type=checked(parse_spaces),
        metavar="SPACE",
        help="ranges that replace the default ones (a hundredth to a hundred times the default "
        "learning rate), such as 'adam[lr=1e-4..1e-1],sgd[lr=0.01..1,momentum=0.5..0.99]'",
    )


def _add_declaration(group: _ActionsContainer) -> None:
    _add_fraction(group, "alpha", "family-wise error rate")
    group.add_argument(
        "--margin",
        type=accuracy_margin,
        default=Declaration.margin,
        metavar="X",
        help="largest difference in accuracy that does not matter, a fraction, or percentage "
        f"points such as 0.2pp or 0.2%% (default {Declaration.margin})",
    )
    _add_fraction(group, "target", "accuracy that counts as having learned the task")
    group.add_argument(
        "--looks",
        type=looks_option,
        default=Declaration.looks,
        metavar="N",
        help="how many times you will judge the results while you add seeds; each look is tested "
        f"at level alpha/N; '{ANY_NUMBER}': at ever smaller levels (default {Declaration.looks}: "
        "no seeds will be added); with --until-decided: the numbers of seeds at which pairs are "
        f"judged, such as 13,26,52, or {AUTO_LOOKS} (default): doubling up to --max-seeds",
    )
    group.add_argument(
        "--win-threshold",
        type=win_threshold,
        default=Declaration.win_threshold,
        metavar="X",
        help="also test which optimizers are better on more than this share of seeds, such as 0.75 "
        f"({NO_TEST!r}: no such test, default)",
    )
    group.add_argument(
        "--correction",
        choices=CORRECTIONS,
        default=Declaration.correction,
        help=f"{CORRECTION_HELP} (default {Declaration.correction})",
    )


def _add_fraction(group: _ActionsContainer, name: str, text: str) -> None:
    default = getattr(Declaration, name)
    group.add_argument(
        f"--{name}",
        type=fraction,
        default=default,
        metavar="X",
        help=f"{text}, a fraction (default {default})",
    )


def _add_files(group: _ActionsContainer) -> None:
    group.add_argument(
        "--config",
        type=file_path,
        metavar="FILE",
        help="a YAML or JSON file that gives options by their names, such as seeds: 20; options on "
        "the command line override it. Every sweep writes its own: DIR/NAME/sweep.yaml",
    )
    group.add_argument(
        "--name",
        type=checked(check_sweep_name),
        help="name of the sweep (default: the dataset and what differs from the default workload)",
    )
    group.add_argument(
        "--results",
        type=results_directory,
        default=Path("results"),
        metavar="DIR",
        help="rows are stored in DIR/NAME/ (default: results); a URI such as s3://bucket/results "
        "is a directory in object storage",
    )
    group.add_argument(
        "--reports",
        type=Path,
        default=Path("reports"),
        metavar="DIR",
        help="the report is DIR/NAME.html (default: reports)",
    )
    group.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help=f"cache of the unpacked dataset (default: ${DATA_DIR_VARIABLE} or the user's cache)",
    )


def _add_mode(group: _ActionsContainer) -> None:
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="print the number of runs, their estimated time, and the number of seeds that the "
        "tests need; train nothing",
    )
    group.add_argument("--verbose", action="store_true", help="with --dry-run: list the runs too")
    group.add_argument("--force", action="store_true", help="repeat stored runs")
    group.add_argument("--no-report", action="store_true", help="do not write the HTML report")
    add_diagrams(group)
    group.add_argument(
        "-q", "--quiet", action="store_true", help="print only errors and the report's path"
    )


COMMAND = Command(
    help="train every optimizer with every seed, then compare them",
    description="Train every optimizer with every seed, test which differ, and write a report. "
    "Stored runs are not repeated.",
    examples=_EXAMPLES,
    add_arguments=add_arguments,
    run=run,
)
