"""One transaction, and the only place where changes and events for the org are captured.

Code that writes a synced entity reports it to `changed`, and gives `publish` the platform events that tell of it. The
rows of both outboxes are written just before the commit, so a change and its capture succeed or fail together, and an
entity that changed ten times in a transaction is captured once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

import orjson
from sqlalchemy import bindparam, case, func, or_, select
from sqlalchemy import insert as plain_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.log import current_run, request_id
from connector.model.change import ChangeState, EntityKind
from connector.model.customer import Customer
from connector.model.lane import Lane
from connector.model.order_return import split_key
from connector.model.outgoing_event import OutgoingState
from connector.model.platform_event import PlatformEvent
from connector.model.undo import Restores, dump_restores
from connector.settings.retention import KeptValues
from connector.store.event_tables import outgoing_events
from connector.store.scope import DEFAULT, scope_of
from connector.store.sql import Row, insert_into, select_in
from connector.store.tables import customer_orgs, orders, orgs, outbox

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


class UnitOfWork:
    """The connection of a transaction, its time `now`, and the changes and events to capture at its end.

    `publishes_status`: whether the stages and holds of orders are published to the org. `kept_values`: of which fields
    the journal keeps the values.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        now: datetime,
        *,
        publishes_status: bool = False,
        kept_values: KeptValues = KeptValues.ALL,
    ) -> None:
        self.connection = connection
        self.now = now
        self.publishes_status = publishes_status
        self.kept_values = kept_values
        self.request = request_id.get()
        """The HTTP request that this is done for."""
        self.run = current_run.get()
        """The name of the run that this is done in: what it makes due and writes to the journal belongs to that."""
        self.route: Callable[[Customer], str] | None = None
        """Finds the org of a new customer; None if it is the org of the scope."""
        self.captured: frozenset[int | None] = frozenset()
        """The slots of the changes for the org that were captured, None for products: what a push has to do after the
        commit."""
        self._events: list[PlatformEvent] = []
        self._changed: dict[tuple[EntityKind, str], tuple[int, Lane, bool]] = {}
        self._restores: dict[tuple[EntityKind, str], Restores] = {}
        self._last: list[Callable[[], Awaitable[None]]] = []

    @property
    def is_alone(self) -> bool:
        """Whether no other transaction writes before this one ends: SQLite has one writer. What was read need not be
        read again under a lock."""
        return self.connection.dialect.name == "sqlite"

    def changed(
        self, entity: EntityKind, key: str, slot: int, lane: Lane = Lane.PROFILE, *, unconfirmed: bool = False
    ) -> None:
        """Remember that `key` must be sent to the org. Of several calls, the last slot and the most urgent lane count.

        `unconfirmed`: the state in the org is not known, so it must be read back first.
        """
        _, earlier, earlier_unconfirmed = self._changed.get((entity, key), (slot, lane, False))
        self._changed[entity, key] = (slot, min(earlier, lane), earlier_unconfirmed or unconfirmed)

    def restore(self, entity: EntityKind, key: str, restores: Restores) -> None:
        """Let the next push of an entity, which must be `changed` as well, put these former values back."""
        self._restores[entity, key] = restores

    def publish(self, events: Iterable[PlatformEvent]) -> None:
        """Publish these events to the org after the commit, those of an order in this sequence."""
        self._events += events

    def finally_write(self, work: Callable[[], Awaitable[None]]) -> None:
        """Write this behind everything else, just before the commit: rows that many transactions write, so that none
        holds them while it waits for another one."""
        self._last.append(work)

    async def capture(self) -> None:
        """Write the remembered changes and events to their outboxes, and what comes last. Only the store calls this,
        before the commit."""
        if self._changed:
            self.captured = frozenset(
                None if entity is EntityKind.PRODUCT else slot for (entity, _), (slot, *_) in self._changed.items()
            )
            await self._capture_changes()
        if self._events:
            await self._capture_events()
        for work in self._last:
            await work()
        self._last.clear()

    async def _capture_events(self) -> None:
        open_ones = sorted({event.order for event in self._events if event.org_id is None})
        named = dict(await select_in(self.connection, _ORGS_OF_ORDERS, orders.c.number, open_ones))
        rows: list[Row] = [
            {
                "org_id": event.org_id or named.get(event.order),
                "name": event.name,
                "order_number": event.order,
                "event_id": event.id,
                "fields": orjson.dumps(event.fields).decode(),
                "state": OutgoingState.DUE.value,
                "captured_at": self.now,
                "due_at": self.now,
                "attempts": 0,
            }
            for event in self._events
        ]
        await self.connection.execute(_INSERT_EVENTS, rows)
        self._events.clear()

    async def _capture_changes(self) -> None:
        # In key order, so that two transactions with the same entities wait for each other instead of deadlocking.
        changes = sorted(self._changed.items())
        for kind in sorted({entity for entity, _ in self._changed}):
            rows = [self._row(entity, key, *change) for (entity, key), change in changes if entity is kind]
            if kind is EntityKind.PRODUCT:
                rows = await self._for_each_org(rows)
            await self.connection.execute(_capture(kind, self.connection.dialect.name), rows)
        self._changed.clear()

    def _row(self, entity: EntityKind, key: str, slot: int, lane: Lane, unsure: bool) -> Row:
        row: Row = {
            "entity": entity.value,
            "key": key,
            "slot": slot,
            "lane": lane.value,
            "version": 1,
            "state": ChangeState.DUE.value,
            "due_at": self.now,
            "attempts": 0,
            "captured_at": self.now,
            "unsure": unsure,
            "run": self.run,
            "restores": dump_restores(self._restores.get((entity, key))),
        }
        if entity is not EntityKind.PRODUCT:
            row["the_owner"] = split_key(key)[0] if entity is EntityKind.RETURN else key
        return row

    async def _for_each_org(self, rows: list[Row]) -> list[Row]:
        """Products are sent to every org that this database works with. What is not known to be in an org, and what is
        put back in it, concerns the org of this transaction only."""
        names = [DEFAULT, *(await self.connection.execute(_NAMED_ORGS)).scalars()]
        scope = scope_of(self.connection)
        own = names if scope is None else [scope]
        return [{**row, "org": name} for row in rows for name in (own if row["unsure"] or row["restores"] else names)]


