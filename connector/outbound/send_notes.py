"""What the journal is to keep of each send: the call, and by entity the fields of its records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from connector.model.change import EntityKind
from connector.model.field_notes import SentRecord
from connector.model.record import PARTS
from connector.outbound.plan_types import Fields, OrderGraph, OrderRewrite, RecordUpdate, RecordUpsert, Upsert
from connector.outbound.results import WriteResult
from connector.salesforce.attempt_context import CallNote

Name = tuple[EntityKind, str]
"""Kind and key of an entity."""


@dataclass(frozen=True, slots=True)
class SendNote:
    """One entity in one call; `run` is the run that made it due, if one did."""

    call: CallNote
    records: tuple[SentRecord, ...]
    run: str | None = None


def note_sends(items: Iterable[object], call: CallNote, results: Sequence[WriteResult] = ()) -> dict[Name, SendNote]:
    """The notes for the items of a call, by entity; none for reads. `results` tell which records were created."""
    records: dict[Name, list[SentRecord]] = {}
    runs: dict[Name, str | None] = {}
    upserted = _Upserted(results)
    for item in items:
        match item:
            case Upsert(pending=pending, record=record):
                _of(records, pending.change.entity, pending.change.key).append(upserted.note(record))
            case RecordUpdate(pending=pending):
                _of(records, pending.change.entity, pending.change.key).append(_updated(item))
            case OrderGraph(pending=pending):
                if item.account is not None:
                    _of(records, EntityKind.CUSTOMER, item.customer).append(upserted.note(item.account))
                    runs[EntityKind.CUSTOMER, item.customer] = pending.change.run
                own = _of(records, pending.change.entity, pending.change.key)
                own += map(upserted.note, (item.order, *item.lines))
            case OrderRewrite(pending=pending):
                _of(records, pending.change.entity, pending.change.key).extend(_rewritten(item))
            case _:
                continue
        runs[pending.change.entity, pending.change.key] = pending.change.run
    return {name: SendNote(call, tuple(sent), runs[name]) for name, sent in records.items()}


def describe_call(call: CallNote) -> Mapping[str, object]:
    """The call as it stands in the journal."""
    return {
        "id": call.id,
        "method": call.method,
        "path": call.path,
        "status": call.status,
        "requests": call.requests,
        "ms": call.milliseconds,
    }


def _of(records: dict[Name, list[SentRecord]], kind: EntityKind, key: str) -> list[SentRecord]:
    return records.setdefault((kind, key), [])


class _Upserted:
    """Tells of upserted records whether the org created them."""

    def __init__(self, results: Sequence[WriteResult]) -> None:
        written = [result for result in results if result.success]
        existing = {record for result in written for record in result.existing_ids}
        self._ids = {(link.entity, link.key): link.salesforce_id for result in written for link in result.links}
        self._created = {name for name, record in self._ids.items() if record not in existing}

    def note(self, record: RecordUpsert) -> SentRecord:
        """What the org had in a record that it found by our key is not known."""
        name = record.entity, record.key
        created = name in self._created
        is_found = name in self._ids and not created
        return SentRecord(
            sobject=record.sobject,
            key=record.key,
            fields=record.fields,
            record_id=self._ids[name] if is_found else None,
            before={} if is_found else None,
            created=created,
        )


def _updated(row: RecordUpdate) -> SentRecord:
    """With the values that both sides had agreed on: those that the record had, unless somebody has just changed it."""
    pending = row.pending
    link = pending.line_links.get(row.key) if row.entity in PARTS.values() else pending.link
    agreed = {} if link is None else link.snapshot
    fields = {**row.fields, **row.identity} if row.identity else row.fields
    before = {name: agreed[name] for name in fields if name in agreed}
    return SentRecord(sobject=row.sobject, key=row.key, fields=fields, record_id=row.id, before=before)


def _rewritten(item: OrderRewrite) -> list[SentRecord]:
    status, pending = item.status or item.reopen, item.pending
    header: Fields = {**item.header, **({} if status is None else {"Status": status})}
    own = RecordUpdate(
        pending=pending, entity="order", key=pending.change.key, sobject="Order", id=item.order_id, fields=header
    )
    sent = [_updated(own)] if header else []
    for key, record_id in item.delete:
        line = pending.line_links.get(key)
        before = {} if line is None else line.snapshot
        sent.append(SentRecord(sobject="OrderItem", key=key, fields={}, record_id=record_id, before=before))
    sent += [
        SentRecord(sobject=record.sobject, key=record.key, fields=record.fields, created=True) for record in item.add
    ]
    return [*sent, *map(_updated, item.update)]
