"""What a push came to, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from connector.jobs.lookup_forecast import LookupForecast
from connector.model.change import DeadLetter, EntityKind
from connector.model.lane import Lane
from connector.outbound.stats import SyncStats
from connector.store.outages import Outage


@dataclass(kw_only=True)
class PushSummary:
    """The result of a push.

    `waiting`: changes that are due later, the first of them at `next_due`. `stopped`: why the push ended early.
    `others_at_work`: other workers hold some of the changes. `writes` and `reads`: the data API calls of the push, or
    those that it would make, after a dry run, which itself made `dry_run_reads`. If only some changes were selected,
    all numbers are about these, and `others_due` counts the others. `outage`: why the org accepts nothing. `held`: why
    it does not accept some changes. `paused`: changes that wait to save the API budget, by lane, and `pause_reason`.
    """

    stats: SyncStats = field(default_factory=SyncStats)
    dry_run: bool = False
    writes: int = 0
    reads: int = 0
    dry_run_reads: int = 0
    org_used: int | None = None
    org_allowed: int | None = None
    seconds: float = 0.0
    dead_letters: int = 0
    activated_mapping: int | None = None  # the version of the mapping files that this push made active
    mapping_problem: str | None = None  # why edited mapping files were not used
    discarded: int = 0  # entities whose change a person discarded
    deleted_in_org: list[tuple[EntityKind, str]] = field(default_factory=list)  # whose record was deleted there
    refusals: list[DeadLetter] = field(default_factory=list)  # made by this push
    waiting: int = 0
    others_due: int = 0
    next_due: datetime | None = None
    stopped: str | None = None
    others_at_work: bool = False
    lookup_forecast: LookupForecast | None = None  # of a dry run
    held: str | None = None
    held_code: str | None = None
    outage: Outage | None = None
    paused: dict[Lane, int] = field(default_factory=dict)
    pause_reason: str | None = None

    @property
    def complete(self) -> bool:
        """Nothing waits, was refused, or is kept back by an outage."""
        return not (self.dead_letters or self.waiting or self.stopped or self.outage)

    @property
    def in_sync(self) -> bool:
        return self.complete and not self.discarded and not self.deleted_in_org
