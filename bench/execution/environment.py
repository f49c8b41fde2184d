"""What the rows say about where they were made. Neither host nor user name is among it."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bench.execution._joblib import loky
from bench.execution.devices import CPU, CUDA, kind_of, torch_build


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Machine as recorded in each row; the fields are columns of :mod:`bench.storage.records`."""

    device: str
    device_name: str
    tf32: bool | None
    cores: int
    n_jobs: int
    torch_version: str
    numpy_version: str
    python_version: str
    git_commit: str | None


def describe_machine(device: str, n_jobs: int, *, tf32: bool = False) -> Machine:
    """Describe this machine as used by a device and a number of workers."""
    return Machine(
        device=kind_of(device),
        device_name=name_of(device),
        tf32=tf32 if kind_of(device) == CUDA else None,
        cores=available_cores(),
        n_jobs=n_jobs,
        torch_version=torch_version(),
        numpy_version=version("numpy"),
        python_version=platform.python_version(),
        git_commit=git_commit(Path(__file__).parents[1]),
    )


def torch_version() -> str:
    """The version of torch with its build, such as 2.13.0+cpu."""
    if (build := torch_build()) is not None:
        return str(build["__version__"])
    import torch

    return str(torch.__version__)


def available_cores() -> int:
    """Cores that this process may use, by affinity and by control group."""
    # joblib.cpu_count is 1 where joblib has no worker processes, however many cores there are
    return int(loky.cpu_count())


def name_of(device: str) -> str:
    """The model of a processor or GPU."""
    if kind_of(device) == CUDA:
        import torch

        return torch.cuda.get_device_name(device)
    return processor_name() if kind_of(device) == CPU else "Apple GPU"


def processor_name() -> str:
    """The processor's model as the operating system names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def git_commit(directory: Path) -> str | None:
    """The commit of the code in `directory`, with ``-dirty`` where its files differ from it.

    None outside git, and where git does not track the code, as in a virtual environment that
    lies inside somebody else's repository.
    """
    try:
        _git(directory, "ls-files", "--error-unmatch", "__init__.py")
        commit = _git(directory, "rev-parse", "HEAD")
        changed = _git(directory, "status", "--porcelain", "--untracked-files=no", "--", ".")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}-dirty" if changed else commit


def _git(directory: Path, *arguments: str) -> str:
    found = subprocess.run(
        ["git", *arguments], cwd=directory, capture_output=True, text=True, timeout=10, check=True
    )
    return found.stdout.strip()
