"""What moved in the org: a record as it was read there, and the record that still has to be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from connector.model.record import FieldValue


class InboxState(StrEnum):
    """`due` waits for its time; `parked` cannot be applied, waits for a person, and holds up nothing else."""

    DUE = "due"
    PARKED = "parked"


class Source(StrEnum):
    """How we heard of a change."""

    EVENT = "event"
    POLL = "poll"
    PUSH = "push"
    RETRY = "retry"
    RECONCILE = "reconcile"
    RESYNC = "resync"


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteRecord:
    """A record as the org had it when it was read. `read_at` is our time just before the read was sent: what we wrote
    later is not in it. `modified_at` (LastModifiedDate), `modified_by` (the ID of a user) and `author` (for a person to
    read) are the last modification by a user, `stamped_at` (SystemModstamp) the last one at all, by the org's clock:
    what the org derives, such as the total of an order whose line was written, raises `stamped_at` alone.

    `deleted`: it is in the recycle bin, or not there at all. `certain` is False if it is only not found: the
    connector's user may have lost the right to see it. `master` is the ID of the record that it was merged into.
    `source` is how we heard of the change, `run` the name of the run that it was read for.
    """

    sobject: str
    id: str
    fields: Mapping[str, FieldValue]
    read_at: datetime
    modified_at: datetime
    stamped_at: datetime
    modified_by: str | None = None
    author: str | None = None
    deleted: bool = False
    certain: bool = True
    master: str | None = None
    source: Source = Source.POLL
    run: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class InboxItem:
    """A record that is still to be read and applied. `version` tells a change that was heard of while this one was
    being applied."""

    sobject: str
    record_id: str
    version: int
    state: InboxState
    source: Source
    seen_at: datetime
    due_at: datetime
    attempts: int
    error: str | None = None
    fix: str | None = None
    run: str | None = None
