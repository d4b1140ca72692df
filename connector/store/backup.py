"""Copies a SQLite database while services write to it, and puts such a copy in the place of a database.

A copy is made in steps from one snapshot. Without the snapshot SQLite begins anew after each write of another
connection, so a copy of a busy database would never end (measured: 540 restarts in 14 s; with it none in 0.2 s).
Writers do not wait for it: they write to the write-ahead log, which grows meanwhile.

All functions block; `jobs.backup` runs them in a thread.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from connector.errors import StoreError, UsageError
from connector.files import UnusableFileError, check_plain, create_private

PAGES = 1024
"""Pages in one step (4 MB); between two steps a copy can be stopped."""
INSTRUCTIONS = 1_000_000
"""Instructions of SQLite, a few milliseconds, between which checking and counting can be stopped."""
BUSY_SECONDS = 60.0
ABANDONED_SECONDS = 12 * 3600.0
"""How long nothing was written to a copy that is not whole, when its process is held for dead."""
_UNUSABLE = (sqlite3.DatabaseError, OSError)

OnStep = Callable[[int, int], None]
"""Called with the pages that are copied and all pages. What it raises ends the copy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Copy:
    """A checked copy. `revision`: that of its schema. `rows`: the number of rows of each table."""

    file: Path
    size: int
    revision: str
    rows: Mapping[str, int]


def back_up(source: Path, target: Path, on_step: OnStep) -> Copy:
    """Copy the database `source` to the new file `target`, which only its owner may read, and check the copy.

    `target` appears when it is whole. Raises UsageError if it exists or its folder does not, StoreError if the copy
    cannot be made or is not equal to the snapshot that it was made of.
    """
    if target.exists():
        raise UsageError(f"The file {target} exists already.", hint="Name another one.")
    if not target.parent.is_dir():
        raise UsageError(f"There is no folder {target.parent}.", hint="Create it, or name another one.")
    _check_room(source, target.parent)
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with _translated("The backup cannot be made"):
            copied = _copy(source, partial, on_step)
            try:
                _name(partial, target)
            except FileExistsError:
                raise UsageError(f"The file {target} exists already.", hint="Name another one.") from None
            _sync_folder(target.parent)
    finally:
        partial.unlink(missing_ok=True)
    return Copy(file=target, size=copied.size, revision=copied.revision, rows=copied.rows)


def inspect(file: Path) -> Copy:
    """Check a file that is to be restored. Raises UsageError if it is not a whole database of ours."""
    try:
        check_plain(file)
        with closing(_open(file)) as connection:
            _check(connection, file)
            return Copy(file=file, size=file.stat().st_size, revision=_revision(connection), rows=_rows(connection))
    except UnusableFileError as error:
        raise UsageError(f"{file} {error.problem}.", hint="Name a file that `connector db backup` has made.") from None
    except (*_UNUSABLE, StoreError) as error:
        raise UsageError(
            f"{file} is not a whole database of ours: {_reason(error)}.",
            hint="Name a file that `connector db backup` has made.",
        ) from None


def copy_beside(backup: Path, current: Path, on_step: OnStep) -> Copy:
    """Copy `backup` to a file beside the database `current`, which is to be put in its place, or to be discarded.

    Raises StoreError if the copy cannot be made.
    """
    _check_room(backup, current.parent)
    delete_abandoned(current.parent, f"{current.name}.")
    partial = current.with_name(f".{current.name}.{os.getpid()}.part")
    try:
        with _translated("The backup cannot be restored"):
            return _copy(backup, partial, on_step)
    except BaseException:
        discard(partial)
        raise


def discard(copy: Path) -> None:
    """Delete a copy that took no place, with what SQLite has put beside it."""
    for ending in ("", "-wal", "-shm"):
        copy.with_name(copy.name + ending).unlink(missing_ok=True)


def put_in_place(copy: Copy, current: Path, kept: Path) -> Copy:
    """Make a copy the database `current`, whose former file becomes `kept`; there need not be one.

    Raises StoreError, and changes nothing, if another process has the database open.
    """
    with _translated("The backup cannot be restored"):
        _sync_file(copy.file)
        if current.exists():
            _close_log(current)
            _keep(current, kept)
        copy.file.replace(current)
        _sync_folder(current.parent)
    return replace(copy, file=current)


def _copy(source: Path, target: Path, on_step: OnStep) -> Copy:
    """Copy one snapshot of `source` to the new file `target`, and compare."""
    target.unlink(missing_ok=True)
    create_private(target)
    position = [0, 0]
    with (
        closing(_open(source)) as origin,
        closing(_open(target)) as copy,
        _stoppable((origin, copy), lambda: on_step(*position)),
    ):
        origin.execute("BEGIN")
        rows = _rows(origin)  # the first read takes the snapshot, which all steps see

        def step(_: int, remaining: int, total: int) -> None:
            position[:] = (total - remaining, total)
            on_step(*position)

        origin.backup(copy, pages=PAGES, progress=step, sleep=0)
        copy.execute("PRAGMA journal_mode = DELETE")  # a single file, without a log beside it
        _check(copy, target)
        if _rows(copy) != rows:
            raise StoreError("The copy does not have the rows of the database.", hint="Try again, on another disk.")
        revision = _revision(copy)
    _sync_file(target)
    return Copy(file=target, size=target.stat().st_size, revision=revision, rows=rows)


