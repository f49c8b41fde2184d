"""The command line and the spec file that reproduce a sweep."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UsageError
from bench.optimizers.catalogue import DEFAULT_OPTIMIZERS
from bench.optimizers.variants import expression_of
from bench.spec.expressions import format_seeds
from bench.spec.model import (
    EPOCHS,
    Declaration,
    SweepSpec,
    Workload,
    default_eval_every,
    default_sweep_name,
)
from bench.spec.options import ExecutionOptions
from bench.spec.plugins import is_registered_name
from bench.storage.files import require_regular

#: Default number of seeds.
DEFAULT_SEEDS = 20
#: Default for the largest number of seeds of a sweep until its pairs are decided.
DEFAULT_MAX_SEEDS = 160


#: Value of --looks for a number that is not fixed.
ANY_NUMBER = "any"
#: Value of --looks for numbers of seeds that double.
AUTO_LOOKS = "auto"
#: Value of --win-threshold without this test.
NO_TEST = "none"


#: First line of the spec file that a sweep writes; it identifies such files.
HEADER = "# What this sweep declares, written by every sweep: changes made here are lost."


_OF_WORKLOAD = ("dataset", "network", "iterations", "batch_size", "eval_every", "resample_train")


#: Directory of the scripts of a checkout.
_SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def programs(command: str) -> tuple[str, str]:
    """Both ways to start a command: as the installed program, and as a script of a checkout."""
    return f"optimizer-bench {command}", f"python scripts/{command}.py"


def program(command: str) -> str:
    """How to start a command where the user is, for printed command lines.

    It is the installed program where this was started, or where the scripts are not in the current
    directory.
    """
    installed, script = programs(command)
    is_installed = Path(sys.argv[0]).stem == "optimizer-bench"
    is_checkout = Path("scripts").resolve() == _SCRIPTS and (_SCRIPTS / f"{command}.py").is_file()
    return script if is_checkout and not is_installed else installed


@dataclass(frozen=True, kw_only=True)
class DeclaredSetting:
    """The value of an option that declares a sweep, and its default; None: it has none."""

    value: str | int | float | tuple[str, ...]
    default: str | int | float | tuple[str, ...] | None = None


def declared_settings(
    spec: SweepSpec, execution: ExecutionOptions, *, epochs: int | None = None
) -> dict[str, DeclaredSetting]:
    """The options that declare a sweep and its execution, by their names without dashes.

    `epochs` replaces the iterations for datasets of several sizes.
    """
    workload, declaration = vars(spec.workload), vars(spec.declaration)
    found = {
        **_seed_setting(spec),
        "name": DeclaredSetting(
            value=spec.name, default=default_sweep_name(spec.workload, spec.budget)
        ),
        "optimizers": DeclaredSetting(
            value=tuple(map(expression_of, spec.optimizers)), default=DEFAULT_OPTIMIZERS
        ),
    }
    for option in _OF_WORKLOAD:
        found[option] = DeclaredSetting(value=workload[option], default=getattr(Workload, option))
    every = default_eval_every(spec.workload.iterations)
    found["eval_every"] = DeclaredSetting(value=spec.workload.eval_every, default=every)
    if epochs is not None:
        del found["iterations"]
        found["epochs"] = DeclaredSetting(value=epochs)
    for option in ("alpha", "margin", "target", "correction"):
        found[option] = DeclaredSetting(
            value=declaration[option], default=getattr(Declaration, option)
        )
    found["budget"] = DeclaredSetting(value=spec.budget, default=EPOCHS)
    found["looks"] = DeclaredSetting(
        value=looks_setting(spec.declaration), default=Declaration.looks
    )
    if declaration["win_threshold"] is not None:
        found["win_threshold"] = DeclaredSetting(value=declaration["win_threshold"])
    found["device"] = DeclaredSetting(value=execution.device, default="auto")
    if execution.stack is not None:
        found["stack"] = DeclaredSetting(value=execution.stack)
    found["tf32"] = DeclaredSetting(value=execution.tf32, default=False)
    found["mix_devices"] = DeclaredSetting(value=execution.mix_devices, default=False)
    return {option.replace("_", "-"): setting for option, setting in found.items()}


def looks_setting(declaration: Declaration) -> str | int:
    """The value of --looks."""
    if declaration.until_decided:
        return ",".join(map(str, declaration.until_decided))
    return declaration.looks or ANY_NUMBER


def _seed_setting(spec: SweepSpec) -> dict[str, DeclaredSetting]:
    seeds = spec.seeds
    if spec.declaration.until_decided:
        return {"until_decided": DeclaredSetting(value=True, default=False)}
    if seeds == tuple(range(len(seeds))):
        return {"seeds": DeclaredSetting(value=len(seeds))}
    return {"seed_list": DeclaredSetting(value=format_seeds(seeds))}


def command_line(
    spec: SweepSpec,
    execution: ExecutionOptions,
    *,
    epochs: int | None = None,
    start: str | None = None,
) -> str:
    """The shortest command line that repeats a sweep; `start` replaces :func:`program`.

    Where no command line can, it is a comment that says so.
    """
    if objects := objects_of(spec):
        return f"# {_from_python(objects)}"
    words = []
    for option, setting in declared_settings(spec, execution, epochs=epochs).items():
        if (value := setting.value) == setting.default:
            continue
        words.append(f"--{option}")
        if value is not True:
            words.append(",".join(value) if isinstance(value, tuple) else str(value))
    start = program("sweep") if start is None else start
    return f"{start} {shlex.join(words)}".rstrip()


def objects_of(spec: SweepSpec) -> tuple[str, ...]:
    """Names of what only the script or notebook that declared the sweep has."""
    algorithms = (optimizer.algorithm for optimizer in spec.optimizers)
    names = (*algorithms, spec.workload.network, spec.workload.dataset)
    return tuple(dict.fromkeys(filter(is_registered_name, names)))


def _from_python(objects: Sequence[str]) -> str:
    return (
        f"declared from Python, with {', '.join(objects)}: to do the sweep again, run the script "
        "or notebook that passes this to bench.specify"
    )


def options_text(
    spec: SweepSpec,
    execution: ExecutionOptions,
    *,
    epochs: int | None = None,
    left_out: Collection[str] = (),
) -> str:
    """The spec file that declares a sweep, defaults included."""
    again = f"To do the sweep again: {program('sweep')} --config THIS-FILE"
    if objects := objects_of(spec):
        again = _from_python(objects)
    lines = [HEADER, f"# {again}"]
    for option, setting in declared_settings(spec, execution, epochs=epochs).items():
        if option in left_out:
            continue
        if isinstance(setting.value, tuple):
            lines += [f"{option}:", *(f"  - {_quoted(text)}" for text in setting.value)]
        else:
            lines.append(f"{option}: {_quoted(setting.value)}")
    return "\n".join(lines) + "\n"


def _quoted(value: str | int | float) -> str:
    """A value as JSON with the escapes of YAML for characters that are not printable."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in text)


def refuse_foreign(file: Path) -> None:
    """Refuse to overwrite a spec file that was not written by a sweep.

    Raises
    ------
    UsageError
        If the file exists and no sweep has written it.
    """
    try:
        require_regular(file)
        with file.open("rb") as source:
            is_own = source.read(len(HEADER)) == HEADER.encode()
    except OSError:  # missing; an unreadable file makes writing fail with its reason
        return
    if not is_own:
        raise UsageError(
            f"{file} is where the sweep stores what it declares, and the file that is there was "
            "written by somebody else: move it to another place"
        )
