"""Lists values of ours that are held since an undo, and releases them: ours is sent again.

A hold ends by itself when our value is another one. Until then, nothing sends it: only a person who releases it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from connector.errors import CommandError
from connector.model.change import EntityKind
from connector.model.lane import Lane
from connector.model.record import child_field
from connector.outbound.entities import LOADERS
from connector.store import journal, links, orgs, outbox
from connector.store.engine import Store
from connector.store.partitions import slot_of
from connector.store.queries import held_links
from connector.store.queries.held_links import HeldRecord, Place
from connector.store.unit_of_work import UnitOfWork

AT_ONCE = 200
"""Entities whose held values are released in one transaction."""
RELEASED = "released"
"""The action of the journal, and of the audit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldPage:
    """Records with held values; `orgs` are the names of their orgs by ID; `after` is the place to go on behind."""

    records: Sequence[HeldRecord]
    orgs: Mapping[str, str]
    after: str | None = None


def parse_place(text: str) -> Place | None:
    """The place that `HeldPage.after` has; None if it is none."""
    parts = text.split("|", 2)
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else None


async def list_held(store: Store, *, org: str | None = None, after: Place | None = None, limit: int) -> HeldPage:
    """Up to `limit` records with held values behind a place; `org`: only in the org of this name. A page may have
    fewer, or none, and be followed by others."""
    async with store.reader() as connection:
        names = {org_id: name for org_id, name in await orgs.list_active_names(connection) if org in {None, name}}
        records, following = await held_links.list_page(connection, names, after=after, limit=limit)
    return HeldPage(records=records, orgs=names, after=None if following is None else "|".join(following))


async def release(
    store: Store,
    entity: EntityKind,
    keys: Sequence[str],
    *,
    fields: Collection[str] = (),
    org: str = "",
    actor: str,
) -> int:
    """Send our values of these entities again, with those of their lines; `fields`: only these. Returns how many fields
    are released. Raises CommandError if none of them is held."""
    released = 0
    scoped = store.for_org(org)
    wanted = sorted(set(keys))
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        work = partial(_release, kind=entity, keys=some, fields=set(fields), actor=actor)
        released += await scoped.transact(work)
    if not released:
        raise CommandError(
            f"Nothing is held of {entity} {', '.join(wanted[:3])}.",
            hint="`connector held list` lists what is held, and in which org.", field="keys", rule="state",
        )  # fmt: skip
    return released


async def _release(uow: UnitOfWork, kind: EntityKind, keys: Sequence[str], fields: set[str], actor: str) -> int:
    """Locks are taken in the order of every writer: the outbox, then links."""
    connection = uow.connection
    org = await orgs.get_active(connection)
    if org is None:
        return 0
    waiting = await outbox.find(connection, kind, keys, lock=True)
    records = await held_links.list_of(connection, org.org_id, kind.value, keys, with_equal=True)
    await links.find(connection, org.org_id, [record.record_id for record in records], lock=True)
    records = await held_links.list_of(connection, org.org_id, kind.value, keys, with_equal=True)
    freed = {
        record.place[1:]: names
        for record in records
        if (names := [item.name for item in record.fields if not fields or item.name in fields])
    }
    by_key: dict[str, set[str]] = {}
    for record in records:
        for name in freed.get(record.place[1:], ()):
            noted = name if record.part is None else child_field(record.part, name)
            by_key.setdefault(record.key, set()).add(noted)
    for loaded in await LOADERS[kind].load(connection, sorted(by_key)):
        uow.changed(kind, loaded.key, slot_of(loaded), Lane.STATUS)
        restores = waiting[loaded.key].restores if loaded.key in waiting else {}
        if restores:  # the undo was not sent yet
            kept = {noted: item for noted, item in restores.items() if noted not in by_key[loaded.key]}
            uow.restore(kind, loaded.key, kept)
    await links.hold(uow, org.org_id, {}, freed)
    await journal.write(
        uow,
        [
            journal.JournalEntry(
                entity=kind.value, key=key, action=RELEASED, detail={"fields": sorted(names)}, org_id=org.org_id,
                actor=actor,
            )
            for key, names in sorted(by_key.items())
        ],
    )  # fmt: skip
    return sum(map(len, freed.values()))
