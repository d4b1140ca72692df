"""A run removes what runs before it left behind in memory, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil

from tests.leftovers import OWNER, remove_leftovers, set_owner


def folder_of_a_killed_run(parent: Path) -> Path:
    folder = parent / "postgres-1"
    (folder / "data").mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        set_owner(folder, process.pid)
        process.communicate(b"\n")
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


def test_folder_of_a_process_that_got_the_number_of_a_dead_one_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "sqlite-1"
    folder.mkdir()
    (folder / OWNER).write_text(f"{os.getpid()} 1.0")
    remove_leftovers(tmp_path, "sqlite-*")
    assert not folder.exists()


def test_folders_of_a_running_process_and_without_an_owner_stay(tmp_path: Path) -> None:
    mine, unknown = tmp_path / "sqlite-1", tmp_path / "sqlite-2"
    for folder in (mine, unknown):
        folder.mkdir()
    set_owner(mine, os.getpid())
    remove_leftovers(tmp_path, "postgres-*", "sqlite-*")
    assert mine.exists()
    assert unknown.exists()
