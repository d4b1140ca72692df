"""Counts of what a push did, for its summary."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

MAX_NOTES = 1000


@dataclass(kw_only=True)
class SyncStats:
    """Records created and updated in the org, by object; entities done, unchanged, refused and postponed, by kind."""

    created: Counter[str] = field(default_factory=Counter)
    updated: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    unchanged: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    postponed: Counter[str] = field(default_factory=Counter)
    recovered: int = 0
    """Orders that the org had although no link said so: the answer to an earlier send was lost."""
    changed_in_org: int = 0
    """Records in which somebody else had changed a shared field before ours could be sent."""
    notes: list[str] = field(default_factory=list)
    """Remarks for a person: records merged in the org, keys restored."""

    @property
    def settled(self) -> int:
        """Changes of which nothing is left to do."""
        return self.done.total() + self.unchanged.total() + self.refused.total()

    def note(self, text: str) -> None:
        if len(self.notes) < MAX_NOTES:
            self.notes.append(text)
