"""When entities, and their attributes, were changed here last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.change import EntityKind
from connector.store.inbound_tables import field_times
from connector.store.sql import select_in
from connector.store.tables import customers, orders, products

_COLUMNS = {
    EntityKind.CUSTOMER: (customers.c.number, customers.c.updated_at),
    EntityKind.PRODUCT: (products.c.sku, products.c.updated_at),
    EntityKind.ORDER: (orders.c.number, orders.c.updated_at),
}
_STATEMENTS = {
    kind: select(key, moment, field_times.c.attribute, field_times.c.changed_at).outerjoin(
        field_times, and_(field_times.c.entity == kind.value, field_times.c.key == key)
    )
    for kind, (key, moment) in _COLUMNS.items()
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModificationTimes:
    """`latest` is of anything of the entity. `by_attribute` has the attributes that were changed since it came here."""

    latest: datetime
    by_attribute: Mapping[str, datetime]


async def get(connection: AsyncConnection, kind: EntityKind, keys: Iterable[str]) -> dict[str, ModificationTimes]:
    """The times of these entities, by key. A return has none."""
    if kind not in _COLUMNS:
        return {}
    rows = await select_in(connection, _STATEMENTS[kind], _COLUMNS[kind][0], keys)
    latest: dict[str, datetime] = {}
    by_attribute: dict[str, dict[str, datetime]] = {}
    for number, changed_at, attribute, attribute_changed_at in rows:
        latest[number] = changed_at
        times = by_attribute.setdefault(number, {})
        if attribute is not None:
            times[attribute] = attribute_changed_at
    return {
        number: ModificationTimes(latest=changed_at, by_attribute=by_attribute[number])
        for number, changed_at in latest.items()
    }
