"""Deletions, merges and undeletions of linked records: what becomes of the entity here, by the policy that is set.

    deleted ----> reported    the entity stays; a push that has something to send reports the deletion too
             |--> recreated   the link ends; the next push creates the record again
             |--> canceled    a command on the order; forbidden by its stage: reported
             |--> removed     the line is removed from the order here; forbidden: restored there
             '--> merged      the link follows to the record that took its place; if that one belongs to another
                              customer, only what refers to this customer follows, and its link stays behind
    undeleted -> the link is alive again: the record is merged like any other, and what was refused is due again

What was seen is remembered with the link (`deleted_records`), so reading the same deletion twice does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from connector.inbound.batch_writes import BatchWrites
from connector.inbound.deletion_policy import DeletionAction, decide_deletion, policy_for
from connector.inbound.loaded_state import LoadedState
from connector.model.change import EntityKind
from connector.model.deleted_record import REFUSED_AS_DELETED, DeletedRecord
from connector.model.events import Cancel, ChangeOrder, LineEdit
from connector.model.inbound_change import RemoteRecord
from connector.model.order import Line, Order
from connector.model.order_return import OrderReturn
from connector.model.record import PARTS, Link
from connector.model.record_change import Effect
from connector.model.shipments import ZERO
from connector.model.stage import Stage
from connector.settings.inbound import DeletedLines, InboundSettings
from connector.store import dead_letters, deleted_records, links
from connector.store.unit_of_work import UnitOfWork

_LINE = PARTS[EntityKind.ORDER]
_RETURN_LINE = PARTS[EntityKind.RETURN]


class Deletions:
    """The deletions and undeletions of one transaction."""

    def __init__(self, settings: InboundSettings, state: LoadedState, writes: BatchWrites) -> None:
        self._settings = settings
        self._state = state
        self._writes = writes
        self._deleted: dict[tuple[str, str], DeletedRecord] = {}
        self._forgotten: list[Link] = []
        self._forgotten_lines: dict[str, list[str]] = {_LINE: [], _RETURN_LINE: []}
        self._unlinked: list[Link] = []
        self._moved: dict[str, tuple[str, str]] = {}
        """Record IDs of accounts by those that were merged into them, with the customer's key."""

    def note(self, record: RemoteRecord, link: Link, *, forbidden: str | None = None) -> None:
        """Decide what becomes of the entity of a deleted record. `forbidden` says why the order does not allow what the
        policy asks for."""
        known = self._state.deleted.get((link.entity, link.key))
        if known is not None and known.record_id == record.id:
            self._writes.report.echoes += 1
            return
        owner, entity = self._state.owner(link), self._state.entity(link)
        action = decide_deletion(
            policy_for(link.entity, self._settings),
            ended_here=entity is None or (isinstance(entity, Order) and entity.stage is Stage.CANCELED),
            with_order=isinstance(entity, Line) and self._order_is_deleted(link),
            forbidden=forbidden is not None,
            is_certain=record.certain,
        )
        if forbidden is not None:
            self._writes.report.refused += 1
            if isinstance(entity, Line):  # as with a field that the order forbids: ours stands
                action = DeletionAction.RECREATED
        self._carry_out(action, record, link, owner, entity)
        self._report(action, record, link, {"because": forbidden} if forbidden else {})

    def _carry_out(self, action: DeletionAction, record: RemoteRecord, link: Link, owner: Any, entity: Any) -> None:
        note = f"deleted in Salesforce by {record.author}" if record.author else "deleted in Salesforce"
        match action:
            case DeletionAction.REPORTED | DeletionAction.WITH_ORDER:
                self._remember(record, link)
            case DeletionAction.RECREATED:
                self._unlinked.append(link)
                self._writes.make_due(link, owner)
            case DeletionAction.CANCELED:
                self._remember(record, link)
                self._writes.command(owner.number, Cancel(note=note))
                self._writes.make_due(link, owner, unconfirmed=True)
            case DeletionAction.REMOVED:
                self._unlinked.append(link)
                edit = LineEdit(sku=entity.product.sku, quantity=ZERO)
                self._writes.command(owner.number, ChangeOrder(line_edits={entity.number: edit}, note=note))
            case DeletionAction.AGREED if link.is_part or owner is None:
                self._unlinked.append(link)
            case DeletionAction.AGREED:
                self._remember(record, link)

    def _order_is_deleted(self, line: Link) -> bool:
        return line.owner in self._deleted or line.owner in self._state.deleted

    def follow_merge(
        self, record: RemoteRecord, link: Link, master: RemoteRecord, *, holder: Link | None, is_foreign: bool
    ) -> Link | None:
        """The account of a customer was merged into `master`, which `holder` links to a customer, if one does. Return
        the customer's new link; None if `master` belongs to another one (`is_foreign`), known here or not."""
        known = self._state.deleted.get((link.entity, link.key))
        if known is not None and (known.record_id, known.merged_into) == (record.id, master.id):
            self._writes.report.echoes += 1
            return None
        self._moved[record.id] = (master.id, link.key)
        self._report(
            DeletionAction.MERGED,
            record,
            link,
            {"into": master.id, "of": None if holder is None else f"{holder.entity} {holder.key}"},
        )
        if is_foreign:
            self._remember(record, link, merged_into=master.id)
            if holder is not None:
                detail = {"record": master.id, "merged": record.id, "of": f"{link.entity} {link.key}"}
                self._writes.journal(holder.owner, "merged", detail)
            return None
        self._forgotten.append(link)
        moved = replace(link, salesforce_id=master.id)
        self._writes.put_link(moved)
        self._writes.make_due(moved, self._state.owner(link))
        return moved

    def note_undeleted(self, record: RemoteRecord, link: Link) -> None:
        """A record that was deleted is there again. What was refused meanwhile is due again, and is compared with the
        org. That it was deleted may have been seen here, or by a push alone, which refused what it had to send."""
        known = self._state.deleted.get((link.entity, link.key))
        was_seen = known is not None and known.record_id == record.id
        if not was_seen and not self._is_refused_as_deleted(link):
            return
        owner = self._state.owner(link)
        self._forgotten.append(link)
        if isinstance(owner, Order | OrderReturn) and not link.is_part:
            self._forgotten_lines[PARTS[link.entity]] += [line.key for line in owner.lines]
        self._writes.make_due(link, owner, unconfirmed=link.entity in {EntityKind.ORDER, EntityKind.RETURN})
        self._writes.report.undeleted[link.entity] += 1
        self._writes.journal(link.owner, "undeleted", _detail(record))
        self._writes.explain(Effect.UNDELETED, record, link)
        self._writes.notice("undeleted", record, link, {})

    def _is_refused_as_deleted(self, link: Link) -> bool:
        unsent = self._state.unsent.get(link.owner)
        refusal = None if unsent is None else unsent.refusal
        return (
            refusal is not None and refusal.code == REFUSED_AS_DELETED and refusal.record == f"{link.entity} {link.key}"
        )

    def _remember(self, record: RemoteRecord, link: Link, *, merged_into: str | None = None) -> None:
        self._deleted[link.entity, link.key] = DeletedRecord(
            entity=link.entity,
            key=link.key,
            record_id=record.id,
            deleted_at=record.stamped_at,
            deleted_by=record.author,
            merged_into=merged_into,
        )

    def _report(self, action: DeletionAction, record: RemoteRecord, link: Link, more: Mapping[str, Any]) -> None:
        if action is DeletionAction.WITH_ORDER:
            return
        self._writes.report.deleted[link.entity, action.value] += 1
        word = "merged" if action is DeletionAction.MERGED else "deleted"
        done = {} if action is DeletionAction.MERGED else {"done": action.value}
        part = {"line": link.key} if link.is_part else {}
        self._writes.journal(link.owner, word, _detail(record) | part | done | dict(more))
        self._writes.notice(word, record, link, done | dict(more))
        effect = Effect.MERGED if action is DeletionAction.MERGED else Effect.DELETED
        because = f": {more['because']}" if "because" in more else ""
        why = f"into {more['into']}" if action is DeletionAction.MERGED else f"{action.value}{because}"
        self._writes.explain(effect, record, link, why=why)

    async def store(self, uow: UnitOfWork, org_id: str) -> None:
        """Write what was noted; before the links are written, so that a link can move to a record of another."""
        for link in [*self._forgotten, *self._unlinked]:
            await deleted_records.drop(uow, org_id, link.entity, [link.key])
        for part, keys in self._forgotten_lines.items():
            await deleted_records.drop(uow, org_id, part, keys)
            if part == _RETURN_LINE or policy_for(part, self._settings) == DeletedLines.RESTORE:
                # Lines that do not come back with their order are created again; the push finds others by their keys.
                await links.drop(uow, org_id, part, keys)
        for link in self._unlinked:
            await links.drop(uow, org_id, link.entity, [link.key])
            if link.entity in PARTS:
                await links.drop_children(uow, org_id, PARTS[link.entity], [link.key])
        await deleted_records.put(uow, org_id, self._deleted.values())
        if self._moved:
            keys = [key for _, key in self._moved.values()]
            moved = {before: after for before, (after, _) in self._moved.items()}
            await deleted_records.follow_merge(uow, org_id, keys, moved)
        freed = [f"{link.entity} {link.key}" for link in [*self._forgotten, *self._unlinked]]
        if freed:
            await dead_letters.requeue_blocked_by(uow, freed)


def _detail(record: RemoteRecord) -> dict[str, Any]:
    return {"record": record.id, "by": record.author, "at": record.stamped_at}
