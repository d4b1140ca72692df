"""What the journal keeps of the fields of records: those that were sent, and those of which both sides were merged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from connector.model.record import FieldValue

PersonalFields = Mapping[str, frozenset[str]]
"""The fields that are mapped from personal data, by object."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SentRecord:
    """The fields of one record as they were sent; none if its deletion was. `key` is our key of the record.

    `record_id` and `before` are known of an update or a deletion: the record, and the values that it had as far as we
    knew, by field; what is not among them is unknown. `created`: the send made the record.
    """

    sobject: str
    key: str
    fields: Mapping[str, FieldValue]
    record_id: str | None = None
    before: Mapping[str, FieldValue] | None = None
    created: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class MergedField:
    """One field as both sides had it, and what became of it: `base` is what both had agreed on, `local` the value here,
    `remote` that of the org; `effect` is a `record_change.Effect`, `why` the reason in words."""

    sobject: str
    key: str
    field: str
    base: FieldValue
    local: FieldValue
    remote: FieldValue
    effect: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldNote:
    """One field as the journal has it. `is_kept` is False if only its name was kept. `value` is what was sent; the
    others belong to a merge. `is_personal`: it is personal data. `before` is what it replaced in the record
    `record_id`, if that was known (`has_before`). `created`: the record was created with it."""

    sobject: str
    key: str
    field: str
    is_personal: bool
    is_kept: bool = True
    value: FieldValue = None
    base: FieldValue = None
    local: FieldValue = None
    remote: FieldValue = None
    effect: str | None = None
    why: str | None = None
    record_id: str | None = None
    before: FieldValue = None
    has_before: bool = False
    created: bool = False
