"""Keeps listening to the org: one process holds the topic, works off the inbox, and polls for truth now and then.

While the org's delivery allowance for the topic is used up, it polls more often instead (`delivery_guard`).

A process that finds the topic taken waits for it; when the holder dies, its lease expires and another one continues at
the stored position. A holder that was frozen and wakes changes nothing: its lease is checked in every transaction.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import uuid4

from connector.errors import ConnectorError, LeaseLostError, StoreError
from connector.inbound.listen import ListenContext, Listener, ListenerStats
from connector.inbound.poll_pace import PaceLimits, PollPace
from connector.jobs.delivery_guard import DeliveryGuard
from connector.jobs.inbound_run import InboundJobContext, InboundRun
from connector.log import get_logger
from connector.model.deliveries import DeliveryMode, DeliveryUsage
from connector.salesforce.pubsub.errors import DeliveryLimitError
from connector.salesforce.pubsub.subscription import PubSubClient
from connector.store import leases
from connector.store.unit_of_work import UnitOfWork

GUARD_SECONDS = 2.0
"""How often it is looked whether the delivery allowance lasts."""
INTAKE_SECONDS = 1.0
"""How often the inbox is looked at without being told: for records that were put off."""
MOST_SLEPT = 1.0
"""Seconds after which it is looked whether the pause between polls is another one now."""
RETRY_SECONDS = 5.0
"""The pause after an error, before everything begins anew."""

log = get_logger(__name__)


class ListenJob:
    """Listens to one topic until it is canceled. `stats` and `usage` are those of the present holder in this process;
    `on_mode` is called when the topic begins to be streamed or polled."""

    def __init__(
        self, context: InboundJobContext, *, on_mode: Callable[[DeliveryUsage], None] = lambda usage: None
    ) -> None:
        self._context = context
        self._on_mode = on_mode
        self._topic = context.settings.inbound.topic
        self._ttl = context.settings.sync.lease_seconds
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._new_records = asyncio.Event()
        self.stats = ListenerStats()
        self.usage: DeliveryUsage | None = None

    async def run(self) -> None:
        """Wait for the topic, then listen. What fails is logged, and begun anew."""
        clock = self._context.store.clock
        while True:
            try:
                run = await InboundRun.begin(self._context)
                name = f"listen:{run.org_id}:{self._topic}"
                term = await leases.acquire(self._context.store, name, self._owner, self._ttl)
                if term is None:
                    await clock.sleep(self._ttl / 3)
                    continue
                try:
                    await self._hold(run, name, term)
                except BaseExceptionGroup as group:
                    raise group.exceptions[0] from None  # the others were canceled by it
                finally:
                    with suppress(StoreError):
                        await leases.release(self._context.store, name, self._owner, term)
            except LeaseLostError as error:
                log.warning("another process listens", topic=self._topic, error=error.message)
            except ConnectorError as error:
                log.error("listening failed", topic=self._topic, error=error.message, hint=error.hint)
                await clock.sleep(RETRY_SECONDS)

    async def _hold(self, run: InboundRun, name: str, term: int) -> None:
        """Listen as the holder of the topic, until something fails."""

        async def hold_lease(uow: UnitOfWork) -> None:
            if not await leases.is_held(uow, name, term):
                raise LeaseLostError(
                    f"Another process listens to {self._topic} now.",
                    hint="Nothing is lost: it continues where this one stopped.",
                )

        endpoint = self._context.settings.salesforce.pubsub_endpoint
        async with PubSubClient(endpoint, self._context.client.tokens) as subscriber, asyncio.TaskGroup() as tasks:
            guard = DeliveryGuard(self._context, run.org_id, self._topic, hold_lease)
            self.stats = ListenerStats()
            self.usage = None
            tasks.create_task(self._receive(guard, lambda: self._listener(run, subscriber, hold_lease)))
            tasks.create_task(self._take_in(run))
            tasks.create_task(self._poll_now_and_then(run))
            tasks.create_task(self._renew(name, term))

    async def _receive(self, guard: DeliveryGuard, make_listener: Callable[[], Listener]) -> None:
        """Stream the topic whenever the delivery allowance permits; `_poll_now_and_then` does the rest."""
        while True:
            if await self._check(guard) is DeliveryMode.STREAM:
                await self._stream(guard, make_listener())
            else:
                await self._context.store.clock.sleep(GUARD_SECONDS)

    async def _stream(self, guard: DeliveryGuard, listener: Listener) -> None:
        """Stream the topic until the allowance is used up."""
        listening = asyncio.create_task(listener.run())
        try:
            while await self._check(guard) is DeliveryMode.STREAM:
                await asyncio.wait({listening}, timeout=GUARD_SECONDS)
                if listening.done():
                    await listening
        except DeliveryLimitError as error:
            await guard.switch_to_polling(error.message)
        finally:
            self.stats.subscribed = False
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _check(self, guard: DeliveryGuard) -> DeliveryMode:
        before, self.usage = self.usage, await guard.check()
        if before is None or before.mode is not self.usage.mode:
            self._on_mode(self.usage)
        return self.usage.mode

    def _listener(
        self, run: InboundRun, subscriber: PubSubClient, hold_lease: Callable[[UnitOfWork], Awaitable[None]]
    ) -> Listener:
        async def catch_up() -> None:
            await run.poll_everything()

        context = ListenContext(
            store=self._context.store,
            subscriber=subscriber,
            org_id=run.org_id,
            own_user=self._context.client.user_id,
            sobjects=run.sobjects,
            hold_lease=hold_lease,
            on_records=self._new_records.set,
            catch_up=catch_up,
        )
        return Listener(context, self._topic, self.stats)

    async def _take_in(self, run: InboundRun) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(INTAKE_SECONDS):
                    await self._new_records.wait()
            self._new_records.clear()
            await run.intake()

    async def _poll_now_and_then(self, run: InboundRun) -> None:
        """Poll seldom while the stream stands, and by the pace of the changes while it does not."""
        clock, settings = self._context.store.clock, self._context.settings.inbound
        limits = PaceLimits(
            shortest=settings.fastest_poll_seconds,
            longest=settings.poll_seconds,
            calls_per_day=settings.poll_calls_per_day,
        )
        pace = PollPace(limits)
        last = clock.now()
        while True:
            pause = settings.poll_seconds if self.stats.subscribed else pace.seconds(clock.now())
            if (left := pause - (clock.now() - last).total_seconds()) > 0:
                await clock.sleep(min(left, MOST_SLEPT))
                continue
            last, reads = clock.now(), self._context.client.calls_made.reads
            applied = [report.applied for report in await run.poll()]
            changes = sum(item.records - item.echoes - item.unknown for item in applied)
            pace.note(changes=changes, calls=self._context.client.calls_made.reads - reads, now=clock.now())

    async def _renew(self, name: str, term: int) -> None:
        while True:
            await self._context.store.clock.sleep(self._ttl / 3)
            if not await leases.renew(self._context.store, self._owner, {name: term}, self._ttl):
                raise LeaseLostError(
                    f"Another process listens to {self._topic} now.",
                    hint="Nothing is lost: it continues where this one stopped.",
                )
