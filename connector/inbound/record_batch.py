"""Merges records in one transaction, and collects what is to be written: changes, links, conflicts, the journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from connector.errors import CommandError
from connector.inbound.context import ApplyReport, InboundContext
from connector.inbound.merge import Decision, FieldVersions, MergeContext, RecordMerge, merge
from connector.inbound.receivers import Receivers
from connector.mapping.backward import UnreadableValueError
from connector.mapping.receiver import RecordReceiver
from connector.model.change import EntityKind, Unsent
from connector.model.conflict import Conflict, ConflictState
from connector.model.customer import Customer
from connector.model.events import ChangeOrder
from connector.model.inbound_change import RemoteRecord, Source
from connector.model.order import Order
from connector.model.product import Product
from connector.model.record import FieldValue, Link
from connector.orders.command import OrderCommand
from connector.orders.service import LockOrders
from connector.store import conflicts, customers, inbox, journal, links, outbox, products, restored_fields
from connector.store.journal import JournalEntry
from connector.store.modification_times import changed_at
from connector.store.partitions import partition_hash
from connector.store.restored_fields import Restored
from connector.store.unit_of_work import Lane, UnitOfWork

ACTOR = "salesforce"
ALL_FIELDS = "*"
"""As the name of a refused field: all of them."""
MAX_RESTORES = 2
"""How often in a row our value is sent in place of the same value of the org. Then something in the org (a trigger, a
flow) changes what we send, and sending it again would change nothing."""
_UNCONFIRMED_PAUSE = timedelta(seconds=5)
"""How long to wait for the answer to a write of ours before its record is read again, the first time."""
_SET_BY_ORDER_RULES = frozenset({("Order", "Status")})
"""Fields whose value in the org may be ahead of ours, and cannot simply be set back: an activated order."""


class RecordBatch:
    """One transaction on records of the org: what it has locked, and what it is going to write.

    `refused` says why the rules of an order forbid a field that the org changed, by field: there our value stands.
    """

    def __init__(
        self,
        context: InboundContext,
        receivers: Receivers,
        uow: UnitOfWork,
        *,
        refused: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._context = context
        self._receivers = receivers
        self._uow = uow
        self._refused = refused
        self.report = ApplyReport()
        self.commands: list[OrderCommand] = []
        self._links: dict[str, Link] = {}
        self._entities: dict[tuple[str, str], Any] = {}
        self._unsent: dict[tuple[str, str], Unsent] = {}
        self._changed_at: dict[tuple[str, str], datetime] = {}
        self._open: dict[tuple[str, str], dict[str, Conflict]] = {}
        self._restored_before: dict[tuple[str, str, str], Restored] = {}
        self._restored: dict[str, dict[tuple[str, str], Restored]] = {}
        self._new_links: list[Link] = []
        self._saved: dict[tuple[str, str], Any] = {}
        self._conflicts: list[Conflict] = []
        self._settled: list[int] = []
        self._entries: list[JournalEntry] = []
        self._deferred: list[tuple[RemoteRecord, timedelta]] = []
        self._parked: list[tuple[RemoteRecord, str]] = []

    async def load(self, records: Sequence[RemoteRecord], lock_orders: LockOrders) -> None:
        """Lock the entities of these records, their outbox rows and their links."""
        connection, org_id = self._uow.connection, self._context.org_id
        ids = [record.id for record in records]
        owners = {link.owner for link in (await links.find(connection, org_id, ids)).values()}
        by_kind = {
            kind: sorted(key for entity, key in owners if entity == kind)
            for kind in (EntityKind.CUSTOMER, EntityKind.PRODUCT, EntityKind.ORDER)
        }
        orders = await lock_orders(by_kind[EntityKind.ORDER]) if by_kind[EntityKind.ORDER] else {}
        numbers, skus = by_kind[EntityKind.CUSTOMER], by_kind[EntityKind.PRODUCT]
        await customers.versions(connection, numbers, lock=True)
        await products.versions(connection, skus, lock=True)
        loaded: list[tuple[EntityKind, Sequence[Customer | Product | Order]]] = [
            (EntityKind.CUSTOMER, await customers.load(connection, numbers)),
            (EntityKind.PRODUCT, await products.load(connection, skus)),
            (EntityKind.ORDER, list(orders.values())),
        ]
        for kind, entities in loaded:
            keys = [entity.key for entity in entities]
            self._entities |= {(kind.value, entity.key): entity for entity in entities}
            unsent = await outbox.find(connection, kind, keys, lock=True)
            self._unsent |= {(kind.value, key): row for key, row in unsent.items()}
            times = await changed_at(connection, kind, keys)
            self._changed_at |= {(kind.value, key): moment for key, moment in times.items()}
        self._links = await links.find(connection, org_id, ids, lock=True)
        for entity in sorted({link.entity for link in self._links.values()}):
            keys = sorted(link.key for link in self._links.values() if link.entity == entity)
            opened = await conflicts.open_fields(connection, org_id, entity, keys)
            self._open |= {(entity, key): fields for key, fields in opened.items()}
            before = await restored_fields.get(connection, org_id, entity, keys)
            self._restored_before |= {(entity, *place): item for place, item in before.items()}

    def merge_record(self, record: RemoteRecord) -> None:
        """Decide what becomes of one record, and note it."""
        self.report.records += 1
        link = self._links.get(record.id)
        receiver = None if link is None else self._receivers.of(link)
        owner = None if link is None else self._entities.get(link.owner)
        entity = None if owner is None or link is None else _part_of(owner, link)
        if link is None or receiver is None or entity is None:
            self.report.unknown += 1
            return
        unsent = self._unsent.get(link.owner)
        if unsent is not None and unsent.unconfirmed:
            self._defer(record, _UNCONFIRMED_PAUSE)
            return
        if link.synced_at is not None and link.synced_at >= record.read_at:
            self._defer(record, timedelta())
            return
        try:
            versions = self._versions(record, link, receiver, entity)
            merged = merge(versions, self._merge_context(record, link))
            refused = [name for name in merged.taken if self._refused_because(name) is not None]
            patch = receiver.patch({name: value for name, value in merged.taken.items() if name not in refused})
        except UnreadableValueError as error:
            self._parked.append((record, f"{record.sobject} {record.id}: {error}"))
            self.report.parked += 1
            return
        self._note(record, link, merged, owner, patch, refused)

    def _versions(self, record: RemoteRecord, link: Link, receiver: RecordReceiver, entity: Any) -> list[FieldVersions]:
        local = receiver.local_values(entity)
        return [
            FieldVersions(
                name=name,
                owner=receiver.owner(name),
                base=link.snapshot.get(name),
                local=local[name],
                remote=record.fields[name],
                has_base=name in link.snapshot,
            )
            for name in receiver.fields
            if name in local and name in record.fields and (record.sobject, name) not in _SET_BY_ORDER_RULES
        ]

    def _merge_context(self, record: RemoteRecord, link: Link) -> MergeContext:
        describe = self._context.describes.get(record.sobject)
        return MergeContext(
            local_changed_at=self._changed_at.get(link.owner),
            remote_changed_at=record.modified_at,
            fields={} if describe is None else describe.fields,
        )

    def _refused_because(self, field: str) -> str | None:
        return self._refused.get(field) or self._refused.get(ALL_FIELDS)

    def _note(
        self,
        record: RemoteRecord,
        link: Link,
        merged: RecordMerge,
        owner: Any,
        patch: dict[str, Any],
        refused: Sequence[str],
    ) -> None:
        opened = self._open.get((link.entity, link.key), {})
        taken = [name for name in merged.fields(Decision.TAKE) if name not in refused]
        restored = [*merged.fields(Decision.RESTORE), *refused]
        self.report.refused += len(refused)
        stubborn = [name for name in restored if self._is_overruled(link, merged.versions[name])]
        restored = [name for name in restored if name not in stubborn]
        self._note_conflicts(record, link, merged, owner, opened)
        agreed: dict[str, FieldValue] = {name: value for name, value in merged.agreed.items() if name not in stubborn}
        if not (taken or restored or stubborn or agreed or merged.fields(Decision.CONFLICT)):
            self.report.echoes += 1
            return
        if agreed:
            self._new_links.append(replace(link, snapshot={**link.snapshot, **agreed}))
        if patch:
            self._change(owner, patch)
        if restored:
            self._restore(link, merged, restored, owner)
        for counter, names in (
            (self.report.taken, taken),
            (self.report.restored, restored),
            (self.report.overruled, stubborn),
        ):
            counter.update(f"{record.sobject}.{name}" for name in names)
        self._journal(record, link, taken=taken, restored=restored)

    async def resolve(self, conflict: Conflict, choice: ConflictState, lock_orders: LockOrders, *, actor: str) -> None:
        """Note what closes one conflict."""
        record = RemoteRecord(
            sobject=conflict.sobject,
            id=conflict.record_id,
            fields={conflict.field: conflict.remote},
            read_at=self._uow.now,
            modified_at=conflict.remote_changed_at or self._uow.now,
            modified_by=conflict.remote_changed_by,
        )
        await self.load([record], lock_orders)
        link = self._links.get(record.id)
        receiver = None if link is None else self._receivers.of(link)
        owner = None if link is None else self._entities.get(link.owner)
        opened = self._open.get((conflict.entity, conflict.key), {}).get(conflict.field)
        if link is None or receiver is None or owner is None or opened is None or opened.id != conflict.id:
            raise CommandError(
                f"Conflict {conflict.id} is not open.",
                hint="`connector conflicts list` shows those that are.",
                field="id",
                rule="conflict",
            )
        remote = opened.remote
        self._new_links.append(replace(link, snapshot={**link.snapshot, conflict.field: remote}))
        if choice is ConflictState.SALESFORCE:
            try:
                self._change(owner, receiver.patch({conflict.field: remote}))
            except UnreadableValueError as error:
                raise CommandError(
                    f"{conflict.sobject}.{conflict.field}: {error}.",
                    hint="Correct the value in the org, or choose the local one.",
                    field="choice",
                    rule="conflict",
                ) from error
            self.report.taken[f"{conflict.sobject}.{conflict.field}"] += 1
        else:
            self._make_due(link, owner)
            self.report.restored[f"{conflict.sobject}.{conflict.field}"] += 1
        await conflicts.resolve(self._uow, [conflict.id], choice, actor=actor)
        kind, key = link.owner
        detail = {"record": record.id, "field": conflict.field, "choice": choice.value, "by": actor}
        self._entries.append(
            JournalEntry(entity=kind, key=key, action="resolved", detail=detail, org_id=self._context.org_id)
        )

    def _note_conflicts(
        self, record: RemoteRecord, link: Link, merged: RecordMerge, owner: Any, opened: Mapping[str, Conflict]
    ) -> None:
        for name in merged.fields(Decision.CONFLICT):
            versions = merged.versions[name]
            self._conflicts.append(
                Conflict(
                    id=0,
                    org_id=self._context.org_id,
                    entity=link.entity,
                    key=link.key,
                    field=name,
                    sobject=record.sobject,
                    record_id=record.id,
                    base=versions.base,
                    local=versions.local,
                    remote=versions.remote,
                    opened_at=self._uow.now,
                    local_changed_at=self._changed_at.get(link.owner),
                    remote_changed_at=record.modified_at,
                    remote_changed_by=record.modified_by,
                )
            )
        still_open = set(merged.fields(Decision.CONFLICT))
        settled = [item.id for name, item in opened.items() if name not in still_open]
        self._settled += settled
        if settled:
            self._make_due(link, owner)  # the field was held back, so nothing else would send it

    def _change(self, entity: Customer | Product | Order, patch: dict[str, Any]) -> None:
        if isinstance(entity, Order):
            self.commands.append(OrderCommand(number=entity.number, event=ChangeOrder(details=patch)))
            return
        kind = EntityKind.CUSTOMER if isinstance(entity, Customer) else EntityKind.PRODUCT
        before = self._saved.get((kind.value, entity.key), entity)
        after = before.updated_from_order(**patch) if isinstance(before, Customer) else replace(before, **patch)
        self._saved[kind.value, entity.key] = after

    def _restore(self, link: Link, merged: RecordMerge, names: Sequence[str], owner: Any) -> None:
        """Make the entity due, and remember what is restored."""
        self._make_due(link, owner)
        for name in names:
            versions = merged.versions[name]
            before = self._restored_before.get((link.entity, link.key, name))
            repeated = before is not None and (before.local, before.remote) == (versions.local, versions.remote)
            times = before.times + 1 if before is not None and repeated else 1
            self._restored.setdefault(link.entity, {})[link.key, name] = Restored(
                versions.local, versions.remote, times
            )

    def _make_due(self, link: Link, owner: Any) -> None:
        """The snapshot now says what the org holds, so the push sends what differs."""
        kind, key = link.owner
        slot = partition_hash(owner.customer.number if isinstance(owner, Order) else key)
        self._uow.changed(EntityKind(kind), key, slot, Lane.STATUS if isinstance(owner, Order) else Lane.PROFILE)

    def _is_overruled(self, link: Link, versions: FieldVersions) -> bool:
        before = self._restored_before.get((link.entity, link.key, versions.name))
        return (
            before is not None
            and before.times >= MAX_RESTORES
            and (before.local, before.remote) == (versions.local, versions.remote)
        )

    def _defer(self, record: RemoteRecord, pause: timedelta) -> None:
        self.report.deferred += 1
        self._deferred.append((record, pause))

    def _journal(self, record: RemoteRecord, link: Link, *, taken: Sequence[str], restored: Sequence[str]) -> None:
        """Names of fields alone: their values may be about a person."""
        kind, key = link.owner
        detail: dict[str, Any] = {"record": record.id, "by": record.modified_by, "at": record.modified_at}
        for action, names in (("received", taken), ("restored", restored)):
            if names:
                detail_of = detail | {"fields": list(names)}
                reasons = {name: why for name in names if (why := self._refused_because(name)) is not None}
                if action == "restored" and reasons:
                    detail_of["because"] = reasons
                self._entries.append(
                    JournalEntry(entity=kind, key=key, action=action, detail=detail_of, org_id=self._context.org_id)
                )

    async def store(self) -> None:
        """Write everything but the commands on orders."""
        uow, org_id = self._uow, self._context.org_id
        await customers.save(uow, [item for item in self._saved.values() if isinstance(item, Customer)])
        await products.save(uow, [item for item in self._saved.values() if isinstance(item, Product)])
        await links.put(uow, org_id, self._new_links)
        for entity, restored in self._restored.items():
            await restored_fields.put(uow, org_id, entity, restored)
        self.report.conflicts += len(await conflicts.open_or_update(uow, self._conflicts))
        await conflicts.resolve(uow, self._settled, ConflictState.CLOSED, actor=ACTOR)
        for pause in sorted({pause for _, pause in self._deferred}):
            records = [(item.sobject, item.id) for item, wait in self._deferred if wait == pause]
            await inbox.retry(uow, org_id, records, pause=pause)
        for record, error in self._parked:
            fix = "Correct the value in the org or the mapping, then `connector inbox replay`."
            await inbox.park(uow, org_id, (record.sobject, record.id), Source.POLL, error=error, fix=fix)
        await journal.write(uow, self._entries)


def _part_of(owner: Any, link: Link) -> Any:
    """The entity of a link: `owner` itself, or the line of an order; None if the line is no longer there."""
    if not link.is_part:
        return owner
    if isinstance(owner, Order):
        return next((line for line in owner.lines if line.key == link.key), None)
    return None