_INSERT_EVENTS = plain_insert(outgoing_events)
_ORGS_OF_ORDERS = (
    select(orders.c.number, orgs.c.org_id)
    .join(customer_orgs, customer_orgs.c.customer == orders.c.customer)
    .join(orgs, orgs.c.name == customer_orgs.c.org)
    .where(orgs.c.active)
)
_NAMED_ORGS = select(orgs.c.name).where(orgs.c.active, orgs.c.name != DEFAULT).order_by(orgs.c.name)
_ORG_OF = {
    EntityKind.CUSTOMER: select(customer_orgs.c.org).where(customer_orgs.c.customer == bindparam("the_owner")),
    EntityKind.ORDER: (
        _of_order := select(customer_orgs.c.org)
        .join(orders, orders.c.customer == customer_orgs.c.customer)
        .where(orders.c.number == bindparam("the_owner"))
    ),
    EntityKind.RETURN: _of_order,
}
"""The org of an entity: that of the account. An order is where its customer is, and a return where its order is."""


@cache
def _capture(kind: EntityKind, dialect: str) -> sqlite.Insert | postgresql.Insert:
    """Insert changes, or make those due again that are there."""
    statement = insert_into(outbox, dialect)
    if kind is not EntityKind.PRODUCT:
        statement = statement.values(org=func.coalesce(_ORG_OF[kind].scalar_subquery(), DEFAULT))
    new, is_due = statement.excluded, outbox.c.state == ChangeState.DUE.value
    return statement.on_conflict_do_update(
        index_elements=["entity", "key", "org"],
        set_={
            # A change in flight stays with the stream that sent it; another stream could overtake it.
            "slot": case((outbox.c.unsure, outbox.c.slot), else_=new.slot),
            "lane": case((is_due & (outbox.c.lane < new.lane), outbox.c.lane), else_=new.lane),
            "version": outbox.c.version + 1,
            "state": new.state,
            "due_at": new.due_at,
            "attempts": 0,
            "unsure": or_(outbox.c.unsure, new.unsure),
            "captured_at": case((is_due, outbox.c.captured_at), else_=new.captured_at),
            "restores": func.coalesce(new.restores, outbox.c.restores),
            # What is due because of a run stays so until it is sent, whatever else changes meanwhile.
            "run": case((is_due & ~outbox.c.unsure, func.coalesce(new.run, outbox.c.run)), else_=new.run),
            "error": None,
            "refused_at": None,
            "refusal": None,
        },
    )
