"""The journal: append-only entries about what was done with an entity, and why."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.field_notes import FieldNote, MergedField, PersonalFields, SentRecord
from connector.store.field_notes import dump_fields, load_fields
from connector.store.tables import HAS_ACTOR, journal
from connector.store.unit_of_work import UnitOfWork

MOST_NAMED = 20
"""How many of the chosen things an entry about many of them names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalEntry:
    """One entry. `action` is a word (`created`, `updated`, `refused`, …); `detail` explains it and is stored as JSON;
    `org_id` is the org that it concerns, if any. `actor` is the operator who did it (the name of a token, or
    `command_line_actor`); None if the service did it by itself."""

    entity: str
    key: str
    action: str
    detail: Mapping[str, Any]
    org_id: str | None = None
    actor: str | None = None
    sent: Sequence[SentRecord] = ()
    merged: Sequence[MergedField] = ()
    personal: PersonalFields = field(default_factory=dict)
    """Which of the fields of `sent` and `merged` are personal data."""
    run: str | None = None
    """The name of the run that it belongs to (`resync-12`); by default that of the transaction."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalRecord(JournalEntry):
    """An entry as stored; `id` rises with time. `request` is the HTTP request by which it was asked for, `notes` are
    its fields."""

    id: int
    at: datetime
    request: str | None = None
    notes: Sequence[FieldNote] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class RenamedKey:
    """An entity that an upgrade gave another key."""

    entity: str
    key: str
    old_key: str
    reason: str


def command_line_actor() -> str:
    """The actor of what a command does: the user of the operating system, as `ann@cli`, so that no token has the same
    name by chance. With `sudo` to root it is the person who called it: anybody else could set the variable."""
    user = os.environ.get("SUDO_USER") if os.getuid() == 0 else None
    if not user:
        try:
            user = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:  # a container may run as a number that has no name
            user = f"uid {os.getuid()}"
    return f"{user}@cli"


_APPEND = insert(journal)


async def write(uow: UnitOfWork, entries: Sequence[JournalEntry]) -> None:
    """Append `entries` with the time of the transaction. Decimals and dates in a detail are stored as text; of fields,
    the values that the settings let the journal keep."""
    rows = [
        {
            "at": uow.now,
            "entity": entry.entity,
            "key": entry.key,
            "action": entry.action,
            "detail": orjson.dumps(entry.detail, default=str).decode(),
            "org_id": entry.org_id,
            "actor": entry.actor,
            "request": uow.request,
            "fields": dump_fields(entry.sent, entry.merged, entry.personal, uow.kept_values),
            "run": entry.run or uow.run,
        }
        for entry in entries
    ]
    if rows:
        await uow.connection.execute(_APPEND, rows)


async def read(connection: AsyncConnection, entity: str, key: str, limit: int = 100) -> list[JournalRecord]:
    """The latest entries about one entity, newest first."""
    statement = (
        select(journal)
        .where(journal.c.entity == entity, journal.c.key == key)
        .order_by(journal.c.id.desc())
        .limit(limit)
    )
    return [build_record(row) for row in await connection.execute(statement)]


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditFilter:
    """Which actions of operators are meant; what is given must all hold. `since` is the earliest time."""

    actor: str | None = None
    action: str | None = None
    entity: str | None = None
    key: str | None = None
    since: datetime | None = None


async def list_actions(
    connection: AsyncConnection, chosen: AuditFilter, *, before: int | None = None, limit: int
) -> list[JournalRecord]:
    """Up to `limit` actions of operators with an ID below `before`, newest first."""
    statement = select(journal).where(HAS_ACTOR).order_by(journal.c.id.desc()).limit(limit)
    for name in ("actor", "action", "entity", "key"):
        if (value := getattr(chosen, name)) is not None:
            statement = statement.where(journal.c[name] == value)
    if chosen.since is not None:
        statement = statement.where(journal.c.at >= chosen.since)
    if before is not None:
        statement = statement.where(journal.c.id < before)
    return [build_record(row) for row in await connection.execute(statement)]


def build_record(row: Any) -> JournalRecord:
    """An entry from its row."""
    return JournalRecord(
        id=row.id,
        at=row.at,
        entity=row.entity,
        key=row.key,
        action=row.action,
        detail=orjson.loads(row.detail),
        org_id=row.org_id,
        actor=row.actor,
        request=row.request,
        notes=load_fields(row.fields),
        run=row.run,
    )


async def find_last_id(connection: AsyncConnection) -> int:
    """The ID of the latest entry; 0 if there is none."""
    return (await connection.execute(select(func.max(journal.c.id)))).scalar() or 0


async def list_renamed_keys(connection: AsyncConnection, after: int) -> list[RenamedKey]:
    """Keys that were renamed after the entry with the ID `after`, in order."""
    row = journal.c
    statement = select(row.entity, row.key, row.detail).where(row.id > after, row.action == "renamed").order_by(row.id)
    renamed = []
    for entity, key, text in await connection.execute(statement):
        detail = orjson.loads(text)
        renamed.append(RenamedKey(entity=entity, key=key, old_key=detail["from"], reason=detail["why"]))
    return renamed
