"""Resyncs: entities that somebody wants to be sent, read or compared again, and how far that is. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from connector.model.change import EntityKind
from connector.model.run_name import RunKind, RunName
from connector.settings.salesforce import DEFAULT_ORG


class ResyncMode(StrEnum):
    """`push`: map again, and send what differs. `pull`: read the records, and apply what differs by the owner of each
    field. `compare`: only count what differs."""

    PUSH = "push"
    PULL = "pull"
    COMPARE = "compare"


class ResyncState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    CANCELED = "canceled"
    FAILED = "failed"


class Priority(StrEnum):
    """`low`: behind everything else that is due. `high`: with the changes of orders."""

    LOW = "low"
    HIGH = "high"


MOMENTS = ("changed_since", "changed_until", "refused_since", "refused_until")
"""The times of a filter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResyncFilter:
    """Which entities of a kind: those that satisfy all that is given; nothing means all.

    `customer`, `stage` and `channel` are those of orders. `error`: refused with this code of the org. `changed_until`
    and `refused_until` are exclusive: `refused_since` and `refused_until` choose what the org refused between them.
    `mapping_version`: not sent since this version of the mappings became active. `mapping_plan`: what this plan says to
    be affected, and what was changed or sent since it was begun. `org`: in the org of this name, `default` for the
    default one.
    """

    keys: tuple[str, ...] = ()
    customer: str | None = None
    stage: str | None = None
    channel: str | None = None
    changed_since: datetime | None = None
    changed_until: datetime | None = None
    refused_since: datetime | None = None
    refused_until: datetime | None = None
    error: str | None = None
    mapping_version: int | None = None
    mapping_plan: str | None = None
    org: str | None = None

    @property
    def org_name(self) -> str:
        """The name of the org in the database, where that of the default one is empty."""
        return "" if self.org in (None, DEFAULT_ORG) else str(self.org)

    @property
    def of_orders(self) -> list[str]:
        """The names of what only orders have."""
        return [name for name in ("customer", "stage", "channel") if getattr(self, name) is not None]

    @property
    def of_refused(self) -> bool:
        """Whether only what the org refused is chosen."""
        return any(value is not None for value in (self.error, self.refused_since, self.refused_until))

    def as_document(self) -> dict[str, Any]:
        """What is given, as JSON values."""
        document = {name: value for name, value in asdict(self).items() if value not in (None, ())}
        document |= {name: document[name].isoformat() for name in MOMENTS if name in document}
        return document | ({"keys": list(self.keys)} if self.keys else {})

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> ResyncFilter:
        """Read what `as_document` wrote. What a newer release has added is left out: more entities are chosen then, and
        those that do not differ cost no call."""
        moments: dict[str, Any] = {
            name: datetime.fromisoformat(document[name]) for name in MOMENTS if document.get(name) is not None
        }
        known = {item.name for item in fields(cls)} - {"keys", *MOMENTS}
        values = {name: value for name, value in document.items() if name in known}
        return cls(keys=tuple(document.get("keys", ())), **moments, **values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Resync:
    """A resync. `total` entities were chosen when it was asked for, `done` of them were worked on. `failed`: in mode
    push those that were refused, in mode pull those that are parked, in mode compare those that differ. It works off
    batches of keys in byte order: everything up to `position` is finished, everything up to `reached` was begun: the
    keys of `batch`."""

    id: int
    entity: EntityKind
    mode: ResyncMode
    filter: ResyncFilter
    priority: Priority
    state: ResyncState
    actor: str
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    total: int = 0
    done: int = 0
    failed: int = 0
    position: str | None = None
    reached: str | None = None
    reached_at: datetime | None = None
    batch: tuple[str, ...] = ()
    error: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def run_name(self) -> str:
        """Its name among runs of all kinds."""
        return str(RunName(RunKind.RESYNC, self.id))

    @property
    def ended(self) -> bool:
        return self.state in {ResyncState.DONE, ResyncState.CANCELED, ResyncState.FAILED}

    def rate(self, now: datetime) -> float | None:
        """Entities a second since it began; None before the first batch is done."""
        if self.started_at is None or not self.done:
            return None
        return self.done / max(((self.ended_at or now) - self.started_at).total_seconds(), 0.001)

    def seconds_left(self, now: datetime) -> float | None:
        """By its rate so far; None if that is not known, or if it does not run."""
        rate = self.rate(now)
        return None if rate is None or self.state is not ResyncState.RUNNING else (self.total - self.done) / rate
