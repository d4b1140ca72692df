"""The inbox: records of the org that are known to have changed and are still to be read and applied, one row each.

It is the outbox of the other direction. A record that changes again while it is being applied gets a higher version and
stays due. What cannot be applied is parked: a person sees it, and it holds up nothing else. `observed` are values that
were seen in the record before it is merged: our own writes of other fields raise the time of the record meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from sqlalchemy import Executable, Integer, Select, and_, bindparam, delete, func, not_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.inbound_change import InboxItem, InboxState, Source
from connector.model.observed_value import ObservedValues, dump_observed, load_observed, with_earlier
from connector.store import journal
from connector.store.inbound_tables import inbox
from connector.store.journal import MOST_NAMED, command_line_actor
from connector.store.orgs import belongs_to, is_of_scope
from connector.store.scope import scope_of
from connector.store.sql import chunks, insert, insert_into, select_in
from connector.store.unit_of_work import UnitOfWork

SHORTEST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(minutes=15)
FIRST_RETRY = timedelta(minutes=5)
LONGEST_RETRY = timedelta(hours=12)
_MAX_DOUBLINGS = 10

Ref = tuple[str, str]
"""A record: its sObject and its 18-character ID."""

_IS_OF_ORG = inbox.c.org_id == bindparam("the_org")
_IS_VERSION = and_(
    _IS_OF_ORG,
    inbox.c.sobject == bindparam("the_sobject"),
    inbox.c.record_id == bindparam("the_record"),
    inbox.c.version == bindparam("the_version"),
)


async def put(
    uow: UnitOfWork,
    org_id: str,
    records: Collection[Ref],
    source: Source,
    *,
    delay: timedelta = timedelta(),
    attempts: int = 0,
    observed: Mapping[Ref, ObservedValues] = MappingProxyType({}),
) -> None:
    """Note that these records have changed. One that is there already, parked or not, is due again. `observed`: what
    was seen in them."""
    seen = await _with_earlier(uow, org_id, observed)
    rows = [
        {
            "org_id": org_id,
            "sobject": sobject,
            "record_id": record_id,
            "version": 1,
            "state": InboxState.DUE.value,
            "source": source.value,
            "seen_at": uow.now,
            "due_at": uow.now + delay,
            "attempts": attempts,
            "observed": seen.get((sobject, record_id)),
            "run": uow.run,
        }
        for sobject, record_id in sorted(set(records))
    ]
    if rows:
        await uow.connection.execute(_put(uow.connection.dialect.name), rows)


@lru_cache
def _put(dialect: str) -> Executable:
    statement = insert_into(inbox, dialect)
    changes = {name: statement.excluded[name] for name in ("state", "source", "due_at", "attempts")}
    return statement.on_conflict_do_update(
        index_elements=["org_id", "sobject", "record_id"],
        set_={
            **changes,
            "version": inbox.c.version + 1,
            "observed": func.coalesce(statement.excluded.observed, inbox.c.observed),
            "run": func.coalesce(statement.excluded.run, inbox.c.run),
            "error": None,
            "fix": None,
        },
    )


async def _with_earlier(uow: UnitOfWork, org_id: str, observed: Mapping[Ref, ObservedValues]) -> dict[Ref, str | None]:
    """What was seen in these records now and before, as it is stored."""
    before = await find_observed(uow.connection, org_id, {record_id for _, record_id in observed}) if observed else {}
    return {ref: dump_observed(with_earlier(now, before.get(ref[1], {}))) for ref, now in observed.items()}


_OBSERVED = select(inbox.c.record_id, inbox.c.observed).where(_IS_OF_ORG, inbox.c.observed.is_not(None))


async def find_observed(connection: AsyncConnection, org_id: str, ids: Collection[str]) -> dict[str, ObservedValues]:
    """What was seen in those of these records that are in the inbox, by record ID."""
    rows = await select_in(connection, _OBSERVED, inbox.c.record_id, sorted(ids), the_org=org_id)
    return {row.record_id: load_observed(row.observed) for row in rows}


async def find(connection: AsyncConnection, org_id: str, sobject: str, ids: Sequence[str]) -> dict[str, InboxItem]:
    """The rows of these records of an object, due or parked, by record ID."""
    statement = select(inbox).where(inbox.c.org_id == org_id, inbox.c.sobject == sobject)
    return {row.record_id: _item(row) for row in await select_in(connection, statement, inbox.c.record_id, ids)}


_LOCK = (
    select(inbox.c.sobject, inbox.c.record_id)
    .where(_IS_OF_ORG)
    .order_by(inbox.c.sobject, inbox.c.record_id)
    .with_for_update()
)


async def lock(uow: UnitOfWork, org_id: str, records: Collection[Ref]) -> set[Ref]:
    """Lock the rows of these records until the transaction ends, and return the records that are still there."""
    ids = sorted({record_id for _, record_id in records})
    rows = await select_in(uow.connection, _LOCK, inbox.c.record_id, ids, the_org=org_id)
    return {(row.sobject, row.record_id) for row in rows} & set(records)


async def drop(uow: UnitOfWork, org_id: str, records: Collection[Ref]) -> None:
    """Delete the rows of these records, whatever their state."""
    for sobject, record_id in sorted(set(records)):
        is_record = (inbox.c.org_id == org_id, inbox.c.sobject == sobject, inbox.c.record_id == record_id)
        await uow.connection.execute(delete(inbox).where(*is_record))


_END_PARKED = delete(inbox).where(
    _IS_OF_ORG,
    inbox.c.state == InboxState.PARKED.value,
    inbox.c.record_id.in_(bindparam("the_records", expanding=True)),
)


async def end_parked(uow: UnitOfWork, org_id: str, record_ids: Collection[str]) -> None:
    """Delete the parked rows of these records: they were read again and applied."""
    for chunk in chunks(sorted(set(record_ids))):
        await uow.connection.execute(_END_PARKED, {"the_org": org_id, "the_records": chunk})


_ATTEMPTS = select(inbox.c.sobject, inbox.c.record_id, inbox.c.attempts).where(_IS_OF_ORG)


async def retry(
    uow: UnitOfWork,
    org_id: str,
    records: Collection[Ref],
    *,
    pause: timedelta,
    observed: Mapping[Ref, ObservedValues] = MappingProxyType({}),
) -> None:
    """Read these records again after `pause`, which doubles each time in a row, up to 15 minutes. No pause means none
    the first time, then a second: what it waits for may be the clock of another host."""
    ids = sorted({record_id for _, record_id in records})
    before = {
        (row.sobject, row.record_id): row.attempts
        for row in await select_in(uow.connection, _ATTEMPTS, inbox.c.record_id, ids, the_org=org_id)
    }
    for record in sorted(set(records)):
        attempts = before.get(record, 0)
        doublings = min(attempts if pause else attempts - 1, _MAX_DOUBLINGS)
        delay = min((pause or SHORTEST_PAUSE) * 2**doublings, LONGEST_PAUSE) if pause or attempts else timedelta()
        seen = {record: observed[record]} if record in observed else {}
        await put(uow, org_id, [record], Source.RETRY, delay=delay, attempts=attempts + 1, observed=seen)


_DUE = (
    select(inbox)
    .where(_IS_OF_ORG, inbox.c.state == InboxState.DUE.value, inbox.c.due_at <= bindparam("the_now"))
    .order_by(inbox.c.due_at, inbox.c.sobject, inbox.c.record_id)
    .limit(bindparam("the_limit", type_=Integer))
)


async def list_due(connection: AsyncConnection, org_id: str, now: datetime, limit: int) -> list[InboxItem]:
    """Up to `limit` records that are due, longest due first."""
    rows = await connection.execute(_DUE, {"the_org": org_id, "the_now": now, "the_limit": limit})
    return [_item(row) for row in rows]


_STATES = select(inbox.c.record_id, inbox.c.state).where(_IS_OF_ORG)


async def states(connection: AsyncConnection, org_id: str, record_ids: Iterable[str]) -> dict[str, InboxState]:
    """Return the states of those of these records that are in the inbox, by record ID."""
    rows = await select_in(connection, _STATES, inbox.c.record_id, sorted(record_ids), the_org=org_id)
    return {row.record_id: InboxState(row.state) for row in rows}


async def list_parked(connection: AsyncConnection, limit: int = 1000) -> list[InboxItem]:
    """Up to `limit` records that cannot be applied, oldest first."""
    parked = (inbox.c.state == InboxState.PARKED.value, is_of_scope(connection, inbox.c.org_id))
    statement = select(inbox).where(*parked).order_by(inbox.c.seen_at).limit(limit)
    return [_item(row) for row in await connection.execute(statement)]


_DELETE = delete(inbox).where(_IS_VERSION)


async def settle(uow: UnitOfWork, org_id: str, items: Sequence[InboxItem]) -> None:
    """Delete these items, which are applied, unless their records changed again meanwhile."""
    if items:
        await uow.connection.execute(_DELETE, [_parameters(org_id, item) for item in items])


async def postpone(uow: UnitOfWork, org_id: str, items: Sequence[InboxItem], *, due_at: datetime, error: str) -> None:
    """Try these items again at `due_at`."""
    statement = update(inbox).where(_IS_VERSION).values(attempts=inbox.c.attempts + 1, due_at=due_at, error=error)
    if items:
        await uow.connection.execute(statement, [_parameters(org_id, item) for item in items])


async def park(
    uow: UnitOfWork,
    org_id: str,
    record: Ref,
    source: Source,
    *,
    error: str,
    fix: str,
    attempts: int = 0,
    read_at: datetime | None = None,
) -> None:
    """Park a record that cannot be applied, whether or not it is in the inbox already. One that became due after it was
    read, at `read_at` (now, by default), stays due: it has changed meanwhile.

    With `attempts`, the number of times that this has happened in a row, `retry_parked` tries it again, less and less
    often."""
    pause = min(FIRST_RETRY * 2 ** min(attempts - 1, _MAX_DOUBLINGS), LONGEST_RETRY) if attempts else timedelta()
    row = {
        "org_id": org_id,
        "sobject": record[0],
        "record_id": record[1],
        "version": 1,
        "state": InboxState.PARKED.value,
        "source": source.value,
        "seen_at": uow.now,
        "due_at": uow.now + pause,
        "attempts": attempts,
        "error": error,
        "fix": fix,
    }
    statement = insert(uow.connection, inbox)
    changes = {name: statement.excluded[name] for name in ("state", "source", "due_at", "attempts", "error", "fix")}
    is_newer = and_(inbox.c.state == InboxState.DUE.value, inbox.c.due_at > (read_at or uow.now))
    await uow.connection.execute(
        statement.on_conflict_do_update(
            index_elements=["org_id", "sobject", "record_id"],
            set_={**changes, "version": inbox.c.version + 1},
            where=not_(is_newer),
        ),
        [row],
    )


_RETRY_PARKED = (
    update(inbox)
    .where(_IS_OF_ORG, inbox.c.state == InboxState.PARKED.value, inbox.c.attempts > 0)
    .where(inbox.c.due_at <= bindparam("the_now"))
    .values(state=InboxState.DUE.value)
)


async def retry_parked(uow: UnitOfWork, org_id: str) -> None:
    """Make parked records due whose time has come: something here may have changed meanwhile."""
    await uow.connection.execute(_RETRY_PARKED, {"the_org": org_id, "the_now": uow.now})


async def replay(uow: UnitOfWork, record_ids: Iterable[str] | None = None, *, actor: str | None = None) -> int:
    """Make parked records due again: those with these IDs, or all. Returns how many there were."""
    ids = None if record_ids is None else sorted(set(record_ids))
    if number := await _make_due(uow, ids):
        detail = {"records": "all" if ids is None else ids[:MOST_NAMED], "count": number}
        entry = journal.JournalEntry(
            entity="inbox", key="parked", action="replayed", detail=detail, actor=actor or command_line_actor()
        )
        await journal.write(uow, [entry])
    return number


async def dismiss(uow: UnitOfWork, sobject: str, record_id: str, *, actor: str) -> bool:
    """Forget a parked record: it is not applied until it changes again, or a comparison finds it. False if it is not
    parked."""
    parked = (inbox.c.sobject == sobject, inbox.c.record_id == record_id, inbox.c.state == InboxState.PARKED.value)
    statement = delete(inbox).where(*parked, is_of_scope(uow.connection, inbox.c.org_id))
    if not (await uow.connection.execute(statement)).rowcount:
        return False
    detail = {"sobject": sobject}
    entry = journal.JournalEntry(entity="inbox", key=record_id, action="dismissed", detail=detail, actor=actor)
    await journal.write(uow, [entry])
    return True


async def _make_due(uow: UnitOfWork, record_ids: Sequence[str] | None) -> int:
    statement = (
        update(inbox)
        .where(inbox.c.state == InboxState.PARKED.value, is_of_scope(uow.connection, inbox.c.org_id))
        .values(state=InboxState.DUE.value, due_at=uow.now, attempts=0, error=None, fix=None)
    )
    if record_ids is None:
        return (await uow.connection.execute(statement)).rowcount
    number = 0
    for chunk in chunks(record_ids):
        number += (await uow.connection.execute(statement.where(inbox.c.record_id.in_(chunk)))).rowcount
    return number


async def counts(connection: AsyncConnection, org_id: str | None = None) -> dict[InboxState, int]:
    """Records of an org, or of the orgs of the scope, by state, every state named."""
    statement = _counts(scope_of(connection), org_id is not None)
    numbers: dict[str, int] = dict((await connection.execute(statement, {"the_org": org_id})).all())
    return {state: numbers.get(state.value, 0) for state in InboxState}


@lru_cache
def _counts(scope: str | None, of_one_org: bool) -> Select[Any]:
    mine = _IS_OF_ORG if of_one_org else belongs_to(scope, inbox.c.org_id)
    return select(inbox.c.state, func.count()).where(mine).group_by(inbox.c.state)


_DUE_SINCE = select(func.count(), func.min(inbox.c.seen_at)).where(inbox.c.state == InboxState.DUE.value, _IS_OF_ORG)


async def due_since(connection: AsyncConnection, org_id: str | None) -> tuple[int, datetime | None]:
    """How many records are still to be read, and when the oldest of them was heard of."""
    number, oldest = (await connection.execute(_DUE_SINCE, {"the_org": org_id})).one()
    return number, oldest


def _parameters(org_id: str, item: InboxItem) -> dict[str, object]:
    return {
        "the_org": org_id,
        "the_sobject": item.sobject,
        "the_record": item.record_id,
        "the_version": item.version,
    }


def _item(row: object) -> InboxItem:
    values = row._mapping  # type: ignore[attr-defined]
    names = ("sobject", "record_id", "version", "seen_at", "due_at", "attempts", "error", "fix", "run")
    return InboxItem(
        state=InboxState(values["state"]), source=Source(values["source"]), **{name: values[name] for name in names}
    )
