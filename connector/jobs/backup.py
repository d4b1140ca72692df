"""Backs the SQLite database up while the service runs, and restores a backup while nothing runs.

A restored database is older than the org: its links say what both sides agreed on then, and what it holds as due may
have been sent since. Nothing is sent by the restore itself; a comparison shows what differs.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from connector.errors import RetryClass, StoreError, UsageError
from connector.jobs.schedule import job_of
from connector.log import get_logger
from connector.model.change import ChangeState
from connector.model.notification import MessageState
from connector.settings import Settings
from connector.store import backup as backups
from connector.store import journal, leases, notifications, outbox_counts, schema, tokens, workers
from connector.store.backup import Copy, OnStep
from connector.store.engine import Store
from connector.store.journal import JournalEntry, command_line_actor
from connector.store.restoration import Stopped, stop_what_was_under_way

PREFIX, SUFFIX = "connector-", ".db"
"""What the files of the job are called: `connector-20260301T030000Z.db`."""
FOLDER_HINT = "Create it for the user of the service, mount its disk, or correct the setting."
_STAMP = "%Y%m%dT%H%M%SZ"

T = TypeVar("T")

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Restored:
    """A restored database. `kept`: the file that it replaced, if there was one. `due`: changes that were waiting when
    the backup was made, and `messages` to customers; they may have been sent since. `stopped`: what was under way then.
    `former_tokens`: whether the replaced file could say which tokens are valid."""

    copy: Copy
    kept: Path | None
    due: int
    messages: int
    stopped: Stopped
    former_tokens: bool


def _ignore_step(done: int, total: int) -> None: ...


async def back_up(store: Store, target: Path, on_step: OnStep = _ignore_step) -> Copy:
    """Copy the database to the new file `target`, and check the copy. Raises UsageError for a database that is not a
    SQLite file, and what `store.backup.back_up` raises."""
    source = store.file
    if source is None:
        raise _not_sqlite(store, f"pg_dump --format=custom --file={target} '{store.public_url}'", "make a backup of it")
    await schema.check(store)
    return await _in_thread(lambda step: backups.back_up(source, target, step), on_step)


async def restore(
    settings: Settings, file: Path, *, now: datetime, keep_tokens: bool = False, on_step: OnStep = _ignore_step
) -> Restored:
    """Put the backup `file` in the place of the database, whose file gets another name beside it.

    Only tokens that are valid in the replaced database stay valid; with `keep_tokens` all do, if that one cannot say
    it. Raises UsageError for a file that is no backup or is of another release, StoreError while anything runs on the
    database.
    """
    store = schema.store_of(settings)
    try:
        current = store.file
        if current is None:
            url = store.public_url
            command = f"pg_restore --clean --if-exists --single-transaction --dbname='{url}' {file}"
            raise _not_sqlite(store, command, "restore one, after all services have been stopped")
        await _refuse_if_running(store)
        valid = await _valid_tokens(store)
    finally:
        await store.close()
    checked = await asyncio.to_thread(backups.inspect, file)
    _check_revision(checked)
    kept = current.with_name(f"{current.name}.replaced-{now:{_STAMP}}")
    had_one = current.exists()
    copy = await _in_thread(lambda step: backups.copy_beside(file, current, step), on_step)
    try:
        detail = {"from": str(file), "kept": str(kept) if had_one else None}
        entry = JournalEntry(
            entity="database", key=current.name, action="restored", detail=detail, actor=command_line_actor()
        )
        store = Store.open_file(copy.file)
        try:
            async with store.for_org(None).transaction() as uow:
                jobs = _jobs_that_send(["", *settings.orgs, *await outbox_counts.list_orgs(uow.connection)])
                known = (None if keep_tokens else ()) if valid is None else valid
                stopped = await stop_what_was_under_way(uow, jobs, known)
                await journal.write(uow, [entry])
                due = sum(states[ChangeState.DUE] for states in (await outbox_counts.counts(uow.connection)).values())
                messages = (await notifications.counts(uow.connection))[MessageState.DUE]
        finally:
            await store.close()
        placed = await asyncio.to_thread(backups.put_in_place, copy, current, kept)
    finally:
        await asyncio.to_thread(backups.discard, copy.file)
    return Restored(
        copy=placed,
        kept=kept if had_one else None,
        due=due,
        messages=messages,
        stopped=stopped,
        former_tokens=valid is not None,
    )


def _jobs_that_send(orgs: Sequence[str]) -> list[str]:
    """Those that send what is due: changes, what differs, messages to customers, notices to other systems."""
    of_orgs = [job_of(name, org) for org in dict.fromkeys(orgs) for name in ("push", "reconcile", "heal")]
    return [*of_orgs, "notifications", "webhooks"]


async def _valid_tokens(store: Store) -> set[str] | None:
    """The digests of the tokens that are not revoked; None if the database cannot be read."""
    if store.absent:
        return None
    try:
        async with store.reader() as connection:
            return set(await tokens.list_unrevoked(connection))
    except StoreError:
        return None


async def back_up_regularly(store: Store, settings: Settings) -> dict[str, object]:
    """The job: make a backup in the folder of the settings, and delete the oldest ones. Returns what it came to. The
    folder is not created: a path that does not exist is more likely a disk that is not mounted."""
    folder = settings.backup.folder
    assert folder is not None
    if problem := await asyncio.to_thread(find_folder_problem, folder):
        raise UsageError(problem, hint=FOLDER_HINT)
    await asyncio.to_thread(backups.delete_abandoned, folder, PREFIX)
    made = await back_up(store, folder / f"{PREFIX}{store.clock.now():{_STAMP}}{SUFFIX}")
    deleted = await asyncio.to_thread(_delete_oldest, folder, settings.backup.keep)
    log.info("backed up", file=str(made.file), bytes=made.size, deleted=deleted)
    return {"file": str(made.file), "bytes": made.size, "deleted": deleted}


def find_folder_problem(folder: Path) -> str | None:
    """Why no backup can be made in this folder; None if one can."""
    if not folder.is_dir():
        return (
            f"The folder {folder} of CONNECTOR_BACKUP__FOLDER {'is a file' if folder.exists() else 'does not exist'}."
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"The user of this process may not write to the folder {folder} of CONNECTOR_BACKUP__FOLDER."
    return None


async def warn_about_folder(folder: Path | None) -> None:
    """Log at the start of a service, and not at night, if no backup can be made in the folder of the settings."""
    if folder is not None and (problem := await asyncio.to_thread(find_folder_problem, folder)):
        log.warning("backups cannot be made", error=problem, hint=FOLDER_HINT)


def list_backups(folder: Path) -> Sequence[Path]:
    """The files that the job has made, the oldest first."""
    return sorted(folder.glob(f"{PREFIX}????????T??????Z{SUFFIX}"))


def made_at(file: Path) -> datetime:
    """When the job made this file, as its name says."""
    return datetime.strptime(file.name.removeprefix(PREFIX).removesuffix(SUFFIX), _STAMP).replace(tzinfo=UTC)


def _delete_oldest(folder: Path, keep: int) -> int:
    old = list_backups(folder)[:-keep]
    for file in old:
        file.unlink()
    return len(old)


async def _refuse_if_running(store: Store) -> None:
    """Raise StoreError if a process works with the database. One that cannot be read is replaced without asking it."""
    try:
        await schema.check(store)
        async with store.reader() as connection:
            now = store.clock.now()
            alive = [worker for worker in await workers.list_workers(connection, now) if worker.alive]
            held = [lease for lease in await leases.list_unreleased(connection) if lease.expires_at > now]
    except StoreError as error:
        if error.retry_class is RetryClass.TRANSIENT:
            raise
        return
    owners = {f"{worker.host}:{worker.pid}" for worker in alive} | {lease.owner.rsplit(":", 1)[0] for lease in held}
    if owners:
        raise StoreError(
            f"The database is in use by {', '.join(sorted(owners))}; nothing was changed.",
            hint="Stop the service and all commands. One that was killed is forgotten after"
            " CONNECTOR_SYNC__LEASE_SECONDS.",
        )


def _check_revision(copy: Copy) -> None:
    if copy.revision == schema.HEAD:
        return
    if copy.revision in schema.REVISIONS:
        upgraded = f"{copy.file}.upgraded"
        raise UsageError(
            f"{copy.file} was made by an earlier release (revision {copy.revision}; this one needs {schema.HEAD}).",
            hint=f"Upgrade a copy of it and restore that: `cp {copy.file} {upgraded}`, `CONNECTOR_DATABASE_URL="
            f"sqlite:///{upgraded} connector db upgrade`, `connector db restore {upgraded}`.",
        )
    raise UsageError(
        f"{copy.file} was made by a newer release (revision {copy.revision}; this one knows {schema.HEAD}).",
        hint="Install that release, and restore it there.",
    )


def _not_sqlite(store: Store, command: str, what: str) -> UsageError:
    return UsageError(
        f"{store.address} is not a SQLite file: PostgreSQL has its own programs for backups.",
        hint=f"To {what}, run `{command}`.",
    )


async def _in_thread(work: Callable[[OnStep], T], on_step: OnStep) -> T:
    """Run `work` in a thread. If we are canceled, it ends after its step, and leaves nothing behind."""
    stop = threading.Event()

    def step(done: int, total: int) -> None:
        if stop.is_set():
            raise StoreError("The copy was stopped; nothing was changed.")
        on_step(done, total)

    running = asyncio.ensure_future(asyncio.to_thread(work, step))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.gather(running, return_exceptions=True)
        raise
