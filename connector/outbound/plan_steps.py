"""What a stream asks of its claim and of the planned writes. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any, TypeVar

from connector.model.change import ChangeState, EntityKind, Unsent
from connector.model.lane import Lane
from connector.model.record import Link
from connector.outbound.plan_types import OrderGraph, OrderRewrite, PendingEntity, RecordUpdate, Upsert

S = TypeVar("S", OrderGraph, RecordUpdate, Upsert, OrderRewrite)


def name_of(pending: PendingEntity) -> tuple[EntityKind, str]:
    """The kind and the key of an entity: a customer and an order may have the same key."""
    return pending.change.entity, pending.change.key


def status_update(order: OrderGraph, links: Iterable[Link]) -> RecordUpdate:
    entity = order.pending.change.entity.value
    link = next(link for link in links if link.entity == entity)
    return RecordUpdate(
        pending=order.pending.without_values(),
        entity=entity,
        key=link.key,
        sobject=link.sobject,
        id=link.salesforce_id,
        fields={"Status": order.status},
    )


def stored_links(pending: PendingEntity) -> list[Link]:
    own = [pending.link] if pending.link is not None else []
    return [*own, *pending.line_links.values()]


def lookup_keys(claim: Iterable[PendingEntity], entity: str) -> list[str]:
    """The keys of `entity` that the orders of the claim and their lines refer to."""
    keys: dict[str, None] = {}
    for pending in claim:
        if pending.record is not None:
            for record in (pending.record, *pending.record.children):
                keys.update({lookup.key: None for lookup in record.lookups.values() if lookup.entity == entity})
    return list(keys)


def product_state(unsent: Mapping[str, Unsent], price_key: str) -> ChangeState | None:
    product = unsent.get(price_key.rpartition("|")[0])
    return product.state if product else None


def steps_for(steps: Sequence[S], keys: Set[str]) -> list[S]:
    """The steps of the entities with these keys."""
    return [step for step in steps if step.pending.change.key in keys]


def status_rows(rows: Iterable[RecordUpdate]) -> list[RecordUpdate]:
    """The same updates of a status, without the values of their orders."""
    return [replace(row, pending=row.pending.without_values()) for row in rows]


def distinct_entities(steps: Iterable[Any]) -> list[PendingEntity]:
    return list({step.pending.change.key: step.pending for step in steps}.values())


def most_urgent_lane(claim: Iterable[PendingEntity]) -> Lane | None:
    return min((lane for item in claim if (lane := item.change.lane) is not None), default=None)
