"""Dead letters with one cause, as one group. PURE."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from connector.model.change import DeadLetter, EntityKind, Refusal
from connector.model.record import owner_of

SAMPLES = 5
CORRECTABLE_CODES = frozenset({
    "DUPLICATE_VALUE", "FIELD_CUSTOM_VALIDATION_EXCEPTION", "FIELD_INTEGRITY_EXCEPTION", "INVALID_EMAIL_ADDRESS",
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "JSON_PARSER_ERROR", "MAPPING", "NUMBER_OUTSIDE_VALID_RANGE",
    "REQUIRED_FIELD_MISSING", "STRING_TOO_LONG", "WOULD_BE_ROUNDED",
})  # fmt: skip
"""Refusals that another value of the entity can cure."""
_CORRECTABLE = frozenset({EntityKind.CUSTOMER, EntityKind.PRODUCT, EntityKind.ORDER})


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


def group_letters(letters: Iterable[DeadLetter]) -> list[DeadLetterGroup]:
    """The causes of these dead letters."""
    found: dict[str, list[DeadLetter]] = {}
    for item in letters:
        found.setdefault(fingerprint(item.entity, item.refusal), []).append(item)
    return [
        DeadLetterGroup(
            fingerprint=name,
            entity=first.entity,
            code=first.refusal.code,
            field=first.refusal.field,
            source=first.refusal.source,
            count=len(same),
            first_refused_at=min(item.refused_at for item in same),
            last_refused_at=max(item.refused_at for item in same),
            keys=tuple(sorted(item.key for item in same)[:SAMPLES]),
            message=first.refusal.message,
            fix=first.refusal.fix,
        )
        for name, same in found.items()
        for first in same[:1]
    ]


def find_correctable(entity: EntityKind, key: str, refusal: Refusal) -> tuple[EntityKind, str] | None:
    """The entity that `dead-letters correct` changes to cure the refusal: the record at fault, the order of a line, or
    the dead letter itself. None if no value is at fault, or if it is no entity whose values are edited."""
    if refusal.code not in CORRECTABLE_CODES:
        return None
    kind, _, name = (refusal.record or f"{entity} {key}").partition(" ")
    kind, name = owner_of(kind, name) or (kind, name)
    return (EntityKind(kind), name) if kind in _CORRECTABLE else None
