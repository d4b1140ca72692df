"""The choices for what happens here when records of ours are deleted in the org."""

from __future__ import annotations

from enum import StrEnum


class DeletedRecords(StrEnum):
    """What to do if the record of a customer or product is deleted in the org: report it, or create it again."""

    REPORT = "report"
    RECREATE = "recreate"


class DeletedOrders(StrEnum):
    """The same for the record of an order; or cancel the order here, if its stage allows that."""

    REPORT = "report"
    RECREATE = "recreate"
    CANCEL = "cancel"


class DeletedLines(StrEnum):
    """The same for a line of an order that is still there; or remove the line here, if the order allows that."""

    RESTORE = "restore"
    REPORT = "report"
    REMOVE = "remove"
