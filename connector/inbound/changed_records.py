"""Tells records of the org that could change something here from those that cannot: echoes, and what is not ours.

A poll of an org in which little has changed reads many records for nothing: those of the overlap. They are told apart
without locks, which is no risk: a record that was read, and after that holds what both sides agree on, while no send of
its entity is under way, has nothing to tell, whatever happens later. A dry run keeps what it has read until it has read
all of it, so it keeps only records with which a merge could do anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from connector.inbound.adoption.rule import LINE, AdoptionRule
from connector.inbound.context import ApplyReport
from connector.inbound.receivers import Receivers
from connector.inbound.record_batch import ACCOUNT_ID
from connector.model.change import EntityKind
from connector.model.deleted_record import DeletedRecord
from connector.model.describe import SObjectDescribe
from connector.model.field_equality import same_value
from connector.model.inbound_change import RemoteRecord
from connector.model.record import Link
from connector.model.sync_message import MessageCause
from connector.store import conflicts, deleted_records, inbox, links, outbox, sync_messages
from connector.store.engine import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangedRecords:
    """Selects records of one object of one org."""

    org_id: str
    receivers: Receivers
    describe: SObjectDescribe
    adoption: AdoptionRule | None

    async def select(
        self, connection: Connection, records: Sequence[RemoteRecord], report: ApplyReport
    ) -> list[RemoteRecord]:
        """The records that could change something, and those that they were merged into. The others are counted in
        `report`."""
        ids = {record.id for record in records}
        orders = {str(record.fields["OrderId"]) for record in records if record.fields.get("OrderId")}
        linked = await links.find(connection, self.org_id, sorted(ids | orders))
        waiting: set[str] = {*await inbox.states(connection, self.org_id, ids | orders)}
        told = await sync_messages.about(connection, self.org_id, ids)
        waiting |= {item.source_id for item in told if item.cause is MessageCause.PARKED}
        deleted: dict[str, DeletedRecord] = {}
        disputed: set[tuple[str, str]] = set()
        for entity in {link.entity for link in linked.values()}:
            keys = [link.key for link in linked.values() if link.entity == entity]
            found = await deleted_records.get(connection, self.org_id, entity, keys)
            deleted |= {item.record_id: item for item in found.values()}
            opened = await conflicts.open_fields(connection, self.org_id, entity, keys)
            disputed |= {(entity, key) for key in opened}
        unsettled = await self._find_unsettled(connection, {link.owner for link in linked.values()})
        masters = {record.master for record in records if record.deleted}
        changed = []
        for record in records:
            link = linked.get(record.id)
            is_noted = link is not None and ((link.entity, link.key) in disputed or link.owner in unsettled)
            if is_noted or record.id in waiting or record.id in masters:
                changed.append(record)
            elif link is None:
                order = str(record.fields.get("OrderId"))
                if self._may_begin(record) or (record.sobject == LINE and (order in linked or order in waiting)):
                    changed.append(record)
                else:
                    report.records += 1
                    report.unknown += 1
            elif not self._is_echo(record, link, deleted.get(record.id)):
                changed.append(record)
            else:
                report.records += 1
                report.echoes += 1
        return changed

    async def _find_unsettled(self, connection: Connection, owners: set[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of these entities with a change that was refused, perhaps because their record was deleted, or whose
        send has no answer yet: what both sides agreed on is about to be another value."""
        unsettled: set[tuple[str, str]] = set()
        for kind in {entity for entity, _ in owners}:
            keys = [key for entity, key in owners if entity == kind]
            unsent = await outbox.find(connection, EntityKind(kind), keys)
            unsettled |= {(kind, key) for key, row in unsent.items() if row.refusal is not None or row.unconfirmed}
        return unsettled

    def _may_begin(self, record: RemoteRecord) -> bool:
        return self.adoption is not None and self.adoption.is_candidate(record)

    def _is_echo(self, record: RemoteRecord, link: Link, known: DeletedRecord | None) -> bool:
        if record.deleted:
            return known is not None and (record.master is None or known.merged_into is not None)
        if known is not None:
            return False
        receiver = self.receivers.of(link)
        if receiver is None:
            return True
        account = (ACCOUNT_ID,) if ACCOUNT_ID in link.snapshot else ()
        return all(
            name in link.snapshot
            and same_value(record.fields[name], link.snapshot[name], self.describe.fields.get(name))
            for name in (*receiver.fields, *account)
            if name in record.fields
        )
