"""The first page: whether all is well, in one sentence, and what stands behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from connector.inbound.topic_status import TopicStatus, TopicStatusKind
from connector.model.platform_event import ORDER_ACTION
from connector.model.stage import Stage
from connector.store.queries import held_links, holds
from connector.store.queries.refused_days import count_refused_days
from connector.web.api.dead_letters import GroupList, list_groups
from connector.web.api.freshness import KindFreshness
from connector.web.api.status import Status, load_status
from connector.web.console.failures import failures_of
from connector.web.console.formats import Place, moment
from connector.web.console.frame import ConsolePage
from connector.web.console.resync_form import day_beginnings
from connector.web.routing import RequestContext

MOST_GROUPS = 4
_DEAF = (TopicStatusKind.WAITING, TopicStatusKind.STOPPED)
LATE_SECONDS = 900
"""From when on what waits is late."""
_OBJECTS = {
    "Order": "orders", "OrderItem": "order lines", "Account": "accounts", "Product2": "products",
    ORDER_ACTION: "actions of reps",
}  # fmt: skip


async def load_home(call: RequestContext) -> Mapping[str, object]:
    place = Place.of(call.request)
    status = await load_status(call, lambda value: moment(value, place))
    fresh = status.freshness
    groups = (await list_groups(call)).value if status.dead_letters else None
    known = groups.groups if isinstance(groups, GroupList) else []
    shown = [group for group in known if not group.is_snoozed]
    async with call.store.reader() as connection:
        on_hold = await holds.count_orders(connection)
        days = day_beginnings(place, call.store.clock.now())
        refused_days = await count_refused_days(connection, *days) if status.dead_letters else None
        held = await held_links.count(connection)
    return {
        "status": status,
        "level": _level(status, held.number),
        "stages": [(stage.value, status.orders.get(stage.value, 0)) for stage in Stage],
        "sent_kinds": [(row.kind, row) for row in fresh.stages]
        + [(f"{row.kind}s", row) for row in _seen(fresh.others)],
        "read_kinds": [(_OBJECTS.get(row.kind, row.kind), row) for row in _seen(fresh.changes_of_org)],
        "late": LATE_SECONDS,
        "waiting": sum(row.changes for row in status.queue),
        "budget": status.budget,
        "groups": shown[:MOST_GROUPS],
        "more_groups": max(0, len(shown) - MOST_GROUPS),
        "failures": failures_of(status),
        "refused_days": refused_days,
        "snoozed": len(known) - len(shown),
        "holds": on_hold,
        "held": held,
        "deaf": next((topic for topic in _topics(status) if not topic.published and topic.kind in _DEAF), None),
        "proof": status.reconciliation,
    }


def _seen(rows: Sequence[KindFreshness]) -> list[KindFreshness]:
    return [row for row in rows if row.day.changes or row.oldest_seconds is not None]


def _topics(status: Status) -> Sequence[TopicStatus]:
    return () if status.inbound.events is None else status.inbound.events.topics


def _level(status: Status, held: int) -> str:
    """`good`: nothing to do; `fair`: something waits for a person; `bad`: changes do not arrive."""
    if status.outage is not None or any(org.outage is not None for org in status.other_orgs):
        return "bad"
    is_deaf = any(topic.kind in _DEAF for topic in _topics(status))
    waits = held or status.dead_letters or status.inbound.conflicts or status.inbound.parked or status.paused_jobs
    is_paused = status.budget is not None and status.budget.paused
    failed = status.messages.get("failed", 0) or status.webhooks.get("failed", 0)
    is_late = max(status.freshness.to_org, status.freshness.from_org) > LATE_SECONDS
    if is_late and not status.workers.get("worker"):
        return "bad"
    return "fair" if failed or is_late or waits or is_paused or is_deaf or status.inbound.events is None else "good"


PAGE = ConsolePage(path="/", title="Home", template="home.html.j2", load=load_home)
