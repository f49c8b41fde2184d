"""Make a SweepSpec of settings given as text, numbers, or objects of a program."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from bench.datasets.cache import n_train_images
from bench.datasets.custom import name_given
from bench.datasets.names import resolve_dataset
from bench.errors import SpecError
from bench.networks.names import resolve_network
from bench.optimizers.catalogue import DEFAULT_OPTIMIZERS
from bench.optimizers.variants import refuse_endless_warmups, resolve_variant
from bench.spec.expressions import MAX_SEEDS, OptimizerExpression, parse_seeds
from bench.spec.model import (
    EPOCHS,
    Correction,
    Declaration,
    SweepSpec,
    Workload,
    check_numbers_of_looks,
    default_eval_every,
    default_sweep_name,
)
from bench.spec.plugins import name_of
from bench.spec.resampling import n_drawn, parse_resampling
from bench.sweeps.given import Arrays, Code, Optimizer, expressions_of
from bench.sweeps.reproduce import DEFAULT_MAX_SEEDS, DEFAULT_SEEDS
from bench.words import count


def specify(
    *,
    optimizers: Optimizer | Sequence[Optimizer] = DEFAULT_OPTIMIZERS,
    seeds: int | str | Sequence[int] | None = None,
    dataset: str | Code | Arrays = Workload.dataset,
    network: str | Code = Workload.network,
    batch_size: int = Workload.batch_size,
    iterations: int | None = None,
    epochs: int | None = None,
    eval_every: int | None = None,
    resample_train: str = Workload.resample_train,
    budget: str = EPOCHS,
    name: str | None = None,
    alpha: float = Declaration.alpha,
    margin: float = Declaration.margin,
    target: float = Declaration.target,
    looks: int | None = Declaration.looks,
    win_threshold: float | None = Declaration.win_threshold,
    correction: Correction = Declaration.correction,
    until_decided: bool | Sequence[int] = False,
    max_seeds: int | None = None,
    data_dir: Path | str | None = None,
) -> SweepSpec:
    """Declare a sweep; the settings are those of the command line, and are checked here.

    >>> spec = specify(optimizers="sgd,adam[lr=0.003]", seeds=5, iterations=300)
    >>> spec.name, [optimizer.name for optimizer in spec.optimizers], spec.seeds
    ('mnist-iterations300', ['sgd', 'adam[lr=0.003]'], (0, 1, 2, 3, 4))
    >>> specify(optimizers="adma")
    Traceback (most recent call last):
    bench.errors.SpecError: unknown optimizer 'adma': did you mean adamax or adam?

    Parameters
    ----------
    optimizers
        Expressions such as ``"sgd,adam[lr=0.003]"``, or a sequence; by default the tutorial's
        eight. An element may also be a class or function, or a tuple with hyperparameters such as
        ``(MyClass, {"lr": 0.01})``, or with a name too: ``("mine", MyClass, {"lr": 0.01})``.
    seeds
        A number n for the seeds 0 to n - 1, text such as ``"0-9,15"``, or the seeds themselves; by
        default 20.
    dataset, network
        A name, or a user's own: ``my.npz``, ``mypkg.mymodule:load_data``,
        ``mypkg.mymodule:make_net``, or the function itself. A dataset may also be a mapping or a
        tuple of the arrays x_train, y_train, x_test and y_test.
    batch_size, eval_every
        Images per update; updates between two evaluations on the test images, by default a sixth
        of all updates.
    resample_train
        ``"none"``: every seed trains on all training images. ``"bootstrap"`` or
        ``"subsample=0.9"``: the training set of each seed is drawn from them, the same for all
        optimizers, so that the tests cover other draws from these images too.
    iterations, epochs
        Updates per run (default 3000), or instead passes through the training images.
    budget
        What optimizers with their own batch size share with the others: the number of images
        (``"epochs"``) or of updates (``"iterations"``).
    name
        Name of the sweep; by default the dataset and what differs from the default workload.
    alpha, margin, target, looks, win_threshold, correction
        How the results are tested: see :class:`~bench.spec.model.Declaration`.
    until_decided
        Whether seeds are added until every pair of optimizers is decided; instead of True, the
        numbers of seeds at which the pairs are judged. By default, they double from the smallest
        number that can be enough for a significant difference.
    max_seeds
        Largest number of seeds, with `until_decided` True (default 160). It replaces `seeds`.
    data_dir
        Cache of the unpacked dataset; a user's own dataset is read here.

    Raises
    ------
    SpecError
        Naming the setting that is not allowed.
    DataError
        If a user's own dataset cannot be loaded.
    """
    expressions = expressions_of(optimizers)
    stages = numbers_of_looks(until_decided, max_seeds, len(expressions), alpha)
    if stages and seeds is not None:
        raise SpecError(f"seeds and until_decided exclude each other, got seeds={seeds!r:.80}")
    return build_spec(
        expressions=expressions,
        seeds=tuple(range(stages[-1]))
        if stages
        else _seeds(DEFAULT_SEEDS if seeds is None else seeds),
        dataset=resolve_dataset(dataset if isinstance(dataset, str) else name_given(dataset)),
        network=resolve_network(
            network if isinstance(network, str) else name_of(network, "network")
        ),
        batch_size=batch_size,
        iterations=iterations,
        epochs=epochs,
        eval_every=eval_every,
        resample_train=resample_train,
        budget=budget,
        name=name,
        declaration=Declaration(
            alpha=alpha,
            margin=margin,
            target=target,
            looks=looks,
            win_threshold=win_threshold,
            correction=correction,
            until_decided=stages,
        ),
        data_dir=None if data_dir is None else Path(data_dir),
    )


def numbers_of_looks(
    until_decided: bool | Sequence[int], max_seeds: int | None, n_optimizers: int, alpha: float
) -> tuple[int, ...]:
    """Return the numbers of seeds at which pairs are judged; empty if `until_decided` is False.

    Raise SpecError if `max_seeds` is too small for two looks, or a setting is not allowed.
    """
    if until_decided is not True and max_seeds is not None:
        raise SpecError(
            f"max_seeds goes with until_decided=True, got {max_seeds!r:.80} and until_decided="
            f"{until_decided!r:.80}"
        )
    if isinstance(until_decided, list | tuple):
        check_numbers_of_looks(tuple(until_decided))
        return tuple(until_decided)
    if not isinstance(until_decided, bool):
        raise SpecError(
            f"until_decided must be True, False or numbers of seeds, got {until_decided!r:.80}"
        )
    if not until_decided:
        return ()
    Declaration(alpha=alpha)  # checks it
    max_seeds = DEFAULT_MAX_SEEDS if max_seeds is None else max_seeds
    from bench.analysis.stats.power import seeds_to_reject
    from bench.analysis.stats.sequential import LAST_DOUBLING, doubling_looks

    if isinstance(max_seeds, bool) or not isinstance(max_seeds, int) or max_seeds > MAX_SEEDS:
        raise SpecError(
            f"max_seeds must be a whole number of at most {MAX_SEEDS}, got {max_seeds!r:.80}"
        )
    n_pairs = math.comb(n_optimizers, 2)
    looks = doubling_looks(n_pairs, alpha, max_seeds)
    if len(looks) < 2:
        least = math.ceil(seeds_to_reject(2 * n_pairs, alpha) / LAST_DOUBLING)
        raise SpecError(
            f"--max-seeds must be at least {least} for two looks that can find a difference "
            f"between {count(n_optimizers, 'optimizer')}, got {max_seeds}"
        )
    return looks


def build_spec(
    *,
    expressions: Sequence[OptimizerExpression],
    seeds: tuple[int, ...],
    dataset: str,
    network: str,
    batch_size: int,
    iterations: int | None,
    epochs: int | None,
    eval_every: int | None,
    resample_train: str,
    budget: str,
    name: str | None,
    declaration: Declaration,
    data_dir: Path | None,
) -> SweepSpec:
    """Build the specification from parsed expressions and resolved names: see :func:`specify`.

    Raises
    ------
    SpecError
        Naming the setting that is not allowed.
    DataError
        If a user's dataset cannot be loaded.
    """
    resampling = parse_resampling(resample_train)
    n_images = n_drawn(resampling, n_train_images(dataset, data_dir))
    workload = Workload(
        dataset=dataset,
        network=network,
        batch_size=batch_size,
        iterations=Workload.iterations if iterations is None else iterations,
        resample_train=resampling,
    )
    if batch_size > n_images:
        raise SpecError(
            f"--batch-size must be at most {n_images}, the training images of {dataset}, got "
            f"{batch_size}"
        )
    if epochs is not None:
        workload = replace(workload, iterations=_updates(epochs, iterations, n_images, batch_size))
    every = default_eval_every(workload.iterations) if eval_every is None else eval_every
    workload = replace(workload, eval_every=every)
    spec = SweepSpec(
        name=default_sweep_name(workload, budget) if name is None else name,
        optimizers=tuple(resolve_variant(e, workload, n_images) for e in expressions),
        seeds=seeds,
        workload=workload,
        budget=budget,
        declaration=declaration,
    )
    refuse_endless_warmups(spec)
    return spec


def _updates(epochs: int, iterations: int | None, n_images: int, batch_size: int) -> int:
    if iterations is not None:
        raise SpecError(f"either iterations or epochs may be given, got {iterations} and {epochs}")
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise SpecError(f"epochs must be a whole number of at least 1, got {epochs!r}")
    return epochs * (n_images // batch_size)  # whole batches only


def _seeds(seeds: int | str | Sequence[int]) -> tuple[int, ...]:
    if isinstance(seeds, str):
        return parse_seeds(seeds)
    if isinstance(seeds, Iterable):
        return tuple(seeds)
    if not isinstance(seeds, int):
        raise SpecError(f"seeds must be a number, text or a sequence, got {seeds!r:.120}")
    if isinstance(seeds, bool) or not 1 <= seeds <= MAX_SEEDS:
        raise SpecError(f"seeds must be at least 1 and at most {MAX_SEEDS}, got {seeds}")
    return tuple(range(seeds))
