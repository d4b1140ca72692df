"""Which shared fields somebody else has changed in the org before our value could be sent. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from connector.model.describe import FieldDescribe
from connector.model.field_equality import same_value
from connector.model.record import FieldValue, Link, MappedRecord, changed_fields
from connector.outbound.plan_types import PendingEntity
from connector.outbound.preflight import reference_like_values

MODIFIED_BY = "LastModifiedById"
"""The field of a record that names who changed it last."""


def shared_fields_to_send(record: MappedRecord, link: Link) -> frozenset[str]:
    """The shared fields whose values here differ from what both sides agreed on."""
    return frozenset(changed_fields({name: record.fields[name] for name in _shared(record)}, link.snapshot))


def fields_changed_in_org(
    record: MappedRecord,
    agreed: Mapping[str, FieldValue],
    row: Mapping[str, Any],
    fields: Mapping[str, FieldDescribe],
) -> frozenset[str]:
    """The shared fields of `row` that hold neither what both sides agreed on nor what we would send."""
    return frozenset(
        name
        for name in _shared(record) & row.keys()
        if not same_value(row[name], record.fields[name], fields.get(name))
        and not (name in agreed and same_value(row[name], agreed[name], fields.get(name)))
    )


def with_sent(pending: PendingEntity) -> dict[str, tuple[FieldValue, ...]]:
    """What was sent of shared fields without a recorded answer, once the entity is sent as it is now."""
    record, sent = pending.record, dict(pending.change.sent or {})
    if record is None:
        return {}
    if pending.link is None:
        names = _shared(record) - reference_like_values(record.fields).keys()  # these follow when it is created
    else:
        names = shared_fields_to_send(record, pending.link)
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
    record, change = pending.record, pending.change
    if record is None or not (change.unanswered_sends or change.sent):
        return frozenset()
    if change.sent is None and (pending.link is None or row[MODIFIED_BY] == own_user):
        return frozenset()
    sent = change.sent or {}
    possible = _shared(record) if pending.link is not None else _shared(record) & sent.keys()
    agreed = agreed_values(pending)
    return frozenset(
        name
        for name in fields_changed_in_org(record, agreed, row, fields) & possible
        if not any(same_value(row[name], value, fields.get(name)) for value in sent.get(name, ()))
    )


def agreed_values(pending: PendingEntity) -> Mapping[str, FieldValue]:
    """What both sides agreed on before a send without a recorded answer. Of a record that this send created, that is
    what was sent; nothing, where different values were sent."""
    if pending.link is not None:
        return pending.link.snapshot
    return {name: values[0] for name, values in (pending.change.sent or {}).items() if len(values) == 1}


def keep_agreed(link: Link, agreed: Mapping[str, FieldValue], names: frozenset[str]) -> Link:
    """`link`, but with what both sides agreed on before in the fields of `names`."""
    if not names:
        return link
    before = {name: agreed[name] for name in names if name in agreed}
    others = {name: value for name, value in link.snapshot.items() if name not in names}
    return replace(link, snapshot=others | before)


def _shared(record: MappedRecord) -> frozenset[str]:
    return record.shared & record.fields.keys()
