"""The names of runs that write: a resync, a comparison that heals, a run of a job, an undo. PURE.

A run has the number that it has in its own table, so its name is that of the kind with this number: `resync-12`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RunKind(StrEnum):
    """`resync`: entities were sent or read again. `reconcile`: a comparison that healed. `job`: changes were pulled by
    a job. `undo`: what another run wrote was put back."""

    RESYNC = "resync"
    RECONCILE = "reconcile"
    JOB = "job"
    UNDO = "undo"


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
