"""How a topic of the org is being read. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class TopicActivity(StrEnum):
    """`polling`: no stream, so the records are polled instead. `waiting`: no stream, and nothing to poll; the org keeps
    the events for 72 hours."""

    LISTENING = "listening"
    POLLING = "polling"
    WAITING = "waiting"


@dataclass(frozen=True, kw_only=True, slots=True)
class ListeningState:
    """`why` says why there is no stream, `fix` what to do. `gaps` were found since the first start; the latest ended at
    `last_gap_at`."""

    activity: TopicActivity
    since: datetime
    why: str = ""
    fix: str = ""
    gaps: int = 0
    last_gap_at: datetime | None = None

    def as_document(self) -> dict[str, Any]:
        return {
            "activity": self.activity.value,
            "since": self.since.isoformat(),
            "why": self.why,
            "fix": self.fix,
            "gaps": self.gaps,
            "last_gap_at": None if self.last_gap_at is None else self.last_gap_at.isoformat(),
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> ListeningState:
        ended = document.get("last_gap_at")
        return cls(
            activity=TopicActivity(document["activity"]),
            since=datetime.fromisoformat(document["since"]),
            why=document["why"],
            fix=document["fix"],
            gaps=document["gaps"],
            last_gap_at=None if ended is None else datetime.fromisoformat(ended),
        )
