"""Outages of the org: it is called again after a growing pause, which all processes on the database share."""

from __future__ import annotations

from connector.clock import Clock
from connector.errors import ConnectorError, SalesforceError
from connector.salesforce.fault import without_replay
from connector.store import outages, retry_schedule
from connector.store.engine import Store
from connector.store.outages import Outage


async def get_current(store: Store) -> Outage | None:
    async with store.single_reader() as connection:
        return await outages.get_current(connection)


async def is_our_turn(store: Store, clock: Clock, outage: Outage) -> bool:
    """Return True if the org is to be called again now, and by this process."""
    if clock.now() < outage.next_attempt_at:
        return False
    async with store.transaction() as uow:
        return await outages.take_turn(uow, outage, jitter=clock.jitter())


async def make_all_due(store: Store) -> None:
    """Make all postponed changes due now. Most often there is none, and nobody waits for the lock of a writer."""
    async with store.single_reader() as connection:
        if not await retry_schedule.has_postponed(connection, store.clock.now()):
            return
    async with store.transaction() as uow:
        await retry_schedule.make_all_due(uow)


async def end(store: Store) -> None:
    """End the outage, if there is one, because the org accepts requests again."""
    if await get_current(store) is None:
        return
    async with store.transaction() as uow:
        await outages.end(uow)


async def record_failure(store: Store, clock: Clock, error: ConnectorError) -> Outage:
    """Record why the org accepts nothing. All changes are due at the next call."""
    async with store.transaction() as uow:
        await retry_schedule.make_all_due(uow)
        return await outages.record_failure(
            uow,
            code=getattr(error, "code", "") or type(error).__name__.removesuffix("Error").upper(),
            message=_one_line(error.message),
            fix=without_replay(error.hint),
            detail=_one_line(getattr(error, "detail", "")),
            jitter=clock.jitter(),
            retry_after=getattr(error, "retry_after", None),
        )


def describe_error(error: SalesforceError | None) -> str | None:
    """Return `error` as text, with the org's own message."""
    if error is None or not error.detail:
        return None if error is None else str(error)
    return f"{error} The org's message: {_one_line(error.detail)}"


def _one_line(text: str) -> str:
    first, *others = text.splitlines() or [""]
    return f"{first} (and {len(others)} more)" if others else first
