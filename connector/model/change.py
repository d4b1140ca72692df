"""What moved locally and is not yet in the org: one row per entity, coalesced."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class EntityKind(StrEnum):
    """What is synced as a unit. The declaration order is the order in which a drain sends them."""

    CUSTOMER = "customer"
    PRODUCT = "product"
    ORDER = "order"
    RETURN = "return"


class ChangeState(StrEnum):
    """`due` waits for its time; `dead` was refused and waits for a person; `blocked` was refused too, but is reported
    on the orders that carry it (a customer whose account the org refuses): ops see each order once, not twice."""

    DUE = "due"
    DEAD = "dead"
    BLOCKED = "blocked"


MAX_UNANSWERED_SENDS = 3
"""A change that was sent so often without a recorded answer may be what ends the process each time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """An entity with unsent changes. `version` tells a change that arrived while this one was in flight; `unsure` that
    something was sent whose outcome is not recorded: the org may hold more, or other, than our links say."""

    entity: EntityKind
    key: str
    partition: int
    version: int
    attempts: int
    captured_at: datetime
    unconfirmed: bool = False
    doubted: bool = False  # it was held for a refusal that may be the org's: others go first
    unanswered_sends: int = 0
    """How often it was sent since an answer was last recorded: once while it is in flight, more if the process ended
    each time before the answer was recorded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """Why the org (or our own check before the call) refused an entity, in words for a person.

    `code` and `message` are the org's; `field` the Salesforce field as `Object.Field`, if one is named; `source` the
    mapping line it came from (`order.yaml:14`); `fix` one sentence that says what to do.
    """

    code: str
    message: str
    field: str | None
    source: str | None
    fix: str
    record: str | None = None  # which record of the entity: `order 10248`, `line 10248-2`, `customer ALFKI`


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """A refused entity, waiting for a person; `replay` makes it due again."""

    entity: EntityKind
    key: str
    refusal: Refusal
    attempts: int
    captured_at: datetime
    refused_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Unsent:
    """One row of the outbox as ops see it. `error` is why the last attempt was postponed."""

    entity: EntityKind
    key: str
    state: ChangeState
    version: int
    due_at: datetime
    attempts: int
    captured_at: datetime
    unconfirmed: bool
    error: str | None
    refusal: Refusal | None
    unanswered_sends: int = 0
