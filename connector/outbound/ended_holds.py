"""Ends holds of values: once ours is another one than the value that was undone, it is sent as ever."""

from __future__ import annotations

from collections.abc import Sequence

from connector.outbound.plan_types import PendingEntity
from connector.store import links
from connector.store.engine import Store


async def end_holds(store: Store, org_id: str, claimed: Sequence[PendingEntity]) -> None:
    """Store that these values are no longer held: a value that is held instead of them by now stays."""
    ended = {name: fields for item in claimed for name, fields in item.ended_holds.items()}
    if ended:
        async with store.transaction() as uow:
            await links.end_holds(uow, org_id, ended)
