"""Runs `connector` in a process of its own that need not load the program first: a fork of one that has.

It is for commands that run beside the test or are killed; the others run in the process of the test
(`in_process_cli`). What starts the installed command itself is `Shell.start`, and the acceptance run.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["tests.flow.preload"])


LONGEST = 300
"""Seconds of one command, however slow the machine."""


class TimedOutError(Exception):
    """The command was still at work after its time, and has been killed."""


def run(
    words: Sequence[str], *, environment: Mapping[str, str], folder: Path, seconds: float, out: Path, err: Path
) -> int:
    """The exit status of `connector WORDS`; what it printed is in the files `out` and `err`."""
    process = start(words, environment=environment, folder=folder, out=out, err=err)
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimedOutError(" ".join(words))
    return process.exitcode


def run_forked(words: Sequence[str], environment: Mapping[str, str], folder: Path) -> tuple[int, str, str]:
    """The exit status, the output and the errors of `connector WORDS`; like `run_program` of tests/acceptance."""
    out, err = folder / ".stdout", folder / ".stderr"
    status = run(words, environment=environment, folder=folder, seconds=LONGEST, out=out, err=err)
    return status, out.read_text(), err.read_text()


class ForkedProcess:
    """A fork as a `Process` of tests/acceptance."""

    def __init__(self, process: BaseProcess) -> None:
        self._process = process
        self.kill = process.kill

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int:
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode


def start_forked(words: Sequence[str], environment: Mapping[str, str], folder: Path) -> ForkedProcess:
    """Like `start_program` of tests/acceptance."""
    nowhere = Path(os.devnull)
    return ForkedProcess(start(words, environment=environment, folder=folder, out=nowhere, err=nowhere))


def start(words: Sequence[str], *, environment: Mapping[str, str], folder: Path, out: Path, err: Path) -> BaseProcess:
    """Start `connector WORDS`; what it prints is in the files `out` and `err`."""
    process = _SERVER.Process(target=_main, args=(list(words), dict(environment), folder, out, err))
    process.start()
    return process


def _main(words: Sequence[str], environment: Mapping[str, str], folder: Path, out: Path, err: Path) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for source, flags, target in ((Path(os.devnull), os.O_RDONLY, 0), (out, _WRITE, 1), (err, _WRITE, 2)):
        opened = os.open(source, flags, 0o600)
        os.dup2(opened, target)
        os.close(opened)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  -- the process ends with it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["connector", *words]
    from connector.cli import main

    main()


_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
