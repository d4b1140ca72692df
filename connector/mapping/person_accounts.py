"""Checks that a mapping suits the type of account it creates: the org's record types, and fields of persons or
companies."""

from __future__ import annotations

from collections.abc import Collection

from connector.mapping.problems import Problems
from connector.mapping.spec import LookupSpec, Owner, RecordSpec
from connector.model.describe import SObjectDescribe
from connector.suggestions import listed

PERSON = "person"
"""As the key of a record type: whichever type the org has for persons."""

COMPUTED_FIELDS = frozenset({"Name"})
"""Fields of a person account that the org computes."""

_NAMES = frozenset({"FirstName", "LastName", "MiddleName", "Suffix", "Salutation"})


def check_account_type(
    record: RecordSpec,
    describe: SObjectDescribe,
    problems: Problems,
    *,
    person: bool | None,
    person_types: Collection[str],
) -> None:
    """`person`: whether the mapping creates person accounts or companies; None if the org has no person accounts."""
    for lookup in record.lookups:
        if lookup.entity == "record_type":
            _check_record_type(lookup, describe, problems, person, person_types)
    if person:
        _check_person_fields(record, problems)
    elif person is False:
        for field in record.fields:
            if _is_personal(field.name):
                problems.add(field.position, field.name, "belongs to accounts of persons: map it in `person.yaml`.")


def _check_record_type(
    lookup: LookupSpec,
    describe: SObjectDescribe,
    problems: Problems,
    person: bool | None,
    person_types: Collection[str],
) -> None:
    name, label = lookup.const, lookup.relationship
    if name is None or (name == PERSON and person):
        return
    usable = {item.name: item for item in describe.record_types if item.usable and not item.master}
    if name not in usable:
        has = f"there are {listed(usable)}" if usable else "there is none"
        problems.add(
            lookup.position,
            label,
            f"`{name}` is no active record type of {describe.name} that this user may use: {has}.",
        )
    elif person is not None and (usable[name].id in person_types) is not person:
        problems.add(
            lookup.position,
            label,
            f"`{name}` is for {'companies' if person else 'persons'}: name one for"
            f" {'persons' if person else 'companies'}.",
        )


def _check_person_fields(record: RecordSpec, problems: Problems) -> None:
    for field in record.fields:
        if field.name == "Name":
            problems.add(field.position, "Name", "is made of first and last name in a person's account: remove it.")
    if not any(field.name == "LastName" and field.owner is not Owner.SALESFORCE for field in record.fields):
        problems.add(
            record.position,
            "LastName",
            "is required to create a person's account, and nothing maps it: add `LastName: last_name`.",
        )


def _is_personal(name: str) -> bool:
    return name in _NAMES or name.endswith("__pc") or (name.startswith("Person") and not name.endswith("__c"))
