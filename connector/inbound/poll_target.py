"""One object whose records are read from the org, and which of its fields. PURE."""

from __future__ import annotations

from dataclasses import dataclass

from connector.inbound.remote_rows import query_fields
from connector.mapping.receiver import RecordReceiver
from connector.model.describe import SObjectDescribe


@dataclass(frozen=True, kw_only=True, slots=True)
class PollTarget:
    """One object to poll, and how its records are read."""

    sobject: str
    receivers: tuple[RecordReceiver, ...]
    describe: SObjectDescribe
    more_fields: tuple[str, ...] = ()
    """Fields that are read besides the mapped ones."""

    @property
    def cursor(self) -> str:
        return f"poll:{self.sobject}"

    @property
    def deletions_cursor(self) -> str:
        return f"deleted:{self.sobject}"

    @property
    def fields(self) -> tuple[str, ...]:
        mapped = [name for receiver in self.receivers for name in receiver.fields]
        return query_fields([*mapped, *self.more_fields], self.describe)

    @property
    def has_recycle_bin(self) -> bool:
        """Whether a deleted record can still be read. Lines of orders cannot (Object Reference, "OrderItem")."""
        return self.sobject != "OrderItem"
