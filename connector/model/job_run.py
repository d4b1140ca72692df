"""Jobs of the service: when they run, and what became of each run. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class JobState(StrEnum):
    """The state of a run. `waiting`: a person asked for it, or it is begun anew; no process has taken it yet.
    `interrupted`: its process died or was stopped; another run follows."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class RunCause(StrEnum):
    """Why a run began: its time had come, a person asked for it, or the run before was interrupted."""

    SCHEDULE = "schedule"
    REQUEST = "request"
    RESTART = "restart"


@dataclass(frozen=True, kw_only=True, slots=True)
class JobTrigger:
    """When a job runs: every `seconds`, or by `cron`, which has the five fields of crontab, in UTC."""

    seconds: float | None = None
    cron: str | None = None

    def __post_init__(self) -> None:
        if (self.seconds is None) == (self.cron is None):
            raise ValueError("A trigger has an interval or a cron expression.")

    def __str__(self) -> str:
        if self.cron is not None:
            return f"cron {self.cron} (UTC)"
        return f"every {self.seconds:g} s"


@dataclass(frozen=True, kw_only=True, slots=True)
class JobSchedule:
    """What a person changed of a job's schedule. `trigger`: None means the one of the settings."""

    job: str
    trigger: JobTrigger | None = None
    paused: bool = False
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class PausedJob:
    """A job that the service does not run by its times since then, until a person resumes it, and who paused it."""

    name: str
    since: datetime
    by: str


def version_of_change(changed_at: datetime | None) -> int:
    """The version of a schedule: the moment of its latest change, in microseconds since 1970; 0 if it was never
    changed."""
    return 0 if changed_at is None else (changed_at - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRun:
    """One run. `slot`: the time it was due at, by the trigger; None if a person asked for it. `attempt` counts restarts
    from 1. `idle`: there was nothing to do. `expires_at`: a running one is dead if its process does not renew it."""

    id: int
    job: str
    state: JobState
    cause: RunCause
    created_at: datetime
    slot: datetime | None = None
    actor: str | None = None
    attempt: int = 1
    worker: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    expires_at: datetime | None = None
    idle: bool = False
    result: Mapping[str, object] = field(default_factory=dict)
    error: str | None = None
    fix: str | None = None

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()
