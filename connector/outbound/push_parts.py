"""What the parts of a push share: how the org is reached, what watches the push, and on which terms it claims."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Set
from dataclasses import dataclass, field

from connector.model.change import EntityKind
from connector.model.lane import Lane
from connector.outbound.health import OrgHealth
from connector.outbound.mapping_version import ActiveMappingVersion
from connector.outbound.org_profile import OrgProfile
from connector.outbound.org_state import Reader
from connector.outbound.preflight import Source
from connector.outbound.return_strategy import ReturnStrategy
from connector.outbound.stats import SyncStats
from connector.outbound.writer import Org
from connector.store.outbox_counts import DueChanges
from connector.store.outbox_filters import Selection


@dataclass(frozen=True, kw_only=True, slots=True)
class OrgAccess:
    """How an org is written to and read, and what is known of it.

    `source` names the line of the mapping that a field comes from. `return_strategy` says how this org represents
    returns; without it returns stay due.
    """

    writer: Org
    reader: Reader
    profile: OrgProfile
    source: Source
    return_strategy: ReturnStrategy | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PushMonitor:
    """What watches a push: its counts, its progress (called with the number of changes that are settled), and whether
    the org takes anything. `contradicted`: entities for which the org is read back, because its answer contradicted
    what we know of it; if it does so again before they are settled, that was no lost answer."""

    stats: SyncStats
    advance: Callable[[int], None]
    health: OrgHealth
    contradicted: set[tuple[EntityKind, str]] = field(default_factory=set)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimTerms:
    """On which terms a stream claims and records.

    Once one of `held_leases` (terms by lease name) is lost, nothing is written. `leases_valid` answers whether they may
    still be relied on without asking the database. `before_claim` is awaited between two claims, when no call is in
    flight; it may give back some of the leases. `selection`: only these changes. Once `mapping_version` is no longer
    active, nothing is claimed and no send begins. `open_lane`: the lowest lane that the API budget allows to be sent.
    """

    held_leases: Mapping[str, int] = field(default_factory=dict)
    leases_valid: Callable[[], Awaitable[bool]] | None = None
    before_claim: Callable[[], Awaitable[None]] | None = None
    selection: Selection | None = None
    mapping_version: ActiveMappingVersion | None = None
    open_lane: Callable[[], Lane | None] = lambda: Lane.BACKFILL


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamWork:
    """What a stream sends: what was `due` in `partitions` (of `partition_count` in all) when its round began. It works
    on fewer partitions once some are given back."""

    partitions: Set[int]
    partition_count: int
    due: DueChanges
