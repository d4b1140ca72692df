"""The hooks of a rule, in the order in which the org runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.localorg.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.localorg.record_store import RecordStore
    from connector.localorg.settings import UserPermission
    from connector.localorg.write_plan import Row, WritePlan


class Rule:
    hard_delete = False

    def prepare(self, store: RecordStore, row: Row, given: Row) -> None:
        """Set what the platform derives, before required fields are checked."""

    def insert(self, store: RecordStore, row: Row, given: Row) -> None:
        """Check and complete a new row."""

    def update(self, store: RecordStore, old: Row, new: Row, changed: set[str]) -> None:
        """Check and complete a changed row. `changed` are the fields of the request whose value differs."""

    def delete(self, store: RecordStore, row: Row) -> None:
        """Check whether the row may be deleted."""

    def dependents(self, store: RecordStore, row: Row) -> Iterator[tuple[WritePlan, Row]]:
        """Yield plan and row of the records that the deletion of this row takes along."""
        return iter(())

    def saved(self, store: RecordStore, row: Row, old: Row | None) -> None:
        """Update other records after the write."""

    def removed(self, store: RecordStore, row: Row) -> None:
        """Update other records after the deletion."""


def require_permission(store: RecordStore, permission: UserPermission) -> None:
    """Refuse a running user who has the permission neither by profile nor by permission set."""
    if permission in store.missing_permissions:
        raise Refusal("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", fields=[])


def integrity_error(message: str, *fields: str) -> Refusal:
    return Refusal("FIELD_INTEGRITY_EXCEPTION", message, fields=list(fields))


def delete_blocked(name: object, what: str, which: object = "") -> Refusal:
    tail = f": {which}" if which else ""
    return Refusal(
        "DELETE_FAILED",
        f"Your attempt to delete {name} could not be completed because it is associated with the following"
        f" {what}.{tail}",
        fields=[],
    )
