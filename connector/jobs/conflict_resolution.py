"""Resolves conflicts: whose value stands, on both sides, and for the future if the answer is kept as a rule.

Nothing is asked of the org: a value that stands here becomes due, and the next push, or the service, sends it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from connector.errors import CommandError
from connector.inbound.apply import Applier
from connector.inbound.context import InboundContext
from connector.mapping.mapper import MappingSet
from connector.model.conflict import Conflict, ConflictState
from connector.orders.service import OrderService
from connector.settings.webhooks import WebhookSettings
from connector.store import conflict_rules, conflicts
from connector.store.engine import Store

MAX_AT_ONCE = 1000
"""Open conflicts that a new rule resolves; others are resolved by the rule when their records are read again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolution:
    """A conflict as it is when resolved, and the numbers of others that the same rule has resolved."""

    conflict: Conflict
    also_resolved: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ConflictResolver:
    """Lets one side's value stand."""

    store: Store
    orders: OrderService
    mappings: Callable[[], Awaitable[MappingSet]]
    webhooks: WebhookSettings = field(default_factory=WebhookSettings)

    async def resolve(
        self, conflict_id: int, choice: ConflictState, *, actor: str, always: bool = False, version: int | None = None
    ) -> Resolution:
        """Let the value of `choice` (`local` or `salesforce`) stand in an open conflict.

        `always` keeps the answer as a rule of the field: it also resolves other open conflicts of that field, and later
        ones do not open. `version`: only if the conflict still has it. Raises CommandError if there is no such open
        conflict, if it has changed, or if the order does not allow the org's value any more.
        """
        conflict = await self._load(conflict_id)
        if version is not None and conflict.version != version:
            raise CommandError(
                f"Conflict {conflict_id} has changed: it is {conflict.state}, or its values are others now.",
                hint="Read it again, and decide anew.",
                field="version",
                rule="version",
            )
        applier = Applier(
            InboundContext(
                orders=self.orders,
                mappings=await self.mappings(),
                describes={},
                org_id=conflict.org_id,
                webhooks=self.webhooks,
            )
        )
        await applier.resolve(conflict, choice, actor=actor)
        also: list[int] = []
        if always:
            async with self.store.transaction() as uow:
                await conflict_rules.put(uow, conflict.org_id, conflict.sobject, conflict.field, choice, actor=actor)
            for other in await self._others(conflict):
                try:
                    await applier.resolve(other, choice, actor=actor)
                except CommandError:
                    continue  # the order does not allow it: a person decides this one
                also.append(other.id)
        return Resolution(conflict=await self._load(conflict_id), also_resolved=tuple(also))

    async def _load(self, conflict_id: int) -> Conflict:
        async with self.store.reader() as connection:
            conflict = await conflicts.get(connection, conflict_id)
        if conflict is None:
            raise CommandError(
                f"There is no conflict {conflict_id}.",
                hint="`connector conflicts list` shows those that are open.",
                field="id",
                rule="unknown",
            )
        return conflict

    async def _others(self, conflict: Conflict) -> list[Conflict]:
        """Open conflicts of the same field."""
        async with self.store.reader() as connection:
            return await conflicts.list_of_field(
                connection, conflict.org_id, conflict.sobject, conflict.field, limit=MAX_AT_ONCE
            )
