"""Notes when fields of entities are changed here: of two changes on both sides, the later one counts, field by field.
`modification_times` reads it.

An attribute that was never changed since its entity came here has no time of its own; then that of the entity counts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from connector.model.change import EntityKind
from connector.store.inbound_tables import field_times
from connector.store.sql import upsert
from connector.store.unit_of_work import UnitOfWork


async def note(
    uow: UnitOfWork, kind: EntityKind, changes: Iterable[tuple[str, object, object]], names: Collection[str]
) -> None:
    """Note which of the attributes `names` differ: `changes` are keys with the entity before and after."""
    rows = [
        {"entity": kind.value, "key": key, "attribute": name, "changed_at": uow.now}
        for key, before, after in sorted(changes, key=lambda change: change[0])
        for name in names
        if getattr(before, name) != getattr(after, name)
    ]
    await upsert(uow.connection, field_times, rows)


def line_attribute(number: int | str) -> str:
    """The name under which the time of a line's own values is kept, among the attributes of its order."""
    return f"line {number}"


async def note_lines(uow: UnitOfWork, order: str, numbers: Collection[int]) -> None:
    """Note that these lines of an order have new values."""
    rows = [
        {"entity": EntityKind.ORDER.value, "key": order, "attribute": line_attribute(number), "changed_at": uow.now}
        for number in sorted(numbers)
    ]
    await upsert(uow.connection, field_times, rows)
