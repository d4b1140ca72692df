"""Causes of dead letters: they are opened and closed as they come and go, and people assign, note and snooze them.

`model/cause.py` draws what becomes of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from connector.errors import CommandError
from connector.log import get_logger
from connector.model.cause import LONGEST_NOTE, LONGEST_SNOOZE
from connector.store import causes, dead_letters
from connector.store.causes import CauseChanges
from connector.store.engine import Store
from connector.store.unit_of_work import UnitOfWork

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class CauseWork:
    """What a person says of a cause. `names`: which of the fields are meant; None empties one of them."""

    names: frozenset[str] = field(default_factory=frozenset)
    assignee: str | None = None
    note: str | None = None
    snoozed_until: datetime | None = None


async def follow_causes(store: Store) -> CauseChanges:
    """Compare the causes that are known with those of now. Two processes that do it at once are no harm."""
    async with store.reader() as connection:
        is_quiet = not await causes.list_open(connection) and not await dead_letters.count_dead_letters(connection)
        if is_quiet:
            return CauseChanges(opened=0, closed=0)
        groups = await dead_letters.group_by_cause(
            connection
        )  # of many dead letters it takes a while: not under a lock
    async with store.transaction() as uow:
        changes = await causes.follow(uow, groups)
    if changes.opened or changes.closed:
        log.info("causes changed", opened=changes.opened, closed=changes.closed)
    return changes


async def work_on_cause(store: Store, name: str, work: CauseWork, *, actor: str) -> None:
    """Assign, note or snooze the cause with this fingerprint. Raises CommandError if nothing has it, or for a value
    that cannot be used."""
    _check(work, store.clock.now())

    async def change(uow: UnitOfWork) -> None:
        group = await dead_letters.find_group(uow.connection, name)
        if group is None:
            hint = "`connector dead-letters list --by-cause` shows the causes."
            message = f"There is no dead letter with the cause {name[:80]}."
            raise CommandError(message, hint=hint, field="group", rule="unknown")
        for action, values in _changes(work, group.count).items():
            await causes.change(uow, group, values, action=action, actor=actor)

    await store.transact(change)


def _check(work: CauseWork, now: datetime) -> None:
    if not work.names:
        hint = "Give assignee, note or snoozed_until."
        raise CommandError("Nothing is said of the cause.", hint=hint, field="assignee", rule="input")
    if work.note is not None and len(work.note) > LONGEST_NOTE:
        message = f"note: has {len(work.note):,} characters; it takes {LONGEST_NOTE:,}."
        raise CommandError(message, hint="Shorten it.", field="note", rule="input")
    if work.snoozed_until is not None and not now < work.snoozed_until <= now + LONGEST_SNOOZE:
        message = f"snoozed_until: must be a time of the next {LONGEST_SNOOZE.days} days."
        raise CommandError(message, hint="It comes back by itself then.", field="snoozed_until", rule="input")


def _changes(work: CauseWork, count: int) -> Mapping[str, Mapping[str, object]]:
    """What is set, by what the audit calls it."""
    changes: dict[str, Mapping[str, object]] = {}
    if "assignee" in work.names:
        changes["assigned"] = {"assignee": work.assignee}
    if "note" in work.names:
        changes["noted"] = {"note": work.note}
    if "snoozed_until" in work.names:
        until = work.snoozed_until
        changes["woken" if until is None else "snoozed"] = {
            "snoozed_until": until,
            "snoozed_at_count": None if until is None else count,
        }
    return changes
