"""Counts of what a push did, for the summary."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

MOST_NOTES = 1000


@dataclass(kw_only=True)
class SyncStats:
    """Records created and updated in the org by object; entities done, unchanged, refused and put off."""

    created: Counter[str] = field(default_factory=Counter)
    updated: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    unchanged: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    later: Counter[str] = field(default_factory=Counter)
    adopted: int = 0
    """Orders found in the org although we did not know: an earlier answer had been lost."""
    notes: list[str] = field(default_factory=list)
    """What a person should hear of: records merged in the org, keys put back."""

    def note(self, text: str) -> None:
        if len(self.notes) < MOST_NOTES:
            self.notes.append(text)
