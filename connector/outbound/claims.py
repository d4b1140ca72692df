"""The claims of one stream: due entities, a batch at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator

from connector.model.change import MAX_UNANSWERED_SENDS, EntityKind
from connector.outbound.batches import isolate_suspects
from connector.outbound.health import OrgHealth
from connector.outbound.plan_steps import most_urgent_lane, stored_links
from connector.outbound.plan_types import PendingEntity
from connector.outbound.push_parts import StreamWork
from connector.outbound.repository import SyncRepository
from connector.outbound.unconfirmed_sends import ReadBack
from connector.outbound.writer import Writer
from connector.salesforce.call_gate import get_call_scope


class Claims:
    """The claims of one stream, of the kinds that were due when its round began. During an outage the stream is a
    probe, which ends when the org accepts something."""

    def __init__(
        self,
        repository: SyncRepository,
        read_back: ReadBack,
        writer: Writer,
        health: OrgHealth,
        work: StreamWork,
    ) -> None:
        self._repository = repository
        self._read_back = read_back
        self._writer = writer
        self._health = health
        self._is_probe = health.must_probe
        self._work = work
        self._number = self._suspect_batches = 0

    @property
    def _ended(self) -> bool:
        return self._health.stopped is not None or (self._is_probe and self._health.reached)

    async def iterate(self, entity: EntityKind, limit: int, deprioritized: bool) -> AsyncIterator[list[PendingEntity]]:
        """Claim due entities that may travel together and read them back, until none is left or the stream is to end.

        What becomes due again while the last claim is sent is left to the next round.
        """
        more = self._is_due(entity, deprioritized=deprioritized)
        while more:
            self._writer.start_claim([])  # what the claim before has left is in memory no longer than needed
            if self._ended:
                return
            size = self._health.limit_claim(limit)
            claimed = await self._repository.claim(
                entity, self._work.partitions, self._work.partition_count, size, deprioritized=deprioritized
            )
            self._number += 1
            scope = get_call_scope()
            scope.lane = most_urgent_lane(claimed) or scope.lane
            turn = self._number % 2 == 0
            claim = isolate_suspects(claimed, limit, suspects_turn=turn, answered=self._suspect_batches)
            if not claim:
                return
            more = len(claimed) >= size or len(claim) < len(claimed)
            self._suspect_batches += claim[0].change.unanswered_sends >= MAX_UNANSWERED_SENDS
            self._writer.start_claim(link for item in claim for link in stored_links(item))
            batch = await self._read_back.refresh_claim(claim)
            del claimed, claim  # who sends `batch` empties it, and lets each entity go
            yield batch

    def _is_due(self, entity: EntityKind, *, deprioritized: bool) -> bool:
        if deprioritized:
            return entity in self._work.due.deprioritized | self._repository.deprioritized
        return entity in self._work.due.others
