"""What a dry run can know of the org without writing: whose key is there already, whose record is gone or has another
key.

It marks those entities as not sure in the dry run's own copy of the outbox, so that the dry run decides about them as
the push will. It looks at so many of each kind, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from connector.model.change import EntityKind
from connector.outbound.link_check import Reader, unexpected
from connector.outbound.plan_types import PendingEntity
from connector.outbound.repository import SyncRepository
from connector.store import outbox
from connector.store.engine import Store
from connector.store.unit_of_work import partition_hash

MOST = 1000
"""Entities of a kind that are looked for: four queries."""

KINDS = (EntityKind.CUSTOMER, EntityKind.PRODUCT, EntityKind.ORDER)
UNFORETOLD = "duplicate rules, validation rules, triggers and flows"
"""What only the org itself applies, when it saves."""


@dataclass(kw_only=True)
class LookupForecast:
    """`looked_at` of all that is due; `found_by_key` are new entities that the org has already; `reads` the queries
    that the push itself will not make."""

    looked_at: int = 0
    left_out: int = 0
    reads: int = 0
    found_by_key: list[str] = field(default_factory=list)


async def forecast_lookups(
    store: Store, reader: Reader, ledger: SyncRepository, due: dict[EntityKind, int]
) -> LookupForecast:
    """Look for what is due in the org. `store` is that of the dry run, and `ledger` reads from it."""
    found = LookupForecast()
    for kind in KINDS:
        if not due.get(kind):
            continue
        claim = [item for item in await ledger.claim(kind, frozenset({0}), 1, MOST) if item.record is not None]
        found.looked_at += len(claim)
        found.left_out += max(0, due[kind] - MOST)
        odd = await unexpected(reader, [item for item in claim if not item.unsure])
        found.found_by_key += [
            f"{kind} {item.change.key} ({odd[item.change.key]})"
            for item in claim
            if item.link is None and item.change.key in odd
        ]
        async with store.transaction() as uow:
            await outbox.mark_doubtful(uow, kind, odd)
        if kind is EntityKind.ORDER:
            await _accounts(store, reader, ledger, claim)
    return found


async def _accounts(store: Store, reader: Reader, ledger: SyncRepository, orders: list[PendingEntity]) -> None:
    """The accounts that orders refer to: they may be gone although nothing of theirs is due."""
    records = [item.record for item in orders if item.record is not None]
    wanted = {lookup.key for record in records for lookup in record.lookups.values() if lookup.entity == "customer"}
    keys = sorted(wanted)[:MOST]
    linked = [item for item in await ledger.some(EntityKind.CUSTOMER, keys) if item.link is not None]
    odd = await unexpected(reader, linked)
    async with store.transaction() as uow:
        for key in odd:
            uow.changed(EntityKind.CUSTOMER, key, partition_hash(key), unsure=True)
