"""How long changes take to reach the other side: to Salesforce by the stage of the order, back by kind of change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from connector.model.change import EntityKind
from connector.model.platform_event import ORDER_ACTION
from connector.model.stage import Stage
from connector.model.sync_delay import Delays, Direction
from connector.store import sync_delays
from connector.store.engine import Connection
from connector.store.queries.queue_ages import QueueAge, list_oldest_by_stage

_OTHERS = (EntityKind.CUSTOMER, EntityKind.PRODUCT, EntityKind.RETURN)
_OBJECTS = ("Order", "OrderItem", "Account", "Product2", ORDER_ACTION)
_NONE = Delays(changes=0, p50=None, p95=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class KindFreshness:
    """How long changes of one kind took, of those that arrived within the last hour, and the last 24. `kind`: to the
    org, the stage of an order, or `customer`, `product`, `return`; from the org, the object. `oldest_seconds`: how long
    the oldest that still waits has; None if none waits, or it is not known."""

    kind: str
    hour: Delays
    day: Delays
    oldest_seconds: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Freshness:
    """How far each direction is behind, in seconds: since when the oldest change here waits to be sent, and the oldest
    record of the org that is known to have changed waits to be read; 0 if none does. `stages` and `others` (customers,
    products, returns) are what is sent to the org, `changes_of_org` what is read of it: how long that takes. What
    resyncs and backfills make due is not counted in these."""

    to_org: int
    from_org: int
    stages: list[KindFreshness]
    others: list[KindFreshness]
    changes_of_org: list[KindFreshness]


async def load_freshness(
    connection: Connection, org_id: str | None, now: datetime, queue: list[QueueAge], oldest_unread: datetime | None
) -> Freshness:
    """`org_id`: the org that the database works with, if there is one. `oldest_unread`: see `inbox.due_since`."""
    found = {} if org_id is None else await sync_delays.load(connection, org_id, now)
    waits = any(age.entity == EntityKind.ORDER for age in queue)
    oldest = await list_oldest_by_stage(connection) if waits else {}

    def kind(direction: Direction, name: str, since: datetime | None = None) -> KindFreshness:
        hour, day = found.get((direction, name), (_NONE, _NONE))
        return KindFreshness(
            kind=name, hour=hour, day=day, oldest_seconds=None if since is None else seconds(now, since)
        )

    ages = {other: [age.oldest for age in queue if age.entity == other and age.lane != "backfill"] for other in _OTHERS}
    objects = [*_OBJECTS, *sorted({name for side, name in found if side is Direction.FROM_ORG} - {*_OBJECTS})]
    return Freshness(
        to_org=max((seconds(now, age.oldest) for age in queue), default=0),
        from_org=0 if oldest_unread is None else seconds(now, oldest_unread),
        stages=[kind(Direction.TO_ORG, stage.value, oldest.get(stage)) for stage in Stage],
        others=[kind(Direction.TO_ORG, other.value, min(ages[other], default=None)) for other in _OTHERS],
        changes_of_org=[kind(Direction.FROM_ORG, name) for name in objects],
    )


def seconds(now: datetime, since: datetime) -> int:
    return max(0, int((now - since).total_seconds()))
