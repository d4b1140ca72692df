"""A push that ends while it is about to be killed was not killed, and is no error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.sides import Connector, kill_children


class EndedFork:
    """A process that has ended and is no zombie, of which `poll` does not know yet."""

    def __init__(self) -> None:
        with subprocess.Popen([sys.executable, "-c", ""]) as process:
            self.pid = process.pid
        self.waited = False

    def poll(self) -> None: ...

    def kill(self) -> None: ...

    def wait(self) -> int:
        self.waited = True
        return 0


def test_push_that_is_gone_before_its_exit_status_was_not_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = EndedFork()
    monkeypatch.setattr(Connector, "__init__", lambda self: self.__dict__.update(environment={}, folder=tmp_path))
    monkeypatch.setattr(Connector, "start", staticmethod(lambda *_: process))
    assert not Connector().push_killed_when(lambda: True)  # type: ignore[call-arg]
    assert process.waited


def test_children_of_a_process_are_killed(tmp_path: Path) -> None:
    nested = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(flush=True); input()'])"
    with subprocess.Popen([sys.executable, "-c", nested], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert kill_children(process.pid)
        assert process.wait(30) == 0
