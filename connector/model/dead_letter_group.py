"""Dead letters with one cause, as one group. PURE."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from connector.model.change import EntityKind, Refusal

SAMPLES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetterGroup:
    """Dead letters of a kind of entity that were refused with the same code, for the same field and mapping line.
    `message` and `fix` are those of the first one; `keys` are the first few, in byte order."""

    fingerprint: str
    entity: EntityKind
    code: str
    field: str | None
    source: str | None
    count: int
    first_refused_at: datetime
    last_refused_at: datetime
    keys: tuple[str, ...]
    message: str
    fix: str


def fingerprint(entity: EntityKind, refusal: Refusal) -> str:
    """Names the cause: the same in every process and at any time."""
    parts = (entity.value, refusal.code, refusal.field or "", refusal.source or "")
    return sha256("\n".join(parts).encode()).hexdigest()[:12]
