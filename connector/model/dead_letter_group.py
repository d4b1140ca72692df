"""Dead letters with one cause, as one group. PURE."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from connector.model.change import DeadLetter, EntityKind, Refusal

SAMPLES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetterGroup:
    """Dead letters of a kind of entity that were refused with the same code, for the same field and mapping line.
    `message` and `fix` are those of the latest one; `keys` are the first few, in byte order."""

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


def group_dead_letters(dead_letters: Iterable[DeadLetter]) -> list[DeadLetterGroup]:
    """The groups, the largest first."""
    members: dict[str, list[DeadLetter]] = {}
    for item in dead_letters:
        members.setdefault(fingerprint(item.entity, item.refusal), []).append(item)
    groups = []
    for name, items in members.items():
        latest = max(items, key=lambda item: item.refused_at)
        groups.append(
            DeadLetterGroup(
                fingerprint=name,
                entity=latest.entity,
                code=latest.refusal.code,
                field=latest.refusal.field,
                source=latest.refusal.source,
                count=len(items),
                first_refused_at=min(item.refused_at for item in items),
                last_refused_at=latest.refused_at,
                keys=tuple(sorted(item.key for item in items)[:SAMPLES]),
                message=latest.refusal.message,
                fix=latest.refusal.fix,
            )
        )
    return sorted(groups, key=lambda group: (-group.count, group.fingerprint))
