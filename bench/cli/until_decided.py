"""Options of a sweep that adds seeds until every pair of optimizers is decided."""

from __future__ import annotations

from argparse import Namespace, _ActionsContainer

from bench.cli.converters import up_to
from bench.errors import SpecError
from bench.spec.expressions import MAX_SEEDS
from bench.spec.model import Declaration
from bench.sweeps.reproduce import ANY_NUMBER, AUTO_LOOKS, DEFAULT_MAX_SEEDS


def add_until_decided(group: _ActionsContainer, seeds: _ActionsContainer) -> None:
    """Add the options; `seeds` is the group of the options that exclude ``--max-seeds``."""
    seeds.add_argument(
        "--max-seeds",
        type=up_to(MAX_SEEDS),
        metavar="N",
        help=f"with --until-decided: the largest number of seeds (default {DEFAULT_MAX_SEEDS})",
    )
    group.add_argument(
        "--until-decided",
        action="store_true",
        help="add seeds until every pair of optimizers is better, worse or equivalent; optimizers "
        "whose pairs are all decided get no more seeds",
    )


def declared_looks(arguments: Namespace, n_optimizers: int) -> tuple[int, ...]:
    """The numbers of seeds at which pairs are judged; none without ``--until-decided``.

    Raise SpecError for options that do not go together.
    """
    from bench.sweeps.specify import numbers_of_looks

    looks, most = arguments.looks, arguments.max_seeds
    if not arguments.until_decided:
        if isinstance(looks, str | tuple):
            text = looks if isinstance(looks, str) else ",".join(map(str, looks))
            raise SpecError(f"--looks {text} needs --until-decided")
        if most is not None:
            raise SpecError("--max-seeds needs --until-decided")
        return ()
    _refuse_others(arguments)
    if not isinstance(looks, tuple):
        return numbers_of_looks(True, most, n_optimizers, arguments.alpha)
    if most not in (None, looks[-1]):
        raise SpecError(
            f"--max-seeds must be the last of the --looks, {looks[-1]}, or be left out, got {most}"
        )
    return looks


def _refuse_others(arguments: Namespace) -> None:
    """Raise SpecError for an option that does not go with ``--until-decided``."""
    for option, is_given in (
        ("seeds", arguments.seeds is not None),
        ("seed-list", arguments.seed_list is not None),
        ("tune", arguments.tune),
        ("force", arguments.force),
        ("correction max-t", arguments.correction != "holm"),
    ):
        if is_given:
            raise SpecError(f"--until-decided cannot be given with --{option}")
    if len(arguments.dataset) > 1:
        raise SpecError("--until-decided cannot be given with several datasets")
    looks = arguments.looks
    if not isinstance(looks, tuple) and looks not in (Declaration.looks, AUTO_LOOKS):
        raise SpecError(
            f"--looks must be numbers of seeds such as 13,26,52, or {AUTO_LOOKS}, with "
            f"--until-decided, got {ANY_NUMBER if looks is None else looks}"
        )
