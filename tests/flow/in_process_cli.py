"""Runs `connector` in the process of the test, as the test runners of click and typer do.

A fork of a loaded process (`forked_cli`) takes several times as long as a short command: it copies the pages it writes
to, and compiles each SQL statement anew. It is for commands that run beside the test or are killed.
"""

from __future__ import annotations

import gc
import io
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from unittest import mock

import pytest
import structlog
import typer.main

from connector import cli

_command = cache(typer.main.get_command)
"""What is built of the program's commands; this takes as long as a short one of them."""


def run_in_process(words: Sequence[str], environment: Mapping[str, str], folder: Path) -> tuple[int, str, str]:
    """The exit status, output and errors of `connector WORDS`, like `run_program` of tests/acceptance. Not while
    a loop runs in this thread."""
    out, err = _file(), _file()
    with _restored_state(), redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("sys.argv", ["connector", *words])
        patch.setattr("sys.stdin", _file())
        patch.setattr(typer.main, "get_command", _command)
        with mock.patch.dict(os.environ, environment, clear=True), pytest.raises(SystemExit) as ended:
            cli.main()
    status = ended.value.code
    assert isinstance(status, int)
    return status, _text(out), _text(err)


def _file() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8")


def _text(file: io.TextIOWrapper) -> str:
    file.seek(0)
    return file.read()


@contextmanager
def _restored_state() -> Iterator[None]:
    """What a command sets for its whole process is set back after it."""
    thresholds, handler, log = gc.get_threshold(), signal.getsignal(signal.SIGTERM), structlog.get_config()
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        signal.signal(signal.SIGTERM, handler)
        structlog.configure(**log)
