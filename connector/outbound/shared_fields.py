"""Which shared fields somebody else has changed in the org before our value could be sent. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from connector.model.describe import FieldDescribe
from connector.model.field_equality import same_value
from connector.model.record import Link, MappedRecord, changed_fields


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


def keep_agreed(link: Link, before: Link | None, names: frozenset[str]) -> Link:
    """`link`, but with what both sides agreed on `before` in the fields of `names`."""
    if before is None or not names:
        return link
    agreed = {name: before.snapshot[name] for name in names if name in before.snapshot}
    others = {name: value for name, value in link.snapshot.items() if name not in names}
    return replace(link, snapshot=others | agreed)


def _shared(record: MappedRecord) -> frozenset[str]:
    return record.shared & record.fields.keys()
