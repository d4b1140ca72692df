"""The mapping version that a push works by, asked about in the transactions that come before a call."""

from __future__ import annotations

from connector.store import mapping_versions
from connector.store.engine import Connection


class MappingInForce:
    """Once another version was activated it is `outdated`, and nothing more is sent by it; what is in flight is
    recorded as what the org has, and the next version begins from there."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.outdated = False

    async def holds(self, connection: Connection) -> bool:
        self.outdated = self.outdated or not await mapping_versions.is_active(connection, self.number)
        return not self.outdated
