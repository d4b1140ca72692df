"""One order: where it stands, its lines and money, both sides field by field, and its journey."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from connector.api.journey import build_journey
from connector.model.change import EntityKind
from connector.model.record import FieldValue
from connector.model.role import Role
from connector.model.stage import Stage
from connector.store import conflicts, links, orders, orgs, outbox
from connector.store.queries.entity_orgs import find_orgs
from connector.store.queries.journey import load_journey
from connector.web.console.frame import ConsolePage
from connector.web.problem import ProblemError
from connector.web.routing import RequestContext

MAIN = tuple(stage for stage in Stage if stage is not Stage.CANCELED)
MOST_STEPS = 200
MOST_LINES = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class AgreedField:
    """A field of the record, as both sides last agreed on it; in a conflict, also what each side has now."""

    name: str
    agreed: FieldValue
    local: FieldValue = None
    remote: FieldValue = None
    conflict: int | None = None


async def load_order(call: RequestContext) -> Mapping[str, object]:
    number = call.path_key("number")
    async with call.store.reader() as connection:
        loaded = await orders.load(connection, [number])
        if not loaded:
            raise ProblemError(
                404, "unknown", f"There is no order {number}.", hint="Look for it in the list of orders."
            )
        name = (await find_orgs(connection, EntityKind.ORDER, [number])).get(number, "")
        unsent = (await outbox.find(connection, EntityKind.ORDER, [number])).get(number)
        sources = await load_journey(connection, EntityKind.ORDER, number)
    async with call.store.for_org(name).reader() as connection:
        org = await orgs.get_active(connection)
        org_id = "" if org is None else org.org_id
        link = (await links.get(connection, org_id, EntityKind.ORDER.value, [number])).get(number)
        opened = (await conflicts.open_fields(connection, org_id, EntityKind.ORDER.value, [number])).get(number, {})
    with_personal = call.token.role.covers(Role.OPS)
    journey = build_journey(
        EntityKind.ORDER.value, number, sources, with_personal=with_personal, after=0, limit=MOST_STEPS
    )
    [order] = loaded
    snapshot = {} if link is None else link.snapshot
    both = [
        AgreedField(
            name=name,
            agreed=value,
            local=opened[name].local if name in opened else None,
            remote=opened[name].remote if name in opened else None,
            conflict=opened[name].id if name in opened else None,
        )
        for name, value in sorted(snapshot.items())
    ]
    return {
        "order": order,
        "path_stages": _stages(order.stage),
        "lines": order.lines[:MOST_LINES],
        "more_lines": max(0, len(order.lines) - MOST_LINES),
        "unsent": unsent,
        "link": link,
        "org": org,
        "both": both if with_personal else [],
        "is_hidden": not with_personal and bool(snapshot),
        "journey": journey,
        "steps": list(reversed(journey.steps)),
    }


def _stages(now: Stage) -> list[tuple[str, str]]:
    """The stages of the main way, each `done`, `here` or `ahead`; of a canceled order only where it is."""
    if now is Stage.CANCELED:
        return [(Stage.CANCELED.value, "here")]
    reached = MAIN.index(now)
    return [
        (stage.value, "done" if index < reached else "here" if index == reached else "ahead")
        for index, stage in enumerate(MAIN)
    ]


PAGE = ConsolePage(path="/orders/{number}", title="Order", template="order.html.j2", load=load_order)
