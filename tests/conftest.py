"""Fixtures worth sharing: the real dataset, unpacked once, one small real sweep, one browser."""

from __future__ import annotations

import gc
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

# The process of pytest-xdist that hands out the tests loads this file too, before it starts the
# others: what takes seconds to import is imported where it is used.
from bench import cli
from bench.datasets.names import DATA_DIR_VARIABLE
from bench.optimizers.resolve import resolve
from bench.spec.expressions import parse_optimizers
from bench.spec.model import OptimizerSpec

if TYPE_CHECKING:
    from _browser import Reports

    from bench.training.device_data import DeviceData

#: Few images: the evaluations on MNIST take most of the time of a short sweep.
DIGITS = ("--dataset", "digits")
#: A sweep that takes seconds: enough updates for every optimizer to learn something.
SMALL_SWEEP = ("--iterations", "60", "--eval-every", "25", "--seeds", "3", *DIGITS)
#: Variables to set, or with None to take away.
Environment = Mapping[str, str | None]

#: The part of the random input that is tried by default; scripts/check --all tries all.
SCALE = float(os.environ.get("FUZZ_SCALE", "0.05"))


# the programs that tests start would compile this package anew each time
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_configure() -> None:
    """The same examples in each run: a run that fails has found a change.

    A test never asserts a time. The other profile is for exploration:
    pytest --hypothesis-profile=random
    """
    from hypothesis import settings

    settings.register_profile(
        "repeatable", deadline=None, derandomize=True, max_examples=max(12, round(200 * SCALE))
    )
    settings.register_profile("random", deadline=None, derandomize=False, print_blob=True)
    settings.load_profile("repeatable")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector from looking at every object again while modules are imported."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Fast tests first: then those that start processes or browsers, then the slow ones.

    A process of pytest-xdist tests file by file instead, as files share what is slow to prepare.
    """
    if not hasattr(config, "workerinput"):
        items.sort(key=_slowness)


def _slowness(item: pytest.Item) -> int:
    if item.get_closest_marker("slow"):
        return 2
    starts_others = {"run_command", "small_sweep", "browser"} & set(_fixtures(item))
    return 1 if starts_others else 0


def _fixtures(item: pytest.Item) -> Sequence[str]:
    return getattr(item, "fixturenames", ())


@dataclass(frozen=True)
class Finished:
    """A finished command."""

    code: int
    out: str
    err: str


class CommandLine:
    """The program as a user starts it, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(
        self,
        *arguments: str | Path,
        environment: Environment | None = None,
        prefix: Sequence[str] = (),
        before: Callable[[], None] | None = None,
    ) -> Finished:
        with self.start(
            *arguments, environment=environment, prefix=prefix, before=before
        ) as process:
            out, err = process.communicate(timeout=240)
        return Finished(process.returncode, out, err)

    def start(
        self,
        *arguments: str | Path,
        environment: Environment | None = None,
        prefix: Sequence[str] = (),
        before: Callable[[], None] | None = None,
    ) -> subprocess.Popen[str]:
        """Start it behind the words of `prefix`; `before` is called in the new process."""
        variables = {**os.environ, **(environment or {})}

        def prepare() -> None:
            for number in (signal.SIGINT, signal.SIGHUP):  # these tests may run in the background
                signal.signal(number, signal.SIG_DFL)
            if before is not None:
                before()

        return subprocess.Popen(
            [*prefix, sys.executable, "-m", "bench", *map(str, arguments)],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={name: value for name, value in variables.items() if value is not None},
            preexec_fn=prepare,
        )


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of the whole run: processes of pytest-xdist have theirs beside each other."""
    directory = tmp_path_factory.getbasetemp()
    return directory.parent if "PYTEST_XDIST_WORKER" in os.environ else directory


@pytest.fixture(scope="session", autouse=True)
def shared_pages(shared: Path) -> None:
    from _pages import Pages

    Pages.directory = shared / "pages"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Train with one thread, as workers do: two for each process of pytest-xdist are too many."""
    from bench.execution.train_job import use_one_thread

    use_one_thread()


@pytest.fixture(scope="session", autouse=True)
def imported_objects() -> None:
    """Keep the collection of garbage from looking at all objects of the libraries each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def run_command(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@dataclass(frozen=True)
class CommandCall:
    """The program called in this process, as if from a directory: its start takes seconds."""

    directory: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str | Path) -> Finished:
        self.monkeypatch.chdir(self.directory)
        self.capsys.readouterr()
        code = cli.main([str(argument) for argument in arguments])
        out, err = self.capsys.readouterr()
        return Finished(code, out, err)


@pytest.fixture
def call_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandCall:
    return CommandCall(tmp_path, monkeypatch, capsys)


@pytest.fixture(scope="session", autouse=True)
def data_dir(shared: Path) -> Iterator[Path]:
    """A cache for this run, so that the tests neither use nor touch the user's."""
    directory = shared / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DATA_DIR_VARIABLE, str(directory))
        yield directory


@pytest.fixture(scope="session")
def arrays(data_dir: Path) -> Path:
    from bench.datasets import cache

    return cache.prepare("mnist", data_dir)


@pytest.fixture(scope="session")
def digits(data_dir: Path) -> Path:
    """Few images: the evaluations on MNIST take most of the time of a short sweep."""
    from bench.datasets import cache

    return cache.prepare("digits", data_dir)


@pytest.fixture(scope="session")
def mnist(arrays: Path) -> DeviceData:
    from bench.execution.train_job import load_data

    return load_data(arrays, "cpu")


@pytest.fixture(scope="session")
def few(mnist: DeviceData) -> DeviceData:
    """MNIST with few test images: an evaluation takes longer than many updates."""
    return replace(mnist, test_images=mnist.test_images[:301], test_labels=mnist.test_labels[:301])


@pytest.fixture(scope="session")
def small_sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which all eight optimizers were swept over three seeds, with the report.

    Its figures are empty.
    """
    from _pages import empty_figure, figures_from

    directory = tmp_path_factory.mktemp("sweep")
    printed = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        figures_from(empty_figure),
        redirect_stdout(printed),
    ):
        patch.chdir(directory)
        assert cli.main(["sweep", *SMALL_SWEEP, "--name", "small"]) == 0
    (directory / "stdout.txt").write_text(printed.getvalue())
    return directory


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from _browser import FLAGS, browser_path

    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs Playwright: pip install playwright"
    )
    path = browser_path()
    if path is None:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("needs Chromium: apt-get install chromium, or set CHROMIUM to its path")
    with playwright.sync_playwright() as running:
        instance = running.chromium.launch(executable_path=path, args=list(FLAGS))
        yield instance
        instance.close()


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    from _browser import Reports

    return Reports(tmp_path_factory.mktemp("reports"))


@pytest.fixture
def undrawn() -> Iterator[None]:
    """Pages have empty figures, for tests of their text and of commands that write them."""
    from _pages import empty_figure, empty_figures_of_tunings, figures_from

    with figures_from(empty_figure), empty_figures_of_tunings():
        yield


@pytest.fixture
def drawn_once() -> Iterator[None]:
    """The figures of equal analyses are drawn once in a session."""
    from _pages import figure_drawn_once, figures_from

    with figures_from(figure_drawn_once):
        yield


def resolve_all(text: str) -> tuple[OptimizerSpec, ...]:
    return tuple(map(resolve, parse_optimizers(text)))


def resolve_one(text: str) -> OptimizerSpec:
    (spec,) = resolve_all(text)
    return spec


def names(specs: Sequence[OptimizerSpec]) -> list[str]:
    return [spec.name for spec in specs]
