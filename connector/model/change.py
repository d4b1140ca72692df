"""Changes that are not in the org yet: one outbox row per entity, however often the entity changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from connector.model.lane import Lane
from connector.model.record import SentValues
from connector.model.stage import Stage
from connector.model.undo import Restores


class EntityKind(StrEnum):
    """An entity that is synced as a unit. A drain sends them in the order of declaration."""

    CUSTOMER = "customer"
    PRODUCT = "product"
    ORDER = "order"
    RETURN = "return"


class ChangeState(StrEnum):
    """`due`: waits to be sent. `dead`: was refused and waits for a person. `blocked`: was refused too, but the refusal
    is reported on the orders that depend on it (an order whose customer the org refuses), so ops see it only once."""

    DUE = "due"
    DEAD = "dead"
    BLOCKED = "blocked"

    @property
    def word(self) -> str:
        """The word for this state on screens, in JSON documents and in the glossary."""
        return "refused" if self is ChangeState.DEAD else self.value


MAX_UNANSWERED_SENDS = 3
"""A change sent this often without a recorded answer may be what ends the process each time; see `outbound.batches`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """An entity with unsent changes.

    `version` rises with each change, so one that arrives while this one is in flight is recognized. `unconfirmed`:
    something was sent whose outcome is not recorded, so the org may differ from what our links say.
    """

    entity: EntityKind
    key: str
    partition: int
    version: int
    attempts: int
    captured_at: datetime
    unconfirmed: bool = False
    deprioritized: bool = False  # it was refused for a reason that may be the org's: other changes are sent first
    unanswered_sends: int = 0
    """How often it was sent since an answer was last recorded: 1 while it is in flight; more if the process ended each
    time before the answer was recorded."""
    sent: SentValues | None = None
    """What was sent of shared fields while no answer is recorded; None: nothing, or by a release that did not note
    it."""
    lane: Lane | None = None
    """The lane of the calls that send it; None if it was not claimed: then that of the change that needs it."""
    run: str | None = None
    """The name of the run that made it due (`resync-12`), if one did."""
    restores: Restores = field(default_factory=dict)
    """Former values that are to be put back with it."""
    stage: Stage | None = None
    """The stage of an order whose record is loaded with it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """Why the org, or our own check before the call, refused an entity.

    `code` and `message` are the org's; `field` is the Salesforce field as `Object.Field`, if there is one; `source` is
    the mapping line of that field (`order.yaml:14`); `fix` is one sentence that says what to do.
    """

    code: str
    message: str
    field: str | None
    source: str | None
    fix: str
    record: str | None = None  # which record of the entity: `order 10248`, `line 10248-2`, `customer ALFKI`


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """A refused entity that waits for a person; a replay makes it due again. `org`: the name of the org that refused
    it, empty for the default one."""

    entity: EntityKind
    key: str
    refusal: Refusal
    attempts: int
    captured_at: datetime
    refused_at: datetime
    org: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unsent:
    """One outbox row as ops see it. `error` is why the last attempt was postponed."""

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
    sent: SentValues | None = None
    run: str | None = None
    restores: Restores = field(default_factory=dict)
    lane: Lane | None = None
    """The lane of the calls that send it; None if it was not read."""
