"""What a customer or product is written as: its values, and the record type that makes an account a person's (H8).

Which kind an account is, is decided when it is made. The org does not turn a company's account into a person's for the
asking, so we do not ask: a customer that has changed sides is refused, in words that say what can be done. PURE.
"""

from __future__ import annotations

from connector.mapping.person_accounts import COMPOSED, PERSON
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

TYPE = "RecordTypeId"


def build_record(
    record: MappedRecord, facts: OrgProfile, source: Source, *, link: Link | None = None, unsure: bool = False
) -> RecordUpsert | Refusal:
    """All that the org shall hold of `record`, or why it would not. `unsure`: what it holds is not known."""
    creating = link is None or unsure
    label = f"{record.entity} {record.key}"
    if link is not None and not unsure and record.person is not None:
        was = link.snapshot.get(IS_PERSON)
        if was is not None and was is not record.person:
            return rejection_for_changed_account_type(record.key, person=record.person)
    if record.entity == "customer" and creating and not record.person and facts.persons_only:
        return rejection_for_no_company_type(label)
    named = record.lookups.get(TYPE)
    types = record_type(record, facts, link, creating=creating)
    if named is not None and types.get(TYPE) is None:
        return rejection_for_no_record_type(record, named, source)
    fields = normalize(record.fields) | types
    if record.person and fields.get("LastName") is None:
        return rejection_for_no_last_name(record, source)
    found = first_violation(
        fields,
        facts.describes[record.sobject],
        record=label,
        source=source,
        person=bool(record.person),
        creating=link is None,
        later=COMPOSED if record.person else (),
    )
    if found is not None:
        return found
    return RecordUpsert(
        entity=record.entity,
        key=record.key,
        sobject=record.sobject,
        external_id=record.external_id,
        fields=fields,
        known={} if record.person is None else {IS_PERSON: record.person},
    )


def record_type(record: MappedRecord, facts: OrgProfile, link: Link | None, *, creating: bool) -> Fields:
    """The record type to be sent; nothing where the org's own choice will do.

    Of several that would do, a record keeps the one it has: an org whose defaults change shall not see its accounts
    moved by us.
    """
    named = record.lookups.get(TYPE)
    if named is not None and named.key != PERSON:
        return {TYPE: facts.record_type(record.sobject, named.key)}
    if record.entity != "customer":
        return {} if named is None else {TYPE: None}
    had = link.snapshot.get(TYPE) if link is not None else None
    if had is not None and (had in facts.person_types) is bool(record.person):
        return {TYPE: had}
    if record.person:
        return {TYPE: facts.person_type}
    if creating and facts.company_type is not None:
        return {TYPE: facts.company_type}
    return {}


def account_type_conflict(customer: Customer, link: Link) -> Refusal | None:
    """Why nothing new shall refer to the account of `link`: it is not what its customer has become."""
    was = link.snapshot.get(IS_PERSON)
    return (
        None
        if was is None or was is customer.person
        else rejection_for_changed_account_type(customer.key, person=customer.person)
    )
