"""Stored tunings: their plan, the chosen settings, and the comparison of both tracks.

The trials are the sweep NAME-trials, the optimizers at their defaults the sweep NAME, and those at
their chosen settings the sweep NAME-tuned. Further splits of the images and further repeats of the
tuning have sweeps with numbers. ``tuning.json`` in the directory of the trials is the plan; with
repeats the directory NAME-tuned holds it too.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa

from bench.analysis import Look, SweepAnalysis, compare, compare_sweeps, describe_runs
from bench.analysis.results.tuning import TunedOptimizer, Tuning
from bench.analysis.tuning import means_by_repeat, select_settings
from bench.analysis.tuning_statistics import with_statistics
from bench.errors import MixedRunsError, SpecError, StoreError, UsageError
from bench.storage.files import require_regular
from bench.storage.mirror import pulled, write_shared
from bench.storage.remote import sweep_directory
from bench.storage.store import Store
from bench.sweeps.load import StoredSweep, add_warnings, open_sweep
from bench.sweeps.reproduce import command_line
from bench.tuning.plan import PLAN_FILE, TunedVariant, TuningPlan, holds_plan
from bench.tuning.variants import option_words
from bench.words import count

#: What the runs of a sweep are for.
Role = Literal["tuning", "default", "tuned"]
#: What completes a tuning.
_AGAIN = "give the command of the tuning again"
#: Columns of a comparison of repeats.
_COMPARED = ("optimizer", "repeat", "status", "test_accuracy")


@dataclass(frozen=True, kw_only=True)
class StoredTuning:
    """A tuning with the stored rows of its sweeps.

    Attributes
    ----------
    trials
        The sweeps of trials, one for each split.
    default, tuned
        Both tracks; the tuned one has a sweep for each repeat.
    """

    plan: TuningPlan
    trials: tuple[StoredSweep, ...]
    default: StoredSweep
    tuned: tuple[StoredSweep, ...]

    @property
    def _seeds(self) -> tuple[tuple[int, ...], ...]:
        """The evaluation seeds of each repeat."""
        return tuple(of.spec.seeds for of in self.tuned)

    @property
    def _is_repeated(self) -> bool:
        return self.plan.protocol.repeats > 1

    def command(self, start: str | None = None) -> str:
        """Return the command line that repeats all; `start` is how the program is started."""
        words = option_words(self.plan, self.default.spec.optimizers)
        sweep = command_line(self.default.spec, self.default.execution, start=start)
        return f"{sweep} {shlex.join(words)}"

    @property
    def tuned_name(self) -> str:
        """Name of the tuned track; it differs from the plan's for a part of a stored sweep."""
        return self.plan.tuned_name if self._is_repeated else self.tuned[0].spec.name

    @cached_property
    def optimizers(self) -> tuple[TunedOptimizer, ...]:
        """The chosen settings."""
        return select(self.plan, self.trials, self.default.spec.declaration.target)

    @cached_property
    def tracks(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Runs of both tracks, by the names of the optimizers without tuning.

        With repeats they are means over the evaluation seeds of each repeat.
        """
        tables = [self.default.rows.to_pandas(), *(s.rows.to_pandas() for s in self.tuned)]
        for repeat, table in enumerate(tables[1:]):
            names = {of.choices[repeat].name: of.optimizer for of in self.optimizers}
            if lost := sorted(set(names) - set(table["optimizer"])):
                raise UsageError(
                    f"{self.tuned[repeat].spec.name} has no run of {lost[0]}, the chosen setting "
                    f"of {names[lost[0]]}: {_AGAIN}"
                )
            table["optimizer"] = table["optimizer"].map(names)
        default, tuned = tables[0], pd.concat(tables[1:], ignore_index=True)
        tuned = tuned.dropna(subset="optimizer")  # settings that an earlier selection chose
        if not self._is_repeated:
            return default, tuned
        tuned["hyperparameters"] = tuned["optimizer"].map(  # every repeat has its own
            dict(zip(default["optimizer"], default["hyperparameters"], strict=True))
        )
        return means_by_repeat(default, self._seeds), means_by_repeat(tuned, self._seeds)

    def result(self) -> Tuning:
        """Compare every optimizer at its chosen setting with itself at its default.

        The level is that of the current look at the default track.
        """
        protocol, declared = self.plan.protocol, self.default.spec.declaration
        change = compare_sweeps(
            *self.tracks,
            names=("defaults", "tuned"),
            same_settings=False,
            block="repeat" if self._is_repeated else "seed",
            alpha=self._look.level,
            margin=declared.margin,
        )
        found = {change.optimizer: change for change in change.changes}
        own = [
            replace(
                of,
                tuned_accuracy=found[of.optimizer].mean_after,
                repeat_accuracies=self._accuracies(of.optimizer),
            )
            for of in self.optimizers
            if of.optimizer in found
        ]
        tuning = Tuning(
            name=self.default.spec.name,
            metric=protocol.metric,
            target=declared.target if protocol.metric == "time-to-target" else None,
            n_validation=_n_held_out(self.trials[0]),
            n_seeds=protocol.seeds,
            n_repeats=protocol.repeats,
            split=protocol.validation,
            optimizers=tuple(
                sorted(own, key=lambda of: found[of.optimizer].mean_before or 0.0, reverse=True)
            ),
            change=change,
        )
        return with_statistics(tuning)

    def _accuracies(self, name: str) -> tuple[float | None, ...]:
        """Mean test accuracies of a tuned optimizer in each repeat; empty with one tuning."""
        if not self._is_repeated:
            return ()
        means = self.tracks[1]
        own = means[means["optimizer"] == name].set_index("seed")["test_accuracy"]
        values = (own.get(number) for number in range(1, self.plan.protocol.repeats + 1))
        return tuple(None if value is None or pd.isna(value) else float(value) for value in values)

    def tuned_analysis(self) -> SweepAnalysis:
        """Compare the optimizers of the tuned track over the repeats of the tuning."""
        declared = self.default.spec.declaration
        means = self.tracks[1].rename(columns={"seed": "repeat", "repeat": "seed"})
        means = means[list(_COMPARED)]
        comparison = compare(
            means,
            block="repeat",
            alpha=self._look.level,
            margin=declared.margin,
            win_threshold=declared.win_threshold,
            correction=declared.correction,
        )
        name = self.tuned_name
        analysis = describe_runs(means, comparison, name=name, target=declared.target)
        n_seeds = len(self._seeds[0])
        seeds = f"mean over the {n_seeds} evaluation seeds" if n_seeds > 1 else "result of the seed"
        return add_warnings(
            analysis,
            (
                "Every repeat tuned all optimizers again, with other tuning seeds and other "
                f"held-out images. A value is the {seeds} of one repeat, so that intervals and "
                "p-values cover the tuning too.",
            ),
        )

    def tuned_rows(self) -> pa.Table:
        """Return the rows of the tuned track."""
        return pa.concat_tables([of.rows for of in self.tuned])

    def rows(self) -> pa.Table:
        """Return all rows; the column `role` is ``tuning``, ``default`` or ``tuned``."""
        roles: dict[Role, tuple[StoredSweep, ...]] = {
            "tuning": self.trials,
            "default": (self.default,),
            "tuned": self.tuned,
        }
        tables = [
            of.rows.add_column(0, "role", pa.array([role] * len(of.rows), pa.string()))
            for role, sweeps in roles.items()
            for of in sweeps
        ]
        return pa.concat_tables(tables)

    @property
    def _look(self) -> Look:
        return self.default.looks()[-1]


def _n_held_out(trials: StoredSweep) -> int:
    totals = trials.rows["test_total"].drop_null()
    return int(totals[0].as_py()) if len(totals) else 0


def select(
    plan: TuningPlan, trials: Sequence[StoredSweep], target: float
) -> tuple[TunedOptimizer, ...]:
    """Select the setting of every optimizer in every repeat from the stored trials.

    Raise UsageError if a trial is not stored.
    """
    rows = {stored.spec.name: stored.rows.to_pandas() for stored in trials}
    repeats = [
        pd.concat(
            [_trials_of(plan, rows, split, seeds) for split, seeds in splits.items()],
            ignore_index=True,
        )
        for splits in plan.protocol.splits
    ]
    return tuple(
        select_settings(
            repeats,
            optimizer=variant.name,
            settings=variant.tried,
            ranges=variant.searched,
            default=variant.default,
            metric=plan.protocol.metric,
            target=target,
        )
        for variant in plan.variants
    )


def _trials_of(
    plan: TuningPlan, rows: Mapping[str, pd.DataFrame], split: int, seeds: Sequence[int]
) -> pd.DataFrame:
    """Return the trials on a split with the tuning seeds; raise UsageError if one is missing."""
    name = plan.trials_name(split)
    table = rows[name][rows[name]["seed"].isin(seeds)]
    stored = set(zip(table["optimizer"], table["seed"], strict=True))
    planned = [(trial, s) for variant in plan.variants for trial in variant.tried for s in seeds]
    if lost := [run for run in planned if run not in stored]:
        raise UsageError(f"{name} lacks the trial {lost[0][0]} seed {lost[0][1]}: {_AGAIN}")
    return table


def read_plan(directory: Path) -> TuningPlan | None:
    """Read the plan of a tuning from a directory; None where there is none.

    Raise StoreError if the file cannot be read, SpecError if it is damaged.
    """
    file = directory / PLAN_FILE
    try:
        require_regular(file)
        return TuningPlan.from_json(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"cannot read {file}: {error}") from error
    except SpecError as error:
        raise SpecError(f"{file}: {error}") from error


def check_plan(plan: TuningPlan, results: Path) -> None:
    """Store a new plan before its trials are trained.

    Raise MixedRunsError if another tuning of this name is stored; more optimizers are allowed.
    """
    directory = pulled(results / plan.trials_name())
    stored = read_plan(directory)
    if stored is not None:
        if stored.declared == plan:
            return
        _refuse_other(stored.declared, plan, directory)
    else:
        _refuse_stored(plan, results)
    store_plan(plan, results)


def _refuse_stored(plan: TuningPlan, results: Path) -> None:
    """Refuse the names of a new tuning if another sweep has one of them."""
    for name in (*plan.trials_names, plan.tuned_name, *plan.tuned_names):
        directory = pulled(results / name)
        if holds_plan(directory) or Store(directory).read_spec() is not None:
            raise MixedRunsError(
                f"{directory} holds a sweep that is not of this tuning: give another --name"
            )


def store_plan(plan: TuningPlan, results: Path) -> None:
    """Write a plan into the directory of the trials, and with repeats also of the tuned track."""
    names = [plan.trials_name()]
    if plan.protocol.repeats > 1:
        names.append(plan.tuned_name)
    for name in names:
        Store(results / name).create()
        write_shared(plan.to_json().encode(), results / name / PLAN_FILE)


def _refuse_other(stored: TuningPlan, plan: TuningPlan, directory: Path) -> None:
    """Refuse a plan unless it is the stored one with more optimizers."""
    after = {variant.name: variant for variant in plan.variants}
    changes = [
        f"{name} {before} -> {getattr(plan.protocol, name)}"
        for name, before in vars(stored.protocol).items()
        if before != getattr(plan.protocol, name)
    ]
    for before in stored.variants:
        if before.name not in after:
            changes.append(f"without {before.name}")
        elif before != after[before.name] and not changes:
            old, new = (_searched(v) for v in (before, after[before.name]))
            changes.append(f"{before.name} {old} -> {new}")
    if changes:
        raise MixedRunsError(
            f"{directory} holds another tuning than this command asks for "
            f"({'; '.join(changes[:4])}): a tuning cannot be changed, give the sweep another --name"
        )


def _searched(variant: TunedVariant) -> str:
    return f"{count(len(variant.settings), 'setting')} in {', '.join(map(str, variant.ranges))}"


def open_tuning(directory: Path) -> StoredTuning:
    """Open a tuning by a directory with its plan, such as ``results/mnist-trials``.

    Raises
    ------
    UsageError
        If there is no tuning, one of its sweeps is missing, or its directory has another name.
    """
    plan = read_plan(directory)
    if plan is None:
        raise UsageError(f"no tuning at {directory}: expected the directory NAME-trials of one")
    if directory.resolve().name not in (plan.trials_name(), plan.tuned_name):
        raise UsageError(
            f"{directory} has the plan of {plan.trials_name()}: a tuning cannot be renamed"
        )
    results = directory.resolve().parent
    return StoredTuning(
        plan=plan,
        trials=tuple(open_sweep(pulled(results / name)) for name in plan.trials_names),
        default=open_sweep(pulled(results / plan.name)),
        tuned=tuple(open_sweep(pulled(results / name)) for name in plan.tuned_names),
    )


def load_tuning(path: Path | str) -> Tuning:
    """Return the result of a stored tuning; :func:`bench.report.write_tuning` takes it.

    Parameters
    ----------
    path
        The directory of its trials, such as ``results/mnist-trials``, or its URI. The tracks are
        beside it.

    Raises
    ------
    UsageError
        If there is no tuning, or one of its sweeps is missing.
    StoreError
        If a file cannot be read.
    """
    return open_tuning(pulled(sweep_directory(path))).result()
