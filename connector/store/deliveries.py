"""Deliveries of events that we have counted, by topic and hour, and how each topic is received."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.deliveries import (
    DeliveryLimit,
    DeliveryMode,
    DeliveryPolicy,
    DeliveryUsage,
    TopicState,
    estimate,
)
from connector.model.hourly_counts import DAY, HOUR, hour_of
from connector.settings.inbound import InboundSettings
from connector.store.inbound_tables import deliveries, topic_states
from connector.store.sql import insert_into, upsert
from connector.store.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

KEPT = timedelta(days=31)


def policy_of(settings: InboundSettings) -> DeliveryPolicy:
    return DeliveryPolicy(
        reserve_percent=settings.delivery_reserve_percent, most_per_day=settings.most_deliveries_per_day
    )


async def add(uow: UnitOfWork, org_id: str, topic: str, events: int) -> None:
    """Count these events, which were delivered now."""
    if not events:
        return
    row = {"org_id": org_id, "topic": topic, "hour": hour_of(uow.now), "events": events}
    await uow.connection.execute(_add_events(uow.connection.dialect.name), row)


@cache
def _add_events(dialect: str) -> sqlite.Insert | postgresql.Insert:
    statement = insert_into(deliveries, dialect)
    return statement.on_conflict_do_update(
        index_elements=["org_id", "topic", "hour"],
        set_={"events": deliveries.c.events + statement.excluded.events},
    )


_COUNTS = select(deliveries.c.hour, deliveries.c.events).where(
    deliveries.c.org_id == bindparam("the_org"),
    deliveries.c.topic == bindparam("the_topic"),
    deliveries.c.hour > bindparam("the_hour"),
)


async def counts(connection: AsyncConnection, org_id: str, topic: str, now: datetime) -> dict[datetime, int]:
    """Our counts of the last 25 hours, by hour."""
    values = {"the_org": org_id, "the_topic": topic, "the_hour": now - DAY - HOUR}
    return {row.hour: row.events for row in await connection.execute(_COUNTS, values)}


_STATES = select(topic_states).where(topic_states.c.org_id == bindparam("the_org")).order_by(topic_states.c.topic)


async def get_states(connection: AsyncConnection, org_id: str) -> dict[str, TopicState]:
    """How each topic is received that was ever listened to, by topic."""
    return {row.topic: _state(dict(row._mapping)) for row in await connection.execute(_STATES, {"the_org": org_id})}


_DELETE_OLD = delete(deliveries).where(deliveries.c.hour < bindparam("the_hour"))


async def put_state(uow: UnitOfWork, org_id: str, state: TopicState) -> None:
    """Store how a topic is received, and delete counts that nobody needs any more."""
    limit = state.limit
    row = {
        "org_id": org_id,
        "topic": state.topic,
        "mode": state.mode.value,
        "since": state.since,
        "resume_at": state.resume_at,
        "used": limit and limit.used,
        "allowed": limit and limit.allowed,
        "observed_at": limit and limit.observed_at,
        "counted_in_hour": limit and limit.counted_in_hour,
    }
    await upsert(uow.connection, topic_states, [row])
    await uow.connection.execute(_DELETE_OLD, {"the_hour": uow.now - KEPT})


async def usage(connection: AsyncConnection, org_id: str, now: datetime, policy: DeliveryPolicy) -> list[DeliveryUsage]:
    """Where each topic stands that was ever listened to."""
    states = await get_states(connection, org_id)
    return [
        estimate(state, await counts(connection, org_id, topic, now), now, policy) for topic, state in states.items()
    ]


def _state(row: Mapping[str, object]) -> TopicState:
    limit = None
    if row["observed_at"] is not None:
        names = ("used", "allowed", "observed_at", "counted_in_hour")
        limit = DeliveryLimit(**{name: row[name] for name in names})  # type: ignore[arg-type]
    return TopicState(
        topic=str(row["topic"]),
        mode=DeliveryMode(str(row["mode"])),
        since=row["since"],  # type: ignore[arg-type]
        resume_at=row["resume_at"],  # type: ignore[arg-type]
        limit=limit,
    )
