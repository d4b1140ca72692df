"""What applying records needs, and what it comes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from connector.inbound.adoption.rule import AdoptionRule
from connector.mapping.mapper import MappingSet
from connector.model.describe import SObjectDescribe
from connector.model.record_change import RecordChange
from connector.orders.service import OrderService
from connector.settings.inbound import InboundSettings
from connector.settings.webhooks import WebhookSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class InboundContext:
    """What applying needs: where orders are changed, how fields map, and what the org says of its objects."""

    orders: OrderService
    mappings: MappingSet
    describes: Mapping[str, SObjectDescribe]
    org_id: str
    settings: InboundSettings = field(default_factory=InboundSettings)
    webhooks: WebhookSettings = field(default_factory=WebhookSettings)
    adoption: AdoptionRule | None = None
    """Which orders of the org become orders here; None: none do."""
    explain: bool = False
    """Whether the report lists every change."""
    own_user: str = ""
    """The ID of the connector's user in the org; empty if nothing depends on it."""


@dataclass(kw_only=True)
class ApplyReport:
    """What became of records. Fields are counted by `Object.Field`. `echoes` held what both sides had agreed on;
    `deferred` are read again, because a write of ours was in flight; `unknown` belong to no entity here;
    `adopted` orders were created in the org, and became orders here."""

    records: int = 0
    echoes: int = 0
    unknown: int = 0
    deferred: int = 0
    parked: int = 0
    refused: int = 0
    conflicts: int = 0
    adopted: int = 0
    taken: Counter[str] = field(default_factory=Counter)
    restored: Counter[str] = field(default_factory=Counter)
    overruled: Counter[str] = field(default_factory=Counter)
    """Fields that something in the org changes whenever we send them; ours is no longer sent."""
    deleted: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Deletions in the org, by entity and what was done (`DeletionAction`)."""
    undeleted: Counter[str] = field(default_factory=Counter)
    """Linked records that came back out of the recycle bin, by entity."""
    delays: list[tuple[str, timedelta]] = field(default_factory=list)
    """Of each record of which something was taken over: its object, and how long after its change that was."""
    changes: list[RecordChange] = field(default_factory=list)
    """Each change, if they are to be explained."""

    def add(self, other: ApplyReport) -> None:
        for name in ("records", "echoes", "unknown", "deferred", "parked", "refused", "conflicts", "adopted"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.taken += other.taken
        self.restored += other.restored
        self.overruled += other.overruled
        self.deleted += other.deleted
        self.undeleted += other.undeleted
        self.changes += other.changes
