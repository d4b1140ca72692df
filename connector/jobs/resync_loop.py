"""Works off resyncs in the background, batch by batch, so that they can be paused, and survive a restart.

A batch is begun in one transaction with the note of how far it reaches; then it is waited for. Whoever takes over from
a process that died waits for the batch that was begun, and goes on behind it. To do a batch twice does no harm.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Protocol

from connector.errors import ConnectorError, LeaseLostError, SettingsError, StoreError
from connector.jobs.held_lease import HeldLease, LeaseHolder
from connector.jobs.reconcile import ReconcileRunningError
from connector.jobs.resync import BATCH, capture
from connector.log import StateLog, get_logger
from connector.model.change import EntityKind
from connector.model.inbound_change import InboxState, Source
from connector.model.lane import Lane
from connector.model.resync import Priority, Resync, ResyncMode, ResyncState
from connector.salesforce.call_gate import calls_in
from connector.store import inbox, links, orgs, outbox, resyncs
from connector.store.engine import Connection, Store
from connector.store.queries import resync_selection
from connector.store.queries.entity_orgs import find_orgs

LOOK_SECONDS = 1.0
"""How often it looks for resyncs that somebody asked for."""
WAIT_SECONDS = 0.3
"""How often it looks whether a batch is finished, or somebody paused or canceled."""
LONGEST_PAUSE = 60.0
LEASE = "resyncs"
LANES = {Priority.LOW: Lane.BACKFILL, Priority.HIGH: Lane.STATUS}

log = get_logger("resync")


class OrgSide(Protocol):
    """What a resync does with the org, besides the push that runs anyway."""

    async def take_in(self) -> None:
        """Read and apply the records of the inbox."""

    async def check_budget(self) -> None:
        """Raise ApiBudgetError if no calls of the lane of this task may be made now."""

    async def compare(self, kind: EntityKind, keys: Sequence[str]) -> dict[str, int]:
        """Compare these with their records: how many there are in which state, and `differing` ones."""


class ResyncLoop:
    """Works off resyncs until stopped, one process at a time, under a lease that lasts for `ttl` seconds. Those with a
    high priority go first; one that has to wait holds up no other.

    `orgs`: those that this process works for, by name. It leaves resyncs that need another one to other processes.
    `works_for_all`: whether these are all orgs, if the default one is among them.
    """

    def __init__(self, store: Store, orgs: Mapping[str, OrgSide], *, ttl: float, works_for_all: bool = True) -> None:
        self._store = store
        self._orgs = orgs
        self._works_for_all = works_for_all
        self._leases = LeaseHolder(store=store, ttl=ttl)
        self._again_at: dict[int, tuple[datetime, float]] = {}
        """When one that met an error of the org is tried again, and the pause before that."""
        self._waiting: dict[int, StateLog] = {}
        self._working = StateLog(log, "resyncs interrupted", "resyncs go on")

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`. Raises only what is a fault of ours."""
        while not stop.is_set():
            try:
                if await self._list_workable():
                    async with self._leases.holding(LEASE, "works off resyncs") as lease:
                        if lease is not None:
                            await self._work_under(lease, stop)
                self._working.work()
            except ConnectorError as error:
                self._working.fail(error.message, hint=error.hint)
            await _wait(stop, LOOK_SECONDS)

    async def _work_under(self, lease: HeldLease, stop: asyncio.Event) -> None:
        keeping = asyncio.create_task(lease.keep())
        working = asyncio.create_task(self._work(lease, stop))
        try:
            await asyncio.wait({keeping, working}, return_when=asyncio.FIRST_COMPLETED)
            for task in (working, keeping):
                if task.done():
                    await task  # raises what it raised
        finally:
            for task in (keeping, working):
                task.cancel()
            await asyncio.gather(keeping, working, return_exceptions=True)

    async def _work(self, lease: HeldLease, stop: asyncio.Event) -> None:
        """Take steps until no resync is left."""
        while not stop.is_set():
            active = await self._list_workable()
            if not active:
                return
            for resync in active:
                if await self._try_step(resync, lease):
                    break  # and look anew: something more urgent may have been asked for
            else:
                await _wait(stop, WAIT_SECONDS)

    async def _list_workable(self) -> list[Resync]:
        """Those that this process can work off: it works for all orgs, or for the one of the resync."""
        async with self._store.single_reader() as connection:
            active = await resyncs.list_active(connection)
        return [item for item in active if self._is_workable(item)]

    def _is_workable(self, resync: Resync) -> bool:
        """What is to be sent to several orgs is only made due here: the workers of each org send it."""
        if resync.filter.org is not None and resync.filter.org_name in self._orgs:
            return True
        is_sent = resync.filter.org is None and resync.mode is ResyncMode.PUSH
        return "" in self._orgs and (self._works_for_all or is_sent)

    def _sides(self, resync: Resync) -> dict[str, OrgSide]:
        """The orgs that a resync concerns, by name."""
        if resync.filter.org is None:
            return dict(self._orgs)
        side = self._orgs.get(resync.filter.org_name)
        if side is None:
            raise SettingsError(
                f"There is no org {resync.filter.org} in the settings of this process.",
                hint=f"Set CONNECTOR_ORGS__{resync.filter.org.upper()}__…, or cancel the resync.",
            )
        return {resync.filter.org_name: side}

    async def _org_id(self, name: str) -> str | None:
        async with self._store.for_org(name).reader() as connection:
            org = await orgs.get_active(connection)
        return None if org is None else org.org_id

    async def _try_step(self, resync: Resync, lease: HeldLease) -> bool:
        """Take one step; False if it has to wait. Any error but the database's ends or delays this resync only."""
        until, pause = self._again_at.get(resync.id, (self._store.clock.now(), 1.0))
        if self._store.clock.now() < until:
            return False
        try:
            with calls_in(LANES[resync.priority]):
                moved = await self._step(resync, lease)
        except ReconcileRunningError:
            return False
        except (StoreError, LeaseLostError):
            raise
        except ConnectorError as error:  # the org has a bad day: the batch is tried again
            waiting = self._waiting.setdefault(resync.id, StateLog(log, "resync waits", "resync goes on", id=resync.id))
            waiting.fail(error.message, hint=error.hint)
            pause_end = self._store.clock.now() + timedelta(seconds=pause)
            self._again_at[resync.id] = (pause_end, min(2 * pause, LONGEST_PAUSE))
            await self._note(resync.id, lease, error.message)
            return False
        except Exception as error:
            log.exception("resync failed", id=resync.id)
            await self._note(resync.id, lease, f"{type(error).__name__}: {error}"[:500], state=ResyncState.FAILED)
            return True
        if self._again_at.pop(resync.id, None) is not None:
            self._waiting.pop(resync.id).work()
            await self._note(resync.id, lease, None)
        return moved

    async def _note(self, number: int, lease: HeldLease, error: str | None, state: ResyncState | None = None) -> None:
        async with self._store.transaction() as uow:
            await lease.check(uow)
            await resyncs.note_error(uow, number, error)
            if state is not None:
                await resyncs.end(uow, number, state, error=error)

    async def _step(self, resync: Resync, lease: HeldLease) -> bool:
        """Begin the next batch, or finish the one that was begun. False if that has to wait."""
        sides = self._sides(resync)
        if resync.reached != resync.position:
            return await self._finish_batch(resync, sides, lease)
        for side in sides.values():
            await side.check_budget()
        org_ids = [org_id for name in sides if (org_id := await self._org_id(name)) is not None]
        async with self._store.reader() as connection:
            keys = await resync_selection.list_keys(
                connection, resync.entity, resync.filter, after=resync.position, limit=BATCH
            )
        async with self._store.transaction() as uow:
            await lease.check(uow)
            if not await resyncs.begin(uow, resync.id):
                return True  # somebody has paused or canceled it
            if not keys:
                await resyncs.end(uow, resync.id, ResyncState.DONE)
                log.info("resync done", id=resync.id, done=resync.done, failed=resync.failed)
                return True
            if resync.mode is ResyncMode.PUSH:
                # Named ones are compared with the org itself, as by `connector resync`.
                unconfirmed = bool(resync.filter.keys)
                uow.run = resync.run_name
                await capture(uow, resync.entity, keys, LANES[resync.priority], unconfirmed=unconfirmed)
            elif resync.mode is ResyncMode.PULL:
                uow.run = resync.run_name
                for org_id in org_ids:
                    records = await _records(uow.connection, org_id, resync.entity, keys)
                    await inbox.put(uow, org_id, records, Source.RESYNC)
            await resyncs.note_reached(uow, resync.id, keys)
        return True

    async def _finish_batch(self, resync: Resync, sides: Mapping[str, OrgSide], lease: HeldLease) -> bool:
        """Note what the batch came to; False if it is not finished yet."""
        assert resync.reached_at is not None
        counts: dict[str, int] = {}
        if resync.mode is ResyncMode.PUSH:
            async with self._store.reader() as connection:
                due, failed = await outbox.count_outcomes(
                    connection, resync.entity, resync.batch, since=resync.reached_at
                )
            if due:
                for side in sides.values():
                    await side.check_budget()  # so that whoever asked for it sees why it waits
                return False
        elif resync.mode is ResyncMode.COMPARE:
            counts = await self._compare(resync, sides)
            failed = counts.get("differing", 0)
        else:
            states = await self._take_in(resync, sides)
            if InboxState.DUE in states:
                return False
            failed = states.count(InboxState.PARKED)
        async with self._store.transaction() as uow:
            await lease.check(uow)
            await resyncs.note_finished(uow, resync, failed=failed, counts=counts)
        return True

    async def _compare(self, resync: Resync, sides: Mapping[str, OrgSide]) -> dict[str, int]:
        """Compare the batch with the records of each org."""
        counts: Counter[str] = Counter()
        async with self._store.reader() as connection:
            orgs_of = await find_orgs(connection, resync.entity, resync.batch)
        for name, side in sides.items():
            keys = [key for key in resync.batch if orgs_of.get(key, name) == name]  # a product is in every org
            if keys:
                counts.update(await side.compare(resync.entity, keys))
        return dict(counts)

    async def _take_in(self, resync: Resync, sides: Mapping[str, OrgSide]) -> list[InboxState]:
        """Read and apply what the batch has put into the inbox; the states of what is still there."""
        states: list[InboxState] = []
        for name, side in sides.items():
            org_id = await self._org_id(name)
            if org_id is None:
                continue
            async with self._store.reader() as connection:
                records = await _records(connection, org_id, resync.entity, resync.batch)
            if records:
                await side.take_in()
            async with self._store.reader() as connection:
                found = await inbox.states(connection, org_id, [record for _, record in records])
            states += found.values()
        return states


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    """Wait for so long, or until `stop`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


async def _records(connection: Connection, org_id: str, kind: EntityKind, keys: Sequence[str]) -> list[tuple[str, str]]:
    """The linked records of these, with those of lines: object and ID."""
    found = list((await links.get(connection, org_id, kind.value, keys)).values())
    if kind is EntityKind.ORDER:
        of_lines = await links.children(connection, org_id, "line", keys)
        found += [link for by_key in of_lines.values() for link in by_key.values()]
    return sorted((link.sobject, link.salesforce_id) for link in found)
