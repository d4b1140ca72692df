"""Person accounts: decided by the record type, with a composed name and a contact that mirrors the account.

(Object Reference, "Account"; Salesforce Help, "Person Accounts".)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.localorg.errors import Refusal

if TYPE_CHECKING:
    from connector.localorg.record_store import RecordStore
    from connector.localorg.write_plan import Row

_SHARED_FIELDS = ("Salutation", "FirstName", "LastName", "Phone", "Fax", "Description", "OwnerId", "CurrencyIsoCode")
_PERSON_PREFIX = "Person"


def full_name(row: Row) -> str:
    parts = (row.get("FirstName"), row.get("MiddleName"), row.get("LastName"), row.get("Suffix"))
    return " ".join(str(part) for part in parts if part)


def prepare_insert(store: RecordStore, row: Row, given: Row) -> None:
    """Decide whether a new account is a person, and refuse name fields of the other kind."""
    is_person = store.scalar('SELECT "IsPersonType" FROM "RecordType" WHERE "Id" = ?', row.get("RecordTypeId"))
    row["IsPersonAccount"] = int(is_person or 0)
    _check_names(row, {name for name, value in given.items() if value is not None})
    _compose_name(row)


def check_update(store: RecordStore, old: Row, new: Row, changed: set[str]) -> None:
    if "RecordTypeId" in changed:
        before = new["IsPersonAccount"]
        after = store.scalar('SELECT "IsPersonType" FROM "RecordType" WHERE "Id" = ?', new.get("RecordTypeId"))
        if before != int(after or 0):
            raise Refusal(
                "FIELD_INTEGRITY_EXCEPTION",
                "This org does not convert accounts between business and person: make a new account.",
                fields=["RecordTypeId"],
            )
    _check_names(new, changed)
    _compose_name(new)


def _compose_name(row: Row) -> None:
    if not row["IsPersonAccount"]:
        return
    if row.get("LastName") is None:
        raise Refusal("REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]", fields=["LastName"])
    row["Name"] = full_name(row)


def _check_names(row: Row, given: set[str]) -> None:
    """Refuse a company name of a person, and a person's name or email of a company."""
    disallowed = given & {"Name"} if row["IsPersonAccount"] else {name for name in given if _is_personal(name)}
    if disallowed:
        names = sorted(disallowed)
        raise Refusal(
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            f"Account: bad field names on insert/update call: {', '.join(names)}",
            fields=names,
        )


def _is_personal(name: str) -> bool:
    return name in {"FirstName", "LastName", "Salutation"} or name.startswith(_PERSON_PREFIX) or name.endswith("__pc")


def sync_contact(store: RecordStore, row: Row, old: Row | None) -> None:
    """Copy the person's data from the account to its contact; create the contact with the account."""
    columns = store.plan("Contact").column_names
    values: Row = {"IsPersonAccount": 1, "AccountId": row["Id"], "Name": row["Name"]}
    for name, value in row.items():
        target = _contact_field(name)
        if target in columns:
            values[target] = value
    if old is None:
        contact = store.platform_insert("Contact", **values)
        store.rows_written -= 1
        row["PersonContactId"] = contact
        store.platform_update("Account", row["Id"], {"PersonContactId": contact})
        store.rows_written -= 1
        return
    contact_id = row.get("PersonContactId")
    before = store.fetch("Contact", contact_id)
    changed = {name: value for name, value in values.items() if before is not None and before[name] != value}
    if changed:
        store.platform_update("Contact", contact_id, changed, touch=True)
        store.rows_written -= 1


def _contact_field(name: str) -> str:
    """Return the contact's field of an account's field: `Email` for `PersonEmail`, `Size__c` for `Size__pc`."""
    if name in _SHARED_FIELDS:
        return name
    if name.endswith("__pc"):
        return f"{name.removesuffix('__pc')}__c"
    return name.removeprefix(_PERSON_PREFIX) if name.startswith(_PERSON_PREFIX) and name != "PersonContactId" else ""


def check_not_person_contact(contact: Row) -> None:
    if contact.get("IsPersonAccount"):
        raise Refusal(
            "INSUFFICIENT_ACCESS_OR_READONLY", "The contact of a person account is edited through the account.",
            fields=[],
        )  # fmt: skip
