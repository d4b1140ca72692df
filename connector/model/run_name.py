"""The names of runs that write: a resync, a comparison that heals, a run of a job, an undo. PURE.

A run has the number that it has in its own table, so its name is that of the kind with this number: `resync-12`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum


class RunKind(StrEnum):
    """`resync`: entities were sent or read again. `reconcile`: a comparison that healed. `job`: changes were pulled by
    a job. `undo`: what another run wrote was put back."""

    RESYNC = "resync"
    RECONCILE = "reconcile"
    JOB = "job"
    UNDO = "undo"


_RANK = {kind: rank for rank, kind in enumerate(reversed(RunKind))}
"""The sequence of runs of one time: an undo stands above what it undoes."""
_AFTER_ALL = 2**62
"""A number that no run has."""


@dataclass(frozen=True, slots=True)
class RunName:
    """The kind of a run, and its number in its table."""

    kind: RunKind
    number: int

    def __str__(self) -> str:
        return f"{self.kind.value}-{self.number}"

    @classmethod
    def parse(cls, text: str) -> RunName | None:
        """None for what is no name of a run."""
        kind, _, number = text.partition("-")
        is_number = number.isascii() and number.isdigit() and len(number) < 19
        return cls(RunKind(kind), int(number)) if kind in set(RunKind) and is_number else None


@dataclass(frozen=True, slots=True)
class RunPlace:
    """A place in the list of runs of all kinds, which is sorted by time, kind and number, the newest first: that of the
    run `name`; without one, before all runs of this time."""

    created_at: datetime
    name: RunName | None = None

    def __str__(self) -> str:
        return self.created_at.isoformat() + ("" if self.name is None else f"~{self.name}")

    @classmethod
    def parse(cls, text: str) -> RunPlace | None:
        """None for what is no place; a time without a zone is in UTC."""
        time, separator, name = text.partition("~")
        run = RunName.parse(name) if separator else None
        if separator and run is None:
            return None
        try:
            moment = datetime.fromisoformat(time)
            return cls((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC), run)
        except (ValueError, OverflowError):
            return None

    def before(self, kind: RunKind) -> tuple[datetime, int]:
        """The runs of this kind behind the place are those with a smaller time and number."""
        if self.name is None or kind is self.name.kind:
            return self.created_at, 0 if self.name is None else self.name.number
        is_behind = _RANK[kind] > _RANK[self.name.kind]
        return self.created_at, _AFTER_ALL if is_behind else 0

    @property
    def order(self) -> tuple[float, int, int]:
        """By which places are sorted."""
        kind = 0 if self.name is None else _RANK[self.name.kind]
        return -self.created_at.timestamp(), kind, 0 if self.name is None else -self.name.number
