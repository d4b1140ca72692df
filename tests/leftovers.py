"""Folders of databases in memory, and what removes those of runs that were killed.

Each process that needs a folder holds a lock on a file of its own in it. The system releases the lock when the process
ends, in whatever way. A folder without any such lock belongs to a run that is gone: nobody else will remove the folder
or stop the server whose data it holds.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

_LOCK = "in-use-"


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Hold a lock that says that this process needs the folder."""
    descriptor, name = tempfile.mkstemp(prefix="new-", dir=folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Only a file that is locked gets the name that counts, so no other run finds it before.
        Path(name).rename(folder / f"{_LOCK}{Path(name).name}")
        yield
    finally:
        os.close(descriptor)


def remove_leftovers(parent: Path, *patterns: str) -> None:
    """Remove the folders that were in use and are no more, and stop the servers in them. Folders of other users and
    folders that cannot be read stay."""
    for pattern in patterns:
        for folder in parent.glob(pattern):
            with suppress(OSError):
                if folder.lstat().st_uid == os.getuid() and _is_left(folder):
                    _stop_server(folder / "data")
                    shutil.rmtree(folder, ignore_errors=True)


def _is_left(folder: Path) -> bool:
    """Return whether processes have used the folder and all of them are gone."""
    locks = list(folder.glob(f"{_LOCK}*"))
    return bool(locks) and not any(_is_locked(lock) for lock in locks)


def _is_locked(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _stop_server(data: Path) -> None:
    """Kill PostgreSQL, if it still runs on this folder: nobody needs what it would save."""
    with suppress(OSError, ValueError, IndexError, psutil.Error):
        server = psutil.Process(int((data / "postmaster.pid").read_text().splitlines()[0]))
        if str(data) in server.cmdline():
            processes = [server, *server.children(recursive=True)]
            for process in processes:
                process.kill()
            psutil.wait_procs(processes, timeout=10)
