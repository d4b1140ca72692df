"""Decides what has no link: entities and lines here, and records of the org."""

from __future__ import annotations

from collections.abc import Sequence

from connector.errors import MappingError
from connector.inbound.reconcile.context import READ_AGAIN, ReconcileContext
from connector.inbound.reconcile.judgment import finding
from connector.inbound.reconcile.local_side import LocalSide, Name
from connector.inbound.reconcile.org_side import ComparedObject
from connector.model.change import EntityKind
from connector.model.inbound_change import RemoteRecord
from connector.model.order import Order
from connector.model.order_return import MARK
from connector.model.reconciliation import Finding, Reconciliation, RecordState
from connector.model.record import PARTS, Link, owner_of
from connector.model.stage import Stage
from connector.store import links
from connector.store.queries.unlinked import list_unlinked, list_unlinked_lines

PAGE = READ_AGAIN


class UnlinkedEntities:
    """Entities and lines that no record of the org is linked to."""

    def __init__(self, context: ReconcileContext, result: Reconciliation) -> None:
        self._context = context
        self._store, self._org_id = context.store, context.org_id
        self._result = result

    async def compare_all(self) -> None:
        for kind in EntityKind:
            if kind not in self._context.scope.kinds:
                continue
            after: str | None = None
            while keys := await self._list(kind, after):
                after = keys[-1]
                await self.decide(kind.value, [(kind.value, key) for key in keys])
        if EntityKind.ORDER in self._context.scope.kinds:
            await self._compare_lines()

    async def _list(self, kind: EntityKind, after: str | None) -> list[str]:
        async with self._store.reader() as connection:
            return await list_unlinked(connection, self._org_id, kind, after=after, limit=PAGE)

    async def _compare_lines(self) -> None:
        after: tuple[str, int] | None = None
        while True:
            async with self._store.reader() as connection:
                lines = await list_unlinked_lines(connection, self._org_id, after=after, limit=PAGE)
            if not lines:
                return
            after = lines[-1]
            await self.decide("line", [("line", f"{order}-{number}") for order, number in lines])

    async def compare_selected(self, kind: EntityKind, keys: Sequence[str]) -> None:
        """Decide those of these entities that have no link, and lines of the others that have none."""
        async with self._store.reader() as connection:
            unlinked = await links.list_missing(connection, self._org_id, kind.value, keys)
        await self.decide(kind.value, [(kind.value, key) for key in keys if key in unlinked])
        if kind is EntityKind.ORDER:
            side = await self._context.load([("order", key) for key in keys if key not in unlinked])
            lines = [name for owner in side.owners for name in side.parts_of(owner)]
            async with self._store.reader() as connection:
                missing = await links.list_missing(connection, self._org_id, "line", [key for _, key in lines])
            await self.decide("line", [name for name in lines if name[1] in missing])

    async def decide(self, entity: str, names: Sequence[Name]) -> None:
        """Decide entities of one kind, or lines, that have no link: they wait to be sent, the mapping leaves them out,
        or the org lacks them."""
        if not names:
            return
        owners = {name: owner_of(*name) or name for name in names}
        side = await self._context.load(sorted(set(owners.values())))
        suspects = [name for name in names if self._count(side, name, owners[name])]
        item = self._context.object_of(entity)
        if not suspects or item is None:
            return
        records = await self._context.org.by_keys(item, [key for _, key in suspects])
        by_key = {str(record.fields.get(item.key)): record for record in records.values()}
        side = await self._context.load(sorted({owners[name] for name in suspects}))
        async with self._store.reader() as connection:
            linked = await links.get(connection, self._org_id, entity, [key for _, key in suspects])
        for name in suspects:
            if name[1] in linked:
                self._count_with_parts(side, name, RecordState.PENDING)
            elif self._count(side, name, owners[name]):
                self._add(side, name, item, by_key.get(name[1]))

    def _count(self, side: LocalSide, name: Name, owner: Name) -> bool:
        """Count an entity without a link, unless it needs a second look (True)."""
        if owner not in side.owners or not side.has(name):
            return False
        try:
            synced = side.is_synced(owner)
        except MappingError:
            synced = True
        order = side.owners[owner]
        if not synced:
            state = RecordState.NOT_SYNCED
        elif side.is_due(owner):
            state = RecordState.PENDING
        elif side.is_refused(owner):
            state = RecordState.REFUSED
        elif name != owner and isinstance(order, Order) and order.stage is Stage.CANCELED:
            state = RecordState.VERIFIED
        else:
            return True
        self._count_with_parts(side, name, state)
        return False

    def _add(self, side: LocalSide, name: Name, item: ComparedObject, record: RemoteRecord | None) -> None:
        entity, key = name
        self._result.add(
            Finding(
                entity=entity,
                key=key,
                state=RecordState.MISSING_IN_ORG if record is None else RecordState.UNLINKED,
                sobject=item.sobject,
                record_id=None if record is None else record.id,
                detail="it was never sent" if record is None else "a record has its key, and is not linked",
            )
        )
        self._count_parts(side, name, RecordState.MISSING_IN_ORG if record is None else RecordState.UNLINKED)

    def _count_with_parts(self, side: LocalSide, name: Name, state: RecordState) -> None:
        self._result.count(name[0], state, name[1], side.why_open(owner_of(*name) or name, state))
        self._count_parts(side, name, state)

    def _count_parts(self, side: LocalSide, name: Name, state: RecordState) -> None:
        for entity, key in side.parts_of(name):
            self._result.count(entity, state, key, side.why_open(name, state))


