"""The engine of many processes: procrastinate on the same PostgreSQL.

After a commit that captured changes, the process defers one job `drain(org, partition)` for each partition concerned. A
job is its own lock and queueing lock, so that at most one waits and one runs, however often it is rung. Jobs are never
deferred for later: a job that is due later blocks a ready one with the same lock. Due times are in the outbox.

A job lets the push loop of its process push once, which takes the free partitions up to its share. Procrastinate does
not fence: a worker that was frozen is held for dead, and its job begins again elsewhere, while it may wake. Leases do:
what the woken one has sent or stores after its lease is refused.

                 ring                     fetch                     push ended
    (captured) -------> todo, one at most -------> doing, one at most ---------> (deleted)
                          ^                          |
                          +------- rescue -----------+   its worker says nothing for `STALLED_SECONDS`

What a crash leaves: before the ring, nothing; the workers look for due changes by themselves. While it runs, a job that
is rescued every minute (or deleted, if its partition was rung meanwhile and another one waits); until then the lock
keeps others from running a drain of this partition, and looking does it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import product

import procrastinate
import psycopg
from procrastinate import exceptions, jobs

from connector.errors import RetryClass, StoreError
from connector.jobs.push_loop import PushLoop
from connector.log import get_logger
from connector.model.change import EntityKind
from connector.settings import Settings
from connector.settings.salesforce import DEFAULT_ORG
from connector.store import leases, outbox_counts
from connector.store.engine import Store
from connector.workers.cluster_schema import address_of

PRODUCTS = "catalog"
"""The part of the outbox with products and their prices, which is in no partition."""

STALLED_SECONDS = 30.0
LINGER_SECONDS = 0.05
"""How long a ring waits for others that name the same partitions."""
OPENING_SECONDS = 3.0
"""How long the start waits for the database of the jobs. The service works without it, only not as promptly."""
POLL_SECONDS = 5.0
"""How often procrastinate looks for jobs of which no notification came."""
LONGEST_PAUSE = 30.0

log = get_logger("cluster")

_FAILURES = (exceptions.ProcrastinateException, psycopg.Error, OSError)


def queue_of(org: str) -> str:
    """The queue of an org: an org whose calls take long holds up no other."""
    return f"drain:{org or DEFAULT_ORG}"


def lock_name(org: str, partition: str) -> str:
    """The lock of a job: it is its queueing lock, too."""
    return f"{queue_of(org)}:{partition}"


async def _begin_again(app: procrastinate.App, job: jobs.Job) -> None:
    """Put a stalled job back to those that wait. If its partition was rung meanwhile, another one waits already, of
    which only one is allowed: it does the work, once this one does not hold the lock any more."""
    assert job.id is not None
    log.warning("stalled job begins again", job=job.task_name, lock=job.lock)
    try:
        await app.job_manager.retry_job(job)
    except exceptions.UniqueViolation:
        with suppress(exceptions.ProcrastinateException):  # its worker woke, and has ended it
            await app.job_manager.finish_job_by_id_async(job.id, jobs.Status.FAILED, delete_job=True)
    except exceptions.ProcrastinateException:
        pass  # likewise


class ClusterEngine:
    """See the module. `settings`: the address, which must not lead through a pooler, and the number of partitions."""

    wakes_on_capture = False

    def __init__(self, settings: Settings) -> None:
        self._address = address_of(settings)
        self._partitions = settings.sync.partitions
        self._rung: set[str] = set()
        self._has_rung = asyncio.Event()
        self._orgs = settings.org_names
        self._store: Store | None = None
        for name in ("procrastinate", "psycopg.pool"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # plain lines among ours; what matters is told here
        self._is_away = False

    @asynccontextmanager
    async def ringing(self, store: Store) -> AsyncIterator[None]:
        """Ring for what this process captures. Raises StoreError if procrastinate's tables are absent. If its database
        is away, the block begins all the same, and what is captured meanwhile is rung when it is back."""

        def note(slots: frozenset[int | None]) -> None:
            self._rung |= {PRODUCTS if slot is None else str(slot % self._partitions) for slot in slots}
            self._has_rung.set()

        self._store = store
        opened = asyncio.Event()
        store.on_captured.append(note)
        ringing, opening = asyncio.create_task(self._keep_ringing(opened)), asyncio.create_task(opened.wait())
        try:
            await asyncio.wait({ringing, opening}, timeout=OPENING_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if ringing.done():
                await ringing
            yield
        finally:
            store.on_captured.remove(note)
            opening.cancel()
            ringing.cancel()  # it rings for the last time
            await asyncio.gather(ringing, opening, return_exceptions=True)

    async def run(self, loop: PushLoop, stop: asyncio.Event, org: str) -> None:
        """Take jobs until `stop`; the push loop also looks by itself, and goes on while procrastinate cannot work."""
        loop_stop = asyncio.Event()
        pushing = asyncio.create_task(loop.run(loop_stop))
        taking = asyncio.create_task(self._keep_taking(org, loop, stop))
        try:
            await asyncio.wait({pushing, taking}, return_when=asyncio.FIRST_COMPLETED)
            if not taking.done():  # the push loop has failed
                await pushing
            await taking  # jobs that are running still need the loop
            loop_stop.set()
            await pushing
        finally:
            for task in (taking, pushing):
                task.cancel()
            await asyncio.gather(taking, pushing, return_exceptions=True)

    @asynccontextmanager
    async def _opened(self, org: str, loop: PushLoop | None = None) -> AsyncIterator[procrastinate.App]:
        connector = procrastinate.PsycopgConnector(conninfo=self._address, min_size=1, max_size=4, timeout=10)
        app = procrastinate.App(connector=connector)
        self._add_tasks(app, org, loop)
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(app.open_async())
                has_tables = await app.check_connection_async()
            except _FAILURES as error:
                raise StoreError(
                    f"CONNECTOR_WORKERS=cluster: the database cannot be used directly: {type(error).__name__}.",
                    hint="CONNECTOR_CLUSTER__DATABASE_URL must lead to the database itself, not to a pooler.",
                ) from error
            if not has_tables:
                raise StoreError(
                    "CONNECTOR_WORKERS=cluster: the tables of procrastinate are absent.",
                    hint="Run `connector db upgrade` with this setting.",
                    retry_class=RetryClass.CONFIG,
                )
            yield app

    def _add_tasks(self, app: procrastinate.App, org: str, loop: PushLoop | None) -> None:
        """Tasks of a worker for `org`; without a loop they are only rung."""
        queue, name = queue_of(org), org

        @app.task(name="drain", queue=queue)
        async def drain(org: str, partition: str) -> None:
            if loop is not None and await self._is_free_and_due(name, partition):
                await loop.ring()

        @app.periodic(cron="* * * * *")
        @app.task(name="rescue", queue=queue, queueing_lock=f"rescue:{queue}")  # also if no worker serves another org
        async def rescue(timestamp: int) -> None:
            """It carries no lock: one that was interrupted itself would never run again."""
            for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS):
                await _begin_again(app, job)

    async def _is_free_and_due(self, org: str, partition: str) -> bool:
        """Whether something of the partition is due that no worker is sending. Of several partitions that were rung at
        once, the first push takes all, and the other jobs find nothing."""
        assert self._store is not None
        store = self._store.for_org(org)
        now = store.clock.now()
        async with store.reader() as connection:
            if not await leases.list_free(connection, [f"{leases.PARTITION}{partition}"], now):
                return False
            if partition == PRODUCTS:
                due = await outbox_counts.next_due(connection, only={EntityKind.PRODUCT: None})
            else:
                due = await outbox_counts.next_due(connection, partitions={int(partition)}, of=self._partitions)
        return due is not None and due <= now

    async def _keep_ringing(self, opened: asyncio.Event) -> None:
        """Ring whenever something was captured. Only what would not pass by itself ends it."""
        pause = 1.0
        while True:
            try:
                async with self._opened("") as app:
                    self._is_away, pause = False, 1.0
                    opened.set()
                    await self._ring_as_captured(app)
            except (StoreError, *_FAILURES) as error:
                if isinstance(error, StoreError) and error.retry_class is RetryClass.CONFIG:
                    raise
                self._tell_away(error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _ring_as_captured(self, app: procrastinate.App) -> None:
        try:
            await self._ring_until_canceled(app)
        finally:
            with suppress(*_FAILURES):
                await self._ring(app)

    async def _ring_until_canceled(self, app: procrastinate.App) -> None:
        while True:
            await self._has_rung.wait()
            await asyncio.sleep(LINGER_SECONDS)
            self._has_rung.clear()
            try:
                await self._ring(app)
                self._is_away = False
            except _FAILURES as error:
                self._tell_away(error)
                self._rung.clear()  # the workers look by themselves

    async def _ring(self, app: procrastinate.App) -> None:
        rung, self._rung = sorted(self._rung), set()
        for org, partition in product(self._orgs, rung):  # which org a change is for is known in the database only
            lock = lock_name(org, partition)
            job = app.configure_task("drain", queue=queue_of(org), lock=lock, queueing_lock=lock)
            with suppress(exceptions.AlreadyEnqueued):
                await job.defer_async(org=org or DEFAULT_ORG, partition=partition)

    async def _keep_taking(self, org: str, loop: PushLoop, stop: asyncio.Event) -> None:
        """Run procrastinate's worker, and begin anew when it fails."""
        pause = 1.0
        while not stop.is_set():
            try:
                async with self._opened(org, loop) as app:
                    self._is_away, pause = False, 1.0
                    await self._take(app, org, stop)
            except (StoreError, *_FAILURES) as error:
                self._tell_away(error)
            if not stop.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await stop.wait()
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _take(self, app: procrastinate.App, org: str, stop: asyncio.Event) -> None:
        working = asyncio.create_task(
            app.run_worker_async(
                queues=[queue_of(org)],
                concurrency=1,
                fetch_job_polling_interval=POLL_SECONDS,
                delete_jobs="always",
                install_signal_handlers=False,
                stalled_worker_timeout=10 * STALLED_SECONDS,
            )
        )
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            working.cancel()  # it lets its job end
            [ended, _] = await asyncio.gather(working, stopping, return_exceptions=True)
        if isinstance(ended, Exception):
            raise StoreError(f"procrastinate ended: {type(ended).__name__}: {ended}"[:300]) from ended

    def _tell_away(self, error: BaseException) -> None:
        if not self._is_away:
            log.error("cluster engine away", error=str(error)[:300], note="Workers look for changes by themselves.")
        self._is_away = True
