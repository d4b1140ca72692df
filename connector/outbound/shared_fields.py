"""Which shared fields somebody else has changed in the org before our value could be sent. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from connector.model.describe import FieldDescribe
from connector.model.field_equality import same_value
from connector.model.observed_value import ObservedValues
from connector.model.record import FieldValue, Link, MappedRecord, changed_fields, child_field
from connector.outbound.plan_types import PendingEntity
from connector.outbound.preflight import reference_like_values

MODIFIED_BY = "LastModifiedById"
"""The field of a record that names who changed it last."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangedFields:
    """Shared fields of one entity that somebody else has changed in the org: `records` by object and ID, for inbound
    sync to decide; `names` as they are held, those of lines by `child_field`."""

    records: Mapping[tuple[str, str], ObservedValues] = field(default_factory=dict)
    names: frozenset[str] = frozenset()

    def with_record(
        self, pending: PendingEntity, record: MappedRecord, row_id: str, observed: ObservedValues
    ) -> ChangedFields:
        """These, and those of one more record."""
        if not observed:
            return self
        noted = {name: _noted_name(pending, record, name) for name in observed}
        # A field that was to get a former value back is left as it is: nothing here has to be decided because of that.
        told = {name: item for name, item in observed.items() if noted[name] not in pending.restored}
        records = {**self.records, (record.sobject, row_id): told} if told else self.records
        return ChangedFields(records=records, names=self.names | {*noted.values()})


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
    """What was sent of shared fields without a recorded answer, once the entity is sent as it is now; those of lines
    by `child_field`."""
    sent = {name: tuple(values) for name, values in (pending.change.sent or {}).items()}
    if pending.record is None:
        return {}
    for record in (pending.record, *pending.record.children):
        if not record.shared:
            continue
        link = link_of(pending, record)
        if link is None:
            names = _shared(record) - reference_like_values(record.fields).keys()  # these follow when it is created
        else:
            names = shared_fields_to_send(record, link)
        for name in sorted(names):
            value, noted = record.fields[name], _noted_name(pending, record, name)
            earlier = sent.get(noted, ())
            sent[noted] = earlier if value in earlier else (*earlier, value)
    return sent


def link_of(pending: PendingEntity, record: MappedRecord) -> Link | None:
    """The link of the entity's own record, or of a line of it."""
    return pending.link if record is pending.record else pending.line_links.get(record.key)


def fields_changed_by_others(
    pending: PendingEntity,
    record: MappedRecord,
    row: Mapping[str, Any],
    fields: Mapping[str, FieldDescribe],
    own_user: str,
) -> frozenset[str]:
    """The shared fields of the row of `record` (the entity's own one, or one of a line) that somebody else changed:
    they hold neither what both sides agreed on, nor what we would send, nor what we sent without an answer.

    A field on which both sides never agreed (of a record that a person linked) counts only where a send of ours had no
    answer. Of a send that an earlier release began, it is not known what it sent; then what our user changed last is
    our own.
    """
    change, link = pending.change, link_of(pending, record)
    if not record.shared:
        return frozenset()
    if change.unanswered_sends and change.sent is None and (link is None or row[MODIFIED_BY] == own_user):
        return frozenset()
    sent = _sent_of(pending, record)
    agreed = agreed_values(pending, record)
    if link is None:
        possible = _shared(record) & sent.keys()
    elif change.unanswered_sends or change.sent:
        possible = _shared(record)
    else:
        possible = _shared(record) & agreed.keys()
    return frozenset(
        name
        for name in fields_changed_in_org(record, agreed, row, fields) & possible
        if not any(same_value(row[name], value, fields.get(name)) for value in sent.get(name, ()))
    )


def agreed_values(pending: PendingEntity, record: MappedRecord) -> Mapping[str, FieldValue]:
    """What both sides agreed on before a send without a recorded answer. Of a record that this send created, that is
    what was sent; nothing, where different values were sent."""
    if (link := link_of(pending, record)) is not None:
        return link.snapshot
    return {name: values[0] for name, values in _sent_of(pending, record).items() if len(values) == 1}


def _noted_name(pending: PendingEntity, record: MappedRecord, name: str) -> str:
    return name if record is pending.record else child_field(record.key, name)


def _sent_of(pending: PendingEntity, record: MappedRecord) -> dict[str, Sequence[FieldValue]]:
    """What was sent of the shared fields of a record without a recorded answer."""
    sent = pending.change.sent or {}
    noted = {name: _noted_name(pending, record, name) for name in _shared(record)}
    return {name: sent[place] for name, place in noted.items() if place in sent}


def held_names(pending: PendingEntity, record: MappedRecord) -> frozenset[str]:
    """The fields of the entity's own record, or of one of a line, that wait for a person's or inbound sync's
    decision."""
    if record is pending.record:
        return pending.held_fields
    return frozenset(name for name in record.shared if child_field(record.key, name) in pending.held_fields)


def keep_agreed(link: Link, agreed: Mapping[str, FieldValue], names: frozenset[str]) -> Link:
    """`link`, but with what both sides agreed on before in the fields of `names`."""
    if not names:
        return link
    before = {name: agreed[name] for name in names if name in agreed}
    others = {name: value for name, value in link.snapshot.items() if name not in names}
    return replace(link, snapshot=others | before)


def _shared(record: MappedRecord) -> frozenset[str]:
    return record.shared & record.fields.keys()
