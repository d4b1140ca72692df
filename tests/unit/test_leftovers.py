"""A run removes what runs before it left behind in memory, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.leftovers import in_use, remove_leftovers

HOLDER = """
import sys
from pathlib import Path
from tests.leftovers import in_use
with in_use(Path(sys.argv[1])):
    print(flush=True)
    input()
"""


@contextmanager
def process_that_uses(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run in another process; it is killed in the end."""
    folder.mkdir(parents=True, exist_ok=True)
    program = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def folder_of_a_killed_run(parent: Path) -> Path:
    folder = parent / "postgres-1"
    with process_that_uses(folder):
        pass
    (folder / "data").mkdir()
    return folder


def test_folder_of_a_dead_run_is_removed_and_its_server_stopped(tmp_path: Path) -> None:
    folder = folder_of_a_killed_run(tmp_path)
    data = folder / "data"
    program = [sys.executable, "-c", "print(flush=True); input()", str(data)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()  # before it runs, its command line may be empty
        (data / "postmaster.pid").write_text(f"{server.pid}\n")
        remove_leftovers(tmp_path, "postgres-*", "sqlite-*")
        assert not psutil.pid_exists(server.pid)
    assert not folder.exists()


def test_process_that_got_the_number_of_a_dead_server_is_left_alone(tmp_path: Path) -> None:
    folder = folder_of_a_killed_run(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as another:
        (folder / "data" / "postmaster.pid").write_text(f"{another.pid}\n")
        remove_leftovers(tmp_path, "postgres-*")
        assert not folder.exists()
        another.communicate(b"\n")
        assert another.returncode == 0


def test_folder_stays_until_the_last_process_that_uses_it_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "postgres-1"
    with process_that_uses(folder):
        with process_that_uses(folder):
            pass
        remove_leftovers(tmp_path, "postgres-*")
        assert folder.exists()
    remove_leftovers(tmp_path, "postgres-*")
    assert not folder.exists()


def test_folders_of_this_process_and_folders_never_used_stay(tmp_path: Path) -> None:
    mine, unknown = tmp_path / "sqlite-1", tmp_path / "sqlite-2"
    for folder in (mine, unknown):
        folder.mkdir()
    with in_use(mine):
        remove_leftovers(tmp_path, "postgres-*", "sqlite-*")
        assert mine.exists()
        assert unknown.exists()


def test_folders_of_another_user_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of_a_killed_run(tmp_path)
    monkeypatch.setattr("os.getuid", lambda: folder.stat().st_uid + 1)
    remove_leftovers(tmp_path, "postgres-*")
    assert folder.exists()


def test_folder_that_cannot_be_read_ends_no_run_and_keeps_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "postgres-0"
    folder = folder_of_a_killed_run(tmp_path)
    closed.mkdir()
    lock = closed / "in-use-1"
    lock.touch()
    open_path = Path.open

    def refuse(path: Path, *args: Any, **options: Any) -> object:
        if path == lock:
            raise PermissionError(13, "Permission denied", str(path))
        return open_path(path, *args, **options)

    monkeypatch.setattr(Path, "open", refuse)
    remove_leftovers(tmp_path, "postgres-*")
    assert closed.exists()
    assert not folder.exists()


def test_process_that_ends_orderly_uses_its_folder_no_longer(tmp_path: Path) -> None:
    folder = tmp_path / f"sqlite-{os.getpid()}"
    folder.mkdir()
    with in_use(folder):
        pass
    remove_leftovers(tmp_path, "sqlite-*")
    assert not folder.exists()
