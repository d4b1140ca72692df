"""One transaction, and the only place where changes and events for the org are captured.

Code that writes a synced entity reports it to `changed`, and gives `publish` the platform events that tell of it. The
rows of both outboxes are written just before the commit, so a change and its capture succeed or fail together, and an
entity that changed ten times in a transaction is captured once.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import orjson
from sqlalchemy import case, or_
from sqlalchemy import insert as plain_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.log import request_id
from connector.model.change import ChangeState, EntityKind
from connector.model.lane import Lane
from connector.model.outgoing_event import OutgoingState
from connector.model.platform_event import PlatformEvent
from connector.policies import KeptValues
from connector.store.event_tables import outgoing_events
from connector.store.sql import Row, insert
from connector.store.tables import outbox


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
        self.captured: frozenset[int | None] = frozenset()
        """The slots of the changes for the org that were captured, None for products: what a push has to do after the
        commit."""
        self._events: list[PlatformEvent] = []
        self._changed: dict[tuple[EntityKind, str], tuple[int, Lane, bool]] = {}

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

    def publish(self, events: Iterable[PlatformEvent]) -> None:
        """Publish these events to the org after the commit, those of an order in this sequence."""
        self._events += events

    async def capture(self) -> None:
        """Write the remembered changes and events to their outboxes. Only the store calls this, before the commit."""
        if self._changed:
            self.captured = frozenset(
                None if entity is EntityKind.PRODUCT else slot for (entity, _), (slot, *_) in self._changed.items()
            )
            await self._capture_changes()
        if self._events:
            await self._capture_events()

    async def _capture_events(self) -> None:
        rows: list[Row] = [
            {
                "org_id": event.org_id,
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
        await self.connection.execute(plain_insert(outgoing_events), rows)
        self._events.clear()

    async def _capture_changes(self) -> None:
        # In key order, so that two transactions with the same entities wait for each other instead of deadlocking.
        rows: list[Row] = [
            {
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
            }
            for (entity, key), (slot, lane, unsure) in sorted(self._changed.items())
        ]
        statement = insert(self.connection, outbox)
        new, is_due = statement.excluded, outbox.c.state == ChangeState.DUE.value
        await self.connection.execute(
            statement.on_conflict_do_update(
                index_elements=["entity", "key"],
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
                    "error": None,
                    "refused_at": None,
                    "refusal": None,
                },
            ),
            rows,
        )
        self._changed.clear()
