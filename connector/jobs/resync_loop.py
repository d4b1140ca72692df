"""Works off resyncs in the background, batch by batch, so that they can be paused, and survive a restart.

A batch is begun in one transaction with the note of how far it reaches; then it is waited for. Whoever takes over from
a process that died waits for the batch that was begun, and goes on behind it. To do a batch twice does no harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from connector.errors import ConnectorError, LeaseLostError, StoreError
from connector.jobs.held_lease import HeldLease, LeaseHolder
from connector.jobs.reconcile import ReconcileRunningError
from connector.jobs.resync import capture
from connector.log import get_logger
from connector.model.change import EntityKind
from connector.model.inbound_change import InboxState, Source
from connector.model.resync import Priority, Resync, ResyncMode, ResyncState
from connector.store import inbox, links, orgs, outbox, resyncs
from connector.store.engine import Connection, Store
from connector.store.queries import resync_selection
from connector.store.unit_of_work import Lane

BATCH = 500
LOOK_SECONDS = 1.0
"""How often it looks for resyncs that somebody asked for."""
WAIT_SECONDS = 0.3
"""How often it looks whether a batch is finished, or somebody paused or canceled."""
LONGEST_PAUSE = 60.0
LANES = {Priority.LOW: Lane.BACKFILL, Priority.HIGH: Lane.STATUS}

log = get_logger("resync")


class OrgSide(Protocol):
    """What a resync does with the org, besides the push that runs anyway."""

    async def take_in(self) -> None:
        """Read and apply the records of the inbox."""

    async def compare(self, kind: EntityKind, keys: Sequence[str]) -> dict[str, int]:
        """Compare these with their records: how many there are in which state, and `differing` ones."""


class ResyncLoop:
    """Works off resyncs one after the other, until stopped, under leases that last for `ttl` seconds."""

    def __init__(self, store: Store, org: OrgSide, *, ttl: float) -> None:
        self._store = store
        self._org = org
        self._leases = LeaseHolder(store=store, ttl=ttl)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`. Raises only what is a fault of ours."""
        while not stop.is_set():
            try:
                await self._work_off(stop)
            except ConnectorError as error:
                log.error("resync interrupted", error=error.message, hint=error.hint)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await stop.wait()

    async def _work_off(self, stop: asyncio.Event) -> None:
        async with self._store.reader() as connection:
            waiting = await resyncs.list_active(connection)
        for resync in waiting:
            name, what = f"resync:{resync.id}", f"works off resync {resync.id}"
            async with self._leases.holding(name, what) as lease:
                if lease is not None:
                    await self._hold_and_work(resync.id, lease, stop)
            if stop.is_set():
                return

    async def _hold_and_work(self, number: int, lease: HeldLease, stop: asyncio.Event) -> None:
        keeping = asyncio.create_task(lease.keep())
        working = asyncio.create_task(self._work(number, lease, stop))
        try:
            await asyncio.wait({keeping, working}, return_when=asyncio.FIRST_COMPLETED)
            for task in (working, keeping):
                if task.done():
                    await task  # raises what it raised
        except LeaseLostError as error:
            log.warning("lease lost", subject=f"resync {number}", error=error.message)
        finally:
            for task in (keeping, working):
                task.cancel()
            await asyncio.gather(keeping, working, return_exceptions=True)

    async def _work(self, number: int, lease: HeldLease, stop: asyncio.Event) -> None:
        async with self._store.transaction() as uow:
            await lease.check(uow)
            if not await resyncs.begin(uow, number):
                return
        pause = 1.0
        while not stop.is_set():
            async with self._store.reader() as connection:
                resync = await resyncs.get(connection, number)
                org = await orgs.get_active(connection)
            if resync is None or resync.state is not ResyncState.RUNNING:
                return
            try:
                if not await self._step(resync, None if org is None else org.org_id, lease):
                    log.info("resync done", id=number, done=resync.done, failed=resync.failed)
                    return
                pause = 1.0
            except ReconcileRunningError as error:
                log.info("resync waits", id=number, error=error.message)
                await self._store.clock.sleep(self._leases.ttl / 3)
            except (StoreError, LeaseLostError):
                raise
            except ConnectorError as error:  # the org has a bad day: the batch is tried again
                log.error("resync waits", id=number, error=error.message, hint=error.hint, pause=pause)
                await self._store.clock.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _step(self, resync: Resync, org_id: str | None, lease: HeldLease) -> bool:
        """Begin the next batch, or look after the one that was begun. False when all are done."""
        if resync.reached != resync.position:
            await self._finish_batch(resync, org_id, lease)
            return True
        async with self._store.reader() as connection:
            keys = await resync_selection.list_keys(
                connection, org_id, resync.entity, resync.filter, after=resync.position, limit=BATCH
            )
        async with self._store.transaction() as uow:
            await lease.check(uow)
            if not await resyncs.is_running(uow, resync.id):
                return True
            if not keys:
                await resyncs.end(uow, resync.id, ResyncState.DONE)
                return False
            if resync.mode is ResyncMode.PUSH:
                # Named ones are compared with the org itself, as by `connector resync`.
                unconfirmed = bool(resync.filter.keys)
                await capture(uow, resync.entity, keys, LANES[resync.priority], unconfirmed=unconfirmed)
            elif resync.mode is ResyncMode.PULL and org_id is not None:
                records = await _records(uow.connection, org_id, resync.entity, keys)
                await inbox.put(uow, org_id, records, Source.RESYNC)
            await resyncs.note_reached(uow, resync.id, keys)
        return True

    async def _finish_batch(self, resync: Resync, org_id: str | None, lease: HeldLease) -> None:
        """Note what the batch came to, or wait a little for it."""
        assert resync.reached is not None
        assert resync.reached_at is not None
        counts: dict[str, int] = {}
        waits = False
        if resync.mode is ResyncMode.PUSH:
            async with self._store.reader() as connection:
                due, failed = await outbox.count_in_range(
                    connection, resync.entity, after=resync.position, until=resync.reached, since=resync.reached_at
                )
            waits = due > 0
        elif resync.mode is ResyncMode.COMPARE:
            counts = await self._org.compare(resync.entity, resync.batch)
            failed = counts.get("differing", 0)
        else:
            await self._org.take_in()
            async with self._store.reader() as connection:
                records = [] if org_id is None else await _records(connection, org_id, resync.entity, resync.batch)
                states = await inbox.states(connection, org_id or "", [record for _, record in records])
            waits = InboxState.DUE in states.values()
            failed = sum(state is InboxState.PARKED for state in states.values())
        if waits:
            await self._store.clock.sleep(WAIT_SECONDS)
            return
        async with self._store.transaction() as uow:
            await lease.check(uow)
            await resyncs.note_finished(uow, resync, failed=failed, counts=counts)


async def _records(connection: Connection, org_id: str, kind: EntityKind, keys: Sequence[str]) -> list[tuple[str, str]]:
    """The linked records of these, with those of lines: object and ID."""
    found = list((await links.get(connection, org_id, kind.value, keys)).values())
    if kind is EntityKind.ORDER:
        of_lines = await links.children(connection, org_id, "line", keys)
        found += [link for by_key in of_lines.values() for link in by_key.values()]
    return sorted((link.sobject, link.salesforce_id) for link in found)
