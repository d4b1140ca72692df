"""Builds the record of a customer or product, with the record type that makes an account a person account.

An account is created as a company or as a person. The org does not convert one into the other on request, so a customer
that changed its type is refused, with a fix that says what can be done. PURE.
"""

from __future__ import annotations

from connector.mapping.person_accounts import COMPUTED_FIELDS, PERSON
from connector.model.change import Refusal
from connector.model.customer import Customer
from connector.model.record import IS_PERSON, Link, MappedRecord
from connector.outbound.org_profile import OrgProfile
from connector.outbound.plan_types import Fields, RecordUpsert
from connector.outbound.preflight import Source, first_violation, normalize
from connector.outbound.rejections import (
    rejection_for_changed_account_type,
    rejection_for_no_company_type,
    rejection_for_no_last_name,
    rejection_for_no_record_type,
)

RECORD_TYPE = "RecordTypeId"


def build_record(
    record: MappedRecord, profile: OrgProfile, source: Source, *, link: Link | None = None, unconfirmed: bool = False
) -> RecordUpsert | Refusal:
    """The full record for the org, or the refusal that the org would answer. `unconfirmed`: it is not known what the
    org holds."""
    creating = link is None or unconfirmed
    label = f"{record.entity} {record.key}"
    if link is not None and not unconfirmed and record.person is not None:
        was_person = link.snapshot.get(IS_PERSON)
        if was_person is not None and was_person is not record.person:
            return rejection_for_changed_account_type(record.key, person=record.person)
    if record.entity == "customer" and creating and not record.person and profile.persons_only:
        return rejection_for_no_company_type(label)
    record_type_lookup = record.lookups.get(RECORD_TYPE)
    types = choose_record_type(record, profile, link, creating=creating)
    if record_type_lookup is not None and types.get(RECORD_TYPE) is None:
        return rejection_for_no_record_type(record, record_type_lookup, source)
    fields = normalize(record.fields) | types
    if record.person and fields.get("LastName") is None:
        return rejection_for_no_last_name(record, source)
    refusal = first_violation(
        fields,
        profile.describes[record.sobject],
        record=label,
        source=source,
        person=bool(record.person),
        creating=link is None,
        filled_later=COMPUTED_FIELDS if record.person else (),
    )
    if refusal is not None:
        return refusal
    return RecordUpsert(
        entity=record.entity,
        key=record.key,
        sobject=record.sobject,
        external_id=record.external_id,
        fields=fields,
        implied_fields={} if record.person is None else {IS_PERSON: record.person},
    )


def choose_record_type(record: MappedRecord, profile: OrgProfile, link: Link | None, *, creating: bool) -> Fields:
    """The record type to send; empty if the org's default is right.

    If several types are right, a record keeps the type it has, so that a changed default of the org moves no account.
    """
    lookup = record.lookups.get(RECORD_TYPE)
    if lookup is not None and lookup.key != PERSON:
        return {RECORD_TYPE: profile.record_type(record.sobject, lookup.key)}
    if record.entity != "customer":
        return {} if lookup is None else {RECORD_TYPE: None}
    current_type = link.snapshot.get(RECORD_TYPE) if link is not None else None
    if current_type is not None and (current_type in profile.person_types) is bool(record.person):
        return {RECORD_TYPE: current_type}
    if record.person:
        return {RECORD_TYPE: profile.person_type}
    if creating and profile.company_type is not None:
        return {RECORD_TYPE: profile.company_type}
    return {}


def account_type_conflict(customer: Customer, link: Link) -> Refusal | None:
    """The refusal of new references to the account of `link` if its customer is no longer of the account's type; else
    None."""
    was_person = link.snapshot.get(IS_PERSON)
    return (
        None
        if was_person is None or was_person is customer.person
        else rejection_for_changed_account_type(customer.key, person=customer.person)
    )
