"""Folders of databases in memory, and what removes those of runs that were killed.

A folder has the process that it belongs to in a file. If that process is gone, nobody else will remove the folder or
stop the server whose data it holds.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil

OWNER = "owner"


def set_owner(folder: Path, process_id: int) -> None:
    """Note that the folder is needed as long as this process runs."""
    (folder / OWNER).write_text(f"{process_id} {psutil.Process(process_id).create_time()}")


def remove_leftovers(parent: Path, *patterns: str) -> None:
    """Remove the folders whose owner is gone, and stop the servers in them. A folder without an owner stays."""
    for pattern in patterns:
        for folder in parent.glob(pattern):
            if (folder / OWNER).is_file() and not _is_needed(folder):
                _stop_server(folder / "data")
                shutil.rmtree(folder, ignore_errors=True)


def _is_needed(folder: Path) -> bool:
    try:
        process_id, started_at = (folder / OWNER).read_text().split()
        return psutil.Process(int(process_id)).create_time() == float(started_at)  # an ID is given again
    except ValueError:
        return True  # it is being written
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False


def _stop_server(data: Path) -> None:
    """Kill PostgreSQL, if it still runs on this folder: nobody needs what it would save."""
    try:
        server = psutil.Process(int((data / "postmaster.pid").read_text().splitlines()[0]))
        if str(data) in server.cmdline():
            processes = [server, *server.children(recursive=True)]
            for process in processes:
                process.kill()
            psutil.wait_procs(processes, timeout=10)
    except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
        return
