"""Processes of an executor that are forked from a server (:mod:`bench.execution.fork_server`).

They differ from the processes of the start method ``forkserver`` of :mod:`multiprocessing`: they do
not import the ``__main__`` of the program, so a script needs no guard, and they have the
environment and the working directory that the program has when they start.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing import popen_forkserver, process, reduction, util
from multiprocessing.context import set_spawning_popen
from multiprocessing.forkserver import read_signed
from pathlib import Path
from typing import Any

from bench.execution import fork_server
from bench.execution._joblib import loky


class _Popen(popen_forkserver.Popen):
    _fds: Sequence[int]  # for the new process

    def _launch(self, process_object: process.BaseProcess) -> None:
        buffer = io.BytesIO()
        set_spawning_popen(self)
        try:
            reduction.dump(_preparation(process_object), buffer)
            reduction.dump(process_object, buffer)
        finally:
            set_spawning_popen(None)
        self.sentinel, writer = fork_server.fork(self._fds)
        kept = (os.dup(writer), self.sentinel)  # its end tells the process that this one ended
        self.finalizer = util.Finalize(self, util.close_fds, kept)  # type: ignore[attr-defined]
        try:
            with open(writer, "wb") as pipe:
                pipe.write(buffer.getbuffer())
            self.pid = read_signed(self.sentinel)
        except EOFError as error:
            raise BrokenPipeError("the process that forks workers has ended") from error


class ForkedProcess(process.BaseProcess):
    """A process of the executor.

    Parameters
    ----------
    env
        Variables of the environment that differ from those of the program.
    kwargs
        As for :class:`multiprocessing.Process`.
    """

    _start_method = "forkserver"
    _Popen = staticmethod(_Popen)

    def __init__(self, *, env: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._environment = {**os.environ, **env}
        self._directory: Path | None = None
        with suppress(OSError):  # it was removed
            self._directory = Path.cwd()

    def run(self) -> None:
        """Call the target of the process."""
        fork_server.leave()
        sys.excepthook = sys.__excepthook__
        os.environ.clear()
        os.environ.update(self._environment)
        if self._directory is not None:
            with suppress(OSError):
                os.chdir(self._directory)
        super().run()


class ForkedContext(type(loky.backend.get_context("loky"))):  # type: ignore[misc]
    """Context of the executor: locks and queues of loky, with forked processes."""

    Process = ForkedProcess


def _preparation(process_object: process.BaseProcess) -> Mapping[str, Any]:
    """What a new process restores before it reads the process object."""
    return {
        "name": process_object.name,
        "authkey": process.current_process().authkey,
        "sys_path": sys.path,
        "sys_argv": sys.argv,
    }
