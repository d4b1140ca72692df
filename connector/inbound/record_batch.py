"""Merges records in one transaction: decides what becomes of each, and notes what is to be written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from connector.errors import CommandError
from connector.inbound.adoption.notices import note_unlinked
from connector.inbound.batch_writes import FIX, BatchWrites
from connector.inbound.context import ApplyReport, InboundContext
from connector.inbound.deletions import Deletions
from connector.inbound.line_changes import LineChanges
from connector.inbound.loaded_state import LoadedState
from connector.inbound.merge import Decision, FieldVersions, MergeContext, RecordMerge, merge
from connector.inbound.merge_notes import merge_notes
from connector.inbound.receivers import Receivers
from connector.inbound.rep_messages import RepMessages
from connector.mapping.backward import UnreadableValueError
from connector.mapping.receiver import RecordReceiver
from connector.mapping.spec import SHARED_OWNERS, Owner
from connector.model.change import ChangeState, EntityKind
from connector.model.conflict import Conflict, ConflictState
from connector.model.field_equality import same_value
from connector.model.inbound_change import RemoteRecord
from connector.model.observed_value import ObservedValue, ObservedValues
from connector.model.order import Order
from connector.model.record import FieldValue, Link
from connector.model.record_change import Effect
from connector.orders.command import OrderCommand
from connector.orders.service import LockOrders
from connector.store import conflicts, inbox
from connector.store.unit_of_work import UnitOfWork

ALL_FIELDS = "*"
"""As the name of a refused field: all of them."""
MAX_RESTORES = 2
"""How often in a row our value is sent in place of the same value of the org. Then something in the org (a trigger, a
flow) changes what we send, and sending it again would change nothing."""
_UNCONFIRMED_PAUSE = timedelta(seconds=5)
"""How long to wait for the answer to a write of ours before its record is read again, the first time."""
_SET_BY_ORDER_RULES = frozenset({("Order", "Status")})
"""Fields whose value in the org may be ahead of ours, and cannot simply be set back: an activated order."""

ACCOUNT_ID = "AccountId"
_ACCOUNT_STAYS = "The customer of an order does not change: cancel it, and create an order for the other account."


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
        self._state = LoadedState(uow, context.org_id)
        self._writes = BatchWrites(uow, context)
        self._deletions = Deletions(context.settings, self._state, self._writes)
        self._messages = RepMessages(context.describes, self._state, self._writes)
        self._lines = LineChanges(context.settings.changed_lines, receivers, self._state, self._writes, self._messages)
        self._masters: Mapping[str, RemoteRecord] = {}
        self._unlinked: list[RemoteRecord] = []
        self._applied: set[str] = set()

    @property
    def report(self) -> ApplyReport:
        return self._writes.report

    @property
    def commands(self) -> Sequence[OrderCommand]:
        """What is asked of orders: carried out after `store`, in the same transaction."""
        return self._writes.commands

    async def load(
        self,
        records: Sequence[RemoteRecord],
        lock_orders: LockOrders,
        masters: Mapping[str, RemoteRecord] = MappingProxyType({}),
    ) -> None:
        """Lock the entities of these records, their outbox rows and their links; those of the records that they were
        merged into, by ID (`masters`), as well."""
        self._masters = masters
        wanted = {record.id for record in records}
        wanted |= {master.id for record in records if (master := self._live_master(record)) is not None}
        added = [record for record in records if self._lines.may_be_added(record)]
        orders = {str(record.fields["OrderId"]) for record in added}
        wanted |= orders | {str(record.fields.get("Product2Id")) for record in added}
        await self._state.load(sorted(wanted), lock_orders, with_answers=self._receivers.ask)
        await self._state.load_line_numbers(orders)
        linked = [(record, self._state.links.get(record.id)) for record in records]
        moved = [self._state.owner(link) for record, link in linked if link is not None and _was_moved(record, link)]
        await self._state.load_accounts({order.customer.number for order in moved if isinstance(order, Order)})

    async def store(self) -> None:
        """Write everything but the commands on orders."""
        await self._deletions.store(self._uow, self._context.org_id)
        await inbox.end_parked(self._uow, self._context.org_id, self._applied)
        await self._messages.store(self._uow, self._context.org_id)
        await self._writes.store()
        if self._unlinked and self._context.adoption is not None:
            await note_unlinked(self._uow, self._context.org_id, self._context.adoption, self._unlinked)

    def merge_record(self, record: RemoteRecord) -> None:
        """Decide what becomes of one record, and note it."""
        self._writes.begin_record(record)
        link = self._state.links.get(record.id)
        receiver = None if link is None else self._receivers.of(link)
        if link is not None and record.deleted and (receiver is not None or link.entity == EntityKind.RETURN):
            self._note_deleted(record, link, receiver)
            return
        entity = None if link is None else self._state.entity(link)
        if link is None or receiver is None or entity is None:
            if link is None:
                self._note_unlinked(record)
            elif entity is None:
                self.report.unknown += 1
            else:  # a return, of which nothing else is taken from the org
                self.report.echoes += 1
                self._deletions.note_undeleted(record, link)
            return
        if (pause := self._pause_before(record, link)) is not None:
            self._writes.defer(record, link, pause, self._changed_values(record, link, receiver))
            return
        self._deletions.note_undeleted(record, link)
        try:
            versions = self._versions(record, link, receiver, entity)
            context = self._merge_context(record, link, receiver)
            merged = merge(versions, context)
            refused = [name for name in merged.taken if self._refused_because(name) is not None]
            taken = {name: value for name, value in merged.taken.items() if name not in refused}
            edited = {name: value for name, value in taken.items() if self._lines.is_edited(receiver, name)}
            patch = receiver.patch({name: value for name, value in taken.items() if name not in edited})
        except UnreadableValueError as error:
            why = f"{record.sobject} {record.id} ({link.entity} {link.key}): {error}"
            self._writes.park(record, why, error.fix or FIX, link=link)
            self._messages.tell_unreadable(record, self._state.main_link(link), error)
            return
        if edited:
            self._lines.edit(link, edited)
        self._note(record, link, merged, self._state.owner(link), patch, refused)

    def _note_unlinked(self, record: RemoteRecord) -> None:
        order_link = self._lines.order_of(record)
        if order_link is None:
            self.report.unknown += 1
            self._unlinked.append(record)
            self._messages.settle(record, None, taken=False)
        elif (pause := self._pause_before(record, order_link)) is not None:
            self._writes.defer(record, None, pause)
        else:
            self._lines.add(record, order_link, forbidden=self._refused.get(ALL_FIELDS))

    def _note_deleted(self, record: RemoteRecord, link: Link, receiver: RecordReceiver | None) -> None:
        if (pause := self._pause_before(record, link)) is not None:
            self._writes.defer(record, link, pause)
            return
        master = self._live_master(record)
        if master is None or receiver is None:
            self._deletions.note(record, link, forbidden=self._refused.get(ALL_FIELDS))
            return
        holder = self._state.links.get(master.id)
        key = master.fields.get(receiver.spec.external_id)
        is_foreign = key not in {None, "", link.key} if holder is None else holder.owner != link.owner
        moved = self._deletions.follow_merge(record, link, master, holder=holder, is_foreign=is_foreign)
        if moved is not None:
            self._state.links[master.id] = moved

    def _live_master(self, record: RemoteRecord) -> RemoteRecord | None:
        """The record that took the place of a merged one; None for any other."""
        seen = {record.id}
        while record.deleted and (master := self._masters.get(record.master or "")) and master.id not in seen:
            record = master
            seen.add(record.id)
        return None if record.deleted or len(seen) == 1 else record

    def _pause_before(self, record: RemoteRecord, link: Link) -> timedelta | None:
        """How long to wait before the record is read again; None if it was read after our latest write."""
        unsent = self._state.unsent.get(link.owner)
        if unsent is not None and unsent.unconfirmed and unsent.state is ChangeState.DUE:
            return _UNCONFIRMED_PAUSE
        if link.synced_at is not None and link.synced_at >= record.read_at:
            return timedelta()
        return None

    def _changed_values(self, record: RemoteRecord, link: Link, receiver: RecordReceiver) -> ObservedValues:
        """What the org changed in fields of both sides: our write that is in flight raises the time of the record."""
        describe = self._context.describes.get(record.sobject)
        fields = {} if describe is None else describe.fields
        return {
            name: ObservedValue(value=record.fields[name], at=record.modified_at, author=record.author)
            for name in receiver.fields
            if name in record.fields
            and name in link.snapshot
            and self._lines.owner_of(receiver, name) in SHARED_OWNERS
            and not same_value(record.fields[name], link.snapshot[name], fields.get(name))
        }

    def _versions(self, record: RemoteRecord, link: Link, receiver: RecordReceiver, entity: Any) -> list[FieldVersions]:
        local = receiver.local_values(entity)
        account = self._state.accounts.get(entity.customer.number) if _was_moved(record, link) else None
        moved = [] if account is None else [_account_versions(record, link, account)]
        return moved + [
            FieldVersions(
                name=name,
                owner=self._lines.owner_of(receiver, name),
                base=link.snapshot.get(name),
                local=local[name],
                remote=record.fields[name],
                has_base=name in link.snapshot,
            )
            for name in receiver.fields
            if name in local and name in record.fields and (record.sobject, name) not in _SET_BY_ORDER_RULES
        ]

    def _merge_context(self, record: RemoteRecord, link: Link, receiver: RecordReceiver) -> MergeContext:
        describe, answers = self._context.describes.get(record.sobject), self._state.answers
        changed_at, times = self._state.local_times(link)
        return MergeContext(
            local_changed_at=changed_at,
            local_times=receiver.by_field(times),
            remote_changed_at=record.modified_at,
            written_at=link.synced_at if record.modified_by == self._context.own_user else None,
            observed=self._state.observed.get(record.id, {}),
            answers={name: choice for (sobject, name), choice in answers.items() if sobject == record.sobject},
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
        self._applied.add(record.id)
        opened = self._state.conflicts.get((link.entity, link.key), {})
        taken = [name for name in merged.fields(Decision.TAKE) if name not in refused]
        restored = [*merged.fields(Decision.RESTORE), *refused]
        self.report.refused += len(refused)
        stubborn = [name for name in restored if self._is_overruled(link, merged.versions[name])]
        restored = [name for name in restored if name not in stubborn]
        self._note_conflicts(record, link, merged, owner, opened)
        agreed: dict[str, FieldValue] = {name: value for name, value in merged.agreed.items() if name not in stubborn}
        if not (taken or restored or stubborn or agreed or merged.fields(Decision.CONFLICT)):
            self.report.echoes += 1
            self._messages.settle(record, link, taken=False)
            return
        if agreed:
            self._writes.put_link(replace(link, snapshot={**link.snapshot, **agreed}))
        self.report.delays += [(record.sobject, self._uow.now - record.modified_at)] if taken else []
        if patch:
            self._writes.change(owner, patch)
        self._messages.settle(record, link, taken=bool(taken))
        reasons = {name: self._refused_because(name) or "" for name in refused}
        if ACCOUNT_ID in restored:
            reasons[ACCOUNT_ID] = _ACCOUNT_STAYS
        if reasons:
            self._messages.tell_refused(record, link, reasons)
        if restored:
            self._writes.make_due(link, owner)
            for name in restored:
                before = self._state.restored.get((link.entity, link.key, name))
                self._writes.restore(link, merged.versions[name], before)
        for counter, names in (
            (self.report.taken, taken),
            (self.report.restored, restored),
            (self.report.overruled, stubborn),
        ):
            counter.update(f"{record.sobject}.{name}" for name in names)
        effects = {
            Effect.TAKEN: taken,
            Effect.RESTORED: [name for name in restored if name not in reasons],
            Effect.REFUSED: [name for name in restored if name in reasons],
            Effect.OVERRULED: stubborn,
            Effect.CONFLICT: merged.fields(Decision.CONFLICT),
        }
        for effect, names in effects.items():
            for name in names:
                self._writes.explain(effect, record, link, merged.versions[name], why=reasons.get(name))
        for action, detail, fields in merge_notes(record, link, merged, effects, reasons):
            self._writes.journal(link.owner, action, detail, merged=fields)
        if taken:
            self._writes.notice_of_fields(record, link, taken)

    async def resolve(self, conflict: Conflict, choice: ConflictState, lock_orders: LockOrders, *, actor: str) -> None:
        """Note what closes one conflict, if its values are still those of `conflict`."""
        changed_at = conflict.remote_changed_at or self._uow.now
        record = RemoteRecord(
            sobject=conflict.sobject,
            id=conflict.record_id,
            fields={conflict.field: conflict.remote},
            read_at=self._uow.now,
            modified_at=changed_at,
            stamped_at=changed_at,
            author=conflict.remote_changed_by,
        )
        await self.load([record], lock_orders)
        link = self._state.links.get(record.id)
        receiver = None if link is None else self._receivers.of(link)
        owner = None if link is None else self._state.owner(link)
        opened = self._state.conflicts.get((conflict.entity, conflict.key), {}).get(conflict.field)
        if link is None or receiver is None or owner is None or opened is None or opened.id != conflict.id:
            raise CommandError(
                f"Conflict {conflict.id} is not open.",
                hint="`connector conflicts list` shows those that are.",
                field="id",
                rule="conflict",
            )
        if opened.version != conflict.version:
            raise CommandError(
                f"Conflict {conflict.id} has changed: its values are others now.",
                hint="Read it again, and decide anew.",
                field="version",
                rule="version",
            )
        self._writes.put_link(replace(link, snapshot={**link.snapshot, conflict.field: opened.remote}))
        if choice is ConflictState.SALESFORCE:
            try:
                self._writes.change(owner, receiver.patch({conflict.field: opened.remote}))
            except UnreadableValueError as error:
                raise CommandError(
                    f"{conflict.sobject}.{error}.",
                    hint="Correct the value in the org, or choose the local one.",
                    field="choice",
                    rule="conflict",
                ) from error
            self._writes.notice_of_fields(record, link, [conflict.field])
            self.report.taken[f"{conflict.sobject}.{conflict.field}"] += 1
        else:
            self._writes.make_due(link, owner)
            self.report.restored[f"{conflict.sobject}.{conflict.field}"] += 1
        await conflicts.resolve(self._uow, [conflict.id], choice, actor=actor)
        detail = {"record": record.id, "field": conflict.field, "choice": choice.value, "by": actor}
        self._writes.journal(link.owner, "resolved", detail, actor=actor)

    def _note_conflicts(
        self, record: RemoteRecord, link: Link, merged: RecordMerge, owner: Any, opened: Mapping[str, Conflict]
    ) -> None:
        for name in merged.fields(Decision.CONFLICT):
            versions = merged.versions[name]
            seen = merged.context.observed_before(versions)
            self._writes.conflicts.append(
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
                    local_changed_at=merged.context.local_time(name),
                    remote_changed_at=record.modified_at if seen is None else seen.at,
                    remote_changed_by=record.author if seen is None else seen.author,
                )
            )
        still_open = set(merged.fields(Decision.CONFLICT))
        settled = [item.id for name, item in opened.items() if name not in still_open]
        self._writes.settled += settled
        if settled:
            self._writes.make_due(link, owner)  # the field was held back, so nothing else would send it

    def _is_overruled(self, link: Link, versions: FieldVersions) -> bool:
        before = self._state.restored.get((link.entity, link.key, versions.name))
        if before is None or before.times < MAX_RESTORES:
            return False
        return (before.local, before.remote) == (versions.local, versions.remote)


def _was_moved(record: RemoteRecord, link: Link) -> bool:
    """Whether an order refers to another account than both sides agreed on."""
    agreed, remote = link.snapshot.get(ACCOUNT_ID), record.fields.get(ACCOUNT_ID)
    return link.entity == EntityKind.ORDER and agreed is not None and remote is not None and agreed != remote


def _account_versions(record: RemoteRecord, link: Link, account: str) -> FieldVersions:
    agreed, remote = link.snapshot[ACCOUNT_ID], record.fields[ACCOUNT_ID]
    return FieldVersions(name=ACCOUNT_ID, owner=Owner.LOCAL, base=agreed, local=account, remote=remote)
