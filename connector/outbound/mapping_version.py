"""Checks that the mapping version of a push is still the active one, in the transactions that precede a call."""

from __future__ import annotations

from collections.abc import Sequence

from connector.outbound.mapping_shadow import ShadowMappings
from connector.outbound.plan_types import PendingEntity
from connector.store import mapping_versions
from connector.store.engine import Connection


class ActiveMappingVersion:
    """The mapping version that a push started with.

    Once another version is activated this one is `outdated`, and nothing more is sent by it. Calls in flight are
    recorded as what the org has, and the next version starts from there.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.outdated = False
        self.shadow: ShadowMappings | None = None
        """Maps what is claimed by another version, too; None without one."""

    def observe(self, claimed: Sequence[PendingEntity]) -> None:
        """Map what was claimed by the shadow, if there is one."""
        if self.shadow is not None:
            self.shadow.observe(claimed)

    async def is_still_active(self, connection: Connection) -> bool:
        self.outdated = self.outdated or not await mapping_versions.is_active(connection, self.number)
        return not self.outdated