@contextmanager
def _stoppable(connections: Sequence[sqlite3.Connection], look: Callable[[], None]) -> Iterator[None]:
    """Call `look` also during long statements, such as a check of the whole database, and raise what it raises. Only
    the first pass of the check, over the pages, is one step for SQLite."""
    raised: list[Exception] = []

    def is_stopped() -> int:
        try:
            look()
        except Exception as error:  # SQLite only ends its statement by it
            raised.append(error)
            return 1
        return 0

    for connection in connections:
        connection.set_progress_handler(is_stopped, INSTRUCTIONS)
    try:
        yield
    except sqlite3.OperationalError:
        if raised:
            raise raised[0] from None
        raise
    finally:
        for connection in connections:
            connection.set_progress_handler(None, 0)


def _open(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(file, isolation_level=None, timeout=BUSY_SECONDS)


def _check(connection: sqlite3.Connection, file: Path) -> None:
    """Raise StoreError unless each page, index and reference of the database is sound."""
    found = [row[0] for row in connection.execute("PRAGMA integrity_check(1)")]
    if found != ["ok"]:
        raise StoreError(f"{file.name} is damaged: {found[0]}", hint="Try again, on another disk.")
    if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise StoreError(f"{file.name} has rows that refer to missing ones.", hint="Restore an earlier backup.")


def _revision(connection: sqlite3.Connection) -> str:
    return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def _rows(connection: sqlite3.Connection) -> dict[str, int]:
    names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return {
        name: connection.execute(f'SELECT COUNT(*) FROM "{name}"').fetchone()[0]  # noqa: S608 - a name of a table
        for name in sorted(row[0] for row in names.fetchall())
    }


def _close_log(current: Path) -> None:
    """Bring the write-ahead log into the file. It works only while no other process has the database open, so it also
    proves that. A damaged database cannot prove it, and is left as it is, with its log; but Linux says who has it
    open."""
    if holders := _list_holders(current):
        raise _open_elsewhere(current, holders)
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(current, isolation_level=None, timeout=1)) as own:
        try:
            mode = own.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            mode = "wal"
        if mode == "wal":
            raise _open_elsewhere(current, [])


def _open_elsewhere(current: Path, holders: Sequence[str]) -> StoreError:
    return StoreError(
        f"Another process has the database {current} open{': ' if holders else ''}{', '.join(holders)}.",
        hint="Stop the service and all commands, and try again; nothing was changed.",
    )


def _list_holders(file: Path) -> list[str]:
    """Other processes that have the file open, as `4711 (connector)`; those that Linux lets this user see."""
    name, found = str(file.resolve()), []
    for folder in sorted(Path("/proc").glob("[0-9]*")):
        with suppress(OSError):  # a process of another user, or one that has just ended
            if int(folder.name) != os.getpid() and name in _list_opened(folder):
                found.append(f"{folder.name} ({(folder / 'comm').read_text().strip()})")
    return found


def _list_opened(process: Path) -> Iterator[str]:
    for opened in (process / "fd").iterdir():
        with suppress(FileNotFoundError):  # it has just been closed
            yield str(opened.readlink())


def delete_abandoned(folder: Path, prefix: str) -> int:
    """Delete what killed processes have left of their copies to files with this prefix, and return the number."""
    before, number = time.time() - ABANDONED_SECONDS, 0
    for file in folder.glob(f".{prefix}*.part"):
        with suppress(FileNotFoundError):  # another process has just deleted it
            if file.stat().st_mtime < before:
                file.unlink()
                number += 1
    return number


def _name(partial: Path, target: Path) -> None:
    """Give a whole copy its name. FileExistsError if somebody has created that file meanwhile.

    Some network and FUSE file systems have no hard links. There the name is taken by an empty file first."""
    try:
        os.link(partial, target)
    except FileExistsError:
        raise
    except OSError:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        partial.replace(target)


def _keep(current: Path, kept: Path) -> None:
    """Give the former database another name, with what a damaged one has beside it. Where the file system has hard
    links, the name `current` stays until the new file takes it."""
    try:
        os.link(current, kept)
    except FileExistsError:
        raise
    except OSError:
        _name(current, kept)
    for ending in ("-wal", "-shm", "-journal"):
        beside = current.with_name(current.name + ending)
        if beside.exists():
            beside.replace(kept.with_name(kept.name + ending))


def _check_room(source: Path, folder: Path) -> None:
    with suppress(OSError):
        needed, free = source.stat().st_size, shutil.disk_usage(folder).free
        if free < needed:
            raise StoreError(
                f"The disk of {folder} has {free >> 20:,} MB free, and the copy needs {needed >> 20:,} MB.",
                hint="Make room, or name a folder on another disk.",
            )


def _sync_file(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except _UNUSABLE as error:
        hint = "Check the disk and the folder; nothing was changed."
        raise StoreError(f"{what}: {_reason(error)}.", hint=hint) from None


def _reason(error: Exception) -> str:
    if isinstance(error, StoreError):
        return error.message.rstrip(".")
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.lower() or type(error).__name__
