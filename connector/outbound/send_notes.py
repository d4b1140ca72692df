"""What the journal is to keep of each send: the call, and by entity the fields of its records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from connector.model.change import EntityKind
from connector.model.field_notes import SentRecord
from connector.outbound.plan_types import Fields, OrderGraph, OrderRewrite, RecordUpdate, RecordUpsert, Upsert
from connector.salesforce.attempt_context import CallNote

Name = tuple[EntityKind, str]
"""Kind and key of an entity."""


@dataclass(frozen=True, slots=True)
class SendNote:
    """One entity in one call."""

    call: CallNote
    records: tuple[SentRecord, ...]


def note_sends(items: Iterable[object], call: CallNote) -> dict[Name, SendNote]:
    """The notes for the items of a call, by entity; none for reads."""
    records: dict[Name, list[SentRecord]] = {}
    for item in items:
        match item:
            case Upsert(pending=pending, record=record):
                _of(records, pending.change.entity, pending.change.key).append(_upserted(record))
            case RecordUpdate(pending=pending):
                fields = {**item.fields, **item.identity} if item.identity else item.fields
                sent = SentRecord(sobject=item.sobject, key=item.key, fields=fields)
                _of(records, pending.change.entity, pending.change.key).append(sent)
            case OrderGraph(pending=pending):
                if item.account is not None:
                    _of(records, EntityKind.CUSTOMER, item.customer).append(_upserted(item.account))
                own = _of(records, pending.change.entity, pending.change.key)
                own += map(_upserted, (item.order, *item.lines))
            case OrderRewrite(pending=pending):
                _of(records, pending.change.entity, pending.change.key).extend(_rewritten(item))
    return {name: SendNote(call, tuple(sent)) for name, sent in records.items()}


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


def _upserted(record: RecordUpsert) -> SentRecord:
    return SentRecord(sobject=record.sobject, key=record.key, fields=record.fields)


def _rewritten(item: OrderRewrite) -> list[SentRecord]:
    status = item.status or item.reopen
    header: Fields = {**item.header, **({} if status is None else {"Status": status})}
    sent = [SentRecord(sobject="Order", key=item.pending.change.key, fields=header)] if header else []
    sent += [SentRecord(sobject="OrderItem", key=key, fields={}) for key, _ in item.delete]
    sent += map(_upserted, item.add)
    return [*sent, *(SentRecord(sobject=row.sobject, key=row.key, fields=row.fields) for row in item.update)]
