"""Keeps listening to the org: one process holds the topic, works off the inbox, and polls for truth now and then.

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
from connector.jobs.inbound_run import InboundJobContext, InboundRun
from connector.log import get_logger
from connector.salesforce.pubsub.subscription import PubSubClient
from connector.store import leases
from connector.store.unit_of_work import UnitOfWork

INTAKE_SECONDS = 1.0
"""How often the inbox is looked at without being told: for records that were put off."""
RETRY_SECONDS = 5.0
"""The pause after an error, before everything begins anew."""

log = get_logger(__name__)


class ListenJob:
    """Listens to one topic until it is canceled. `stats` are those of the present holder in this process."""

    def __init__(self, context: InboundJobContext) -> None:
        self._context = context
        self._topic = context.settings.inbound.topic
        self._ttl = context.settings.sync.lease_seconds
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._new_records = asyncio.Event()
        self.stats = ListenerStats()

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
            listener = self._listener(run, subscriber, hold_lease)
            self.stats = listener.stats
            tasks.create_task(listener.run())
            tasks.create_task(self._take_in(run))
            tasks.create_task(self._poll_now_and_then(run))
            tasks.create_task(self._renew(name, term))

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
        return Listener(context, self._topic)

    async def _take_in(self, run: InboundRun) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(INTAKE_SECONDS):
                    await self._new_records.wait()
            self._new_records.clear()
            await run.intake()

    async def _poll_now_and_then(self, run: InboundRun) -> None:
        while True:
            await self._context.store.clock.sleep(self._context.settings.inbound.poll_seconds)
            await run.poll()

    async def _renew(self, name: str, term: int) -> None:
        while True:
            await self._context.store.clock.sleep(self._ttl / 3)
            if not await leases.renew(self._context.store, self._owner, {name: term}, self._ttl):
                raise LeaseLostError(
                    f"Another process listens to {self._topic} now.",
                    hint="Nothing is lost: it continues where this one stopped.",
                )
