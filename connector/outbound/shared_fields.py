"""Which shared fields somebody else has changed in the org before our value could be sent. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from connector.model.describe import FieldDescribe
from connector.model.field_equality import same_value
from connector.model.record import FieldValue, Link, MappedRecord, changed_fields
from connector.outbound.plan_types import PendingEntity

MODIFIED_BY = "LastModifiedById"
"""The field of a record that names who changed it last."""


def shared_fields_to_send(record: MappedRecord, link: Link) -> frozenset[str]:
    """The shared fields whose values here differ from what both sides agreed on."""
    return frozenset(changed_fields({name: record.fields[name] for name in _shared(record)}, link.snapshot))


def fields_changed_in_org(
    record: MappedRecord, link: Link, row: Mapping[str, Any], fields: Mapping[str, FieldDescribe]
) -> frozenset[str]:
    """The shared fields of `row` that hold neither what both sides agreed on nor what we would send."""
    return frozenset(
        name
        for name in _shared(record) & row.keys()
        if not same_value(row[name], record.fields[name], fields.get(name))
        and not (name in link.snapshot and same_value(row[name], link.snapshot[name], fields.get(name)))
    )


def with_sent(pending: PendingEntity) -> dict[str, tuple[FieldValue, ...]]:
    """What was sent of shared fields without a recorded answer, once the entity is sent as it is now."""
    record, sent = pending.record, dict(pending.change.sent or {})
    if record is None:
        return {}
    names = _shared(record) if pending.link is None else shared_fields_to_send(record, pending.link)
    for name in sorted(names):
        earlier = tuple(sent.get(name, ()))
        sent[name] = earlier if record.fields[name] in earlier else (*earlier, record.fields[name])
    return {name: tuple(values) for name, values in sent.items()}


def fields_changed_by_others(
    pending: PendingEntity, row: Mapping[str, Any], fields: Mapping[str, FieldDescribe], own_user: str
) -> frozenset[str]:
    """The shared fields of `row` that somebody else changed while a send of ours had no answer: they hold neither what
    both sides agreed on, nor what we would send, nor what we sent.

    Of a send that an earlier release began, it is not known what it sent; then what our user changed last is our own.
    """
    record, link, change = pending.record, pending.link, pending.change
    if record is None or link is None or not (change.unanswered_sends or change.sent):
        return frozenset()
    if change.sent is None and row[MODIFIED_BY] == own_user:
        return frozenset()
    sent = change.sent or {}
    return frozenset(
        name
        for name in fields_changed_in_org(record, link, row, fields)
        if not any(same_value(row[name], value, fields.get(name)) for value in sent.get(name, ()))
    )


def keep_agreed(link: Link, before: Link | None, names: frozenset[str]) -> Link:
    """`link`, but with what both sides agreed on `before` in the fields of `names`."""
    if before is None or not names:
        return link
    agreed = {name: before.snapshot[name] for name in names if name in before.snapshot}
    others = {name: value for name, value in link.snapshot.items() if name not in names}
    return replace(link, snapshot=others | agreed)


def _shared(record: MappedRecord) -> frozenset[str]:
    return record.shared & record.fields.keys()