class UnlinkedRecords:
    """Records that have our key, or are part of a record of ours, and that nothing here is linked to."""

    def __init__(self, context: ReconcileContext, result: Reconciliation) -> None:
        self._context = context
        self._store, self._org_id = context.store, context.org_id
        self._result = result

    async def decide(self, item: ComparedObject, strays: Sequence[RemoteRecord]) -> None:
        by_entity: dict[str, dict[str, RemoteRecord]] = {}
        keyless: list[RemoteRecord] = []
        for record in strays:
            key = record.fields.get(item.key)
            if record.stamped_at >= self._context.scope.started_at:
                continue  # it may have been created a moment ago; its entity is counted by itself
            if key is None or key == "":
                keyless.append(record)
            else:
                by_entity.setdefault(_entity_of(item, str(key)), {})[str(key)] = record
        async with self._store.reader() as connection:
            linked = await links.find(connection, self._org_id, [record.id for record in strays])
            for entity in sorted(by_entity.keys() & self._context.entities):
                records = {key: one for key, one in by_entity[entity].items() if one.id not in linked}
                held = await links.get(connection, self._org_id, entity, records)
                side = self._context.new_side()
                await side.load(connection, {owner_of(entity, key) or (entity, key) for key in records})
                for key, record in records.items():
                    self._decide_keyed(side, (entity, key), record, held.get(key))
            parents = {str(record.fields.get(item.parent_field or "")) for record in keyless}
            owners = await links.find(connection, self._org_id, parents) if keyless else {}
        for record in keyless:
            owner = owners.get(str(record.fields.get(item.parent_field or "")))
            if record.id not in linked:
                self._decide_keyless(item, record, owner)

    def _decide_keyed(self, side: LocalSide, name: Name, record: RemoteRecord, held: Link | None) -> None:
        entity, key = name
        owner = owner_of(entity, key) or name
        if side.is_due(owner):
            return
        link = Link(entity=entity, key=key, sobject=record.sobject, salesforce_id=record.id, snapshot={})
        if held is not None:
            detail = f"{entity} {key} has the same key, and is linked to {held.salesforce_id}"
            self._result.add(finding(link, RecordState.DUPLICATE, detail))
        elif not side.has(name):
            self._result.add(finding(link, RecordState.MISSING_HERE, "nothing here has its key"))

    def _decide_keyless(self, item: ComparedObject, record: RemoteRecord, owner: Link | None) -> None:
        if owner is None or PARTS.get(owner.entity) not in self._context.entities:
            return
        self._result.add(
            Finding(
                entity=PARTS[owner.entity],
                key=None,
                state=RecordState.MISSING_HERE,
                sobject=item.sobject,
                record_id=record.id,
                detail=f"added in the org to {owner.entity} {owner.key}",
            ),
            added_to=owner.owner,
        )


def _entity_of(item: ComparedObject, key: str) -> str:
    """Which kind of entity a key of ours on a record of this object names."""
    entities = [comparison.spec.entity for comparison in item.comparisons]
    if MARK not in key:
        return entities[0]
    return next((entity for entity in entities if entity in {"return", "return_line"}), entities[0])
