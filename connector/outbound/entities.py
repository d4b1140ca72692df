"""The entities that are synced: how each kind is loaded, and how it is made due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from connector.model.change import Change, ChangeState, EntityKind, Unsent
from connector.model.record import owner_of
from connector.store import (
    customers,
    orders,
    outbox,
    products,
    returns,
)
from connector.store.partitions import slot_of
from connector.store.unit_of_work import UnitOfWork

LOADERS: Mapping[EntityKind, Any] = {
    EntityKind.CUSTOMER: customers,
    EntityKind.PRODUCT: products,
    EntityKind.ORDER: orders,
    EntityKind.RETURN: returns,
}


async def mark_unconfirmed(uow: UnitOfWork, entities: Sequence[tuple[str, str]]) -> None:
    """Make these entities due, to be read back first: a line with its order, a price with its product.

    Entities that wait for a person stay refused.
    """
    keys_by_kind: dict[EntityKind, dict[str, None]] = {}
    for entity, key in entities:
        owner, owner_key = owner_of(entity, key) or (entity, key)
        keys_by_kind.setdefault(EntityKind(owner), {})[owner_key] = None
    for kind, keys in keys_by_kind.items():
        refused = {
            key
            for key, row in (await outbox.find(uow.connection, kind, keys)).items()
            if row.state is not ChangeState.DUE
        }
        await outbox.mark_unconfirmed(uow, kind, refused)
        for item in await LOADERS[kind].load(uow.connection, list(keys)):
            if item.key not in refused:
                uow.changed(kind, item.key, slot_of(item), unconfirmed=True)


def build_change(entity: EntityKind, key: str, unsent: Unsent | None, now: datetime) -> Change:
    """The change behind an outbox row; version 0 stands for a customer without one."""
    return Change(
        entity=entity,
        key=key,
        partition=0,
        version=unsent.version if unsent else 0,
        attempts=unsent.attempts if unsent else 0,
        captured_at=unsent.captured_at if unsent else now,
        unconfirmed=unsent is not None and unsent.unconfirmed,
        unanswered_sends=unsent.unanswered_sends if unsent else 0,
        sent=unsent.sent if unsent else None,
        run=unsent.run if unsent else None,
        restores=unsent.restores if unsent else {},
    )
