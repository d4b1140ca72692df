"""Users: names in the form of an email address that no other user has, and what the platform derives."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from connector.localorg.errors import Refusal
from connector.localorg.rules.person_accounts import full_name
from connector.localorg.rules.rule import Rule

if TYPE_CHECKING:
    from connector.localorg.record_store import RecordStore
    from connector.localorg.write_plan import Row

_USERNAME = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")


class UserRule(Rule):
    def prepare(self, store: RecordStore, row: Row, given: Row) -> None:
        if "IsActive" not in given:
            row["IsActive"] = 1
        if row.get("CommunityNickname") is None and row.get("Username"):
            row["CommunityNickname"] = str(row["Username"]).partition("@")[0]
        row["UserType"] = "Standard"
        row["Name"] = full_name(row)

    def insert(self, store: RecordStore, row: Row, given: Row) -> None:
        _check_username(store, row)

    def update(self, store: RecordStore, old: Row, new: Row, changed: set[str]) -> None:
        new["Name"] = full_name(new)
        if "Username" in changed:
            _check_username(store, new)
        if "IsActive" in changed and new["Id"] == store.admin_id:
            raise Refusal("FIELD_INTEGRITY_EXCEPTION", "You can't deactivate this user.", fields=["IsActive"])


def _check_username(store: RecordStore, row: Row) -> None:
    username = str(row["Username"])
    if not _USERNAME.fullmatch(username):
        raise Refusal(
            "FIELD_INTEGRITY_EXCEPTION",
            "Username must be in the form of an email address (for example, john@acme.com)",
            fields=["Username"],
        )
    other = store.scalar('SELECT "Id" FROM "User" WHERE "Username" = ? COLLATE NOCASE', username)
    if other is not None and other != row.get("Id"):
        raise Refusal(
            "DUPLICATE_USERNAME",
            "Duplicate Username.<br>The username already exists in this or another Salesforce organization. Usernames"
            " must be unique across all Salesforce organizations. To resolve, use a different username (it doesn't"
            " need to match the user's email address).",
            fields=["Username"],
        )
