"""The lookups of a dry run in the org: keys that exist already, records that were deleted or have another key.

The entities of these records are marked as unconfirmed in the dry run's own copy of the outbox, so that the dry run
treats them as the push will. A limited number of each kind is checked, and the report says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from connector.model.change import EntityKind
from connector.outbound.org_state import Reader, find_unexpected
from connector.outbound.plan_types import PendingEntity
from connector.outbound.repository import SyncRepository
from connector.store import outbox
from connector.store.engine import Store
from connector.store.partitions import slot_of_key

MAX_ENTITIES_PER_KIND = 1000
"""The maximal number of entities of a kind that are checked: four queries."""

KINDS = (EntityKind.CUSTOMER, EntityKind.PRODUCT, EntityKind.ORDER)
ONLY_IN_THE_ORG = "duplicate rules, validation rules, triggers and flows"
"""Rules that only the org can apply, when it saves a record."""


@dataclass(kw_only=True)
class LookupForecast:
    """The result. `looked_at` and `not_looked_at`: numbers of due entities that were checked, and were not.
    `found_by_key`: new entities that the org has already. `reads`: the queries that the push itself will not make."""

    looked_at: int = 0
    not_looked_at: int = 0
    reads: int = 0
    found_by_key: list[str] = field(default_factory=list)


async def forecast_lookups(
    store: Store, reader: Reader, repository: SyncRepository, due: dict[EntityKind, int]
) -> LookupForecast:
    """Check due entities in the org. `store` is the store of the dry run; `repository` reads from it."""
    forecast = LookupForecast()
    for kind in KINDS:
        if not due.get(kind):
            continue
        claim = [
            item
            for item in await repository.claim(kind, frozenset({0}), 1, MAX_ENTITIES_PER_KIND)
            if item.record is not None
        ]
        forecast.looked_at += len(claim)
        forecast.not_looked_at += max(0, due[kind] - MAX_ENTITIES_PER_KIND)
        unexpected = await find_unexpected(reader, [item for item in claim if not item.unconfirmed])
        forecast.found_by_key += [
            f"{kind} {item.change.key} ({unexpected[item.change.key]})"
            for item in claim
            if item.link is None and item.change.key in unexpected
        ]
        async with store.transaction() as uow:
            await outbox.mark_unconfirmed(uow, kind, unexpected)
        if kind is EntityKind.ORDER:
            await _forecast_accounts(store, reader, repository, claim)
    return forecast


async def _forecast_accounts(
    store: Store, reader: Reader, repository: SyncRepository, orders: list[PendingEntity]
) -> None:
    """Check the accounts that due orders refer to: they may be deleted although the customers are not due."""
    records = [item.record for item in orders if item.record is not None]
    customer_keys = {
        lookup.key for record in records for lookup in record.lookups.values() if lookup.entity == "customer"
    }
    keys = sorted(customer_keys)[:MAX_ENTITIES_PER_KIND]
    linked = [item for item in await repository.load_entities(EntityKind.CUSTOMER, keys) if item.link is not None]
    unexpected = await find_unexpected(reader, linked)
    async with store.transaction() as uow:
        for key in unexpected:
            uow.changed(EntityKind.CUSTOMER, key, slot_of_key(key), unconfirmed=True)
