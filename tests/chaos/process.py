"""One connector process on the database. At each of its steps (a transaction, a request to the org) the schedule may
act: let it crash, freeze it, edit something meanwhile, lose the response."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connector.cli.progress import NullProgress
from connector.errors import ConnectorError
from connector.inbound.record_events import RecordEvents
from connector.inbound.topic_cursor import TopicCursor
from connector.inbound.topic_listener import ListenContext, Listener
from connector.jobs.inbound_run import InboundRun
from connector.salesforce.errors import UnreadableResponseError
from connector.salesforce.fault import NoResponse
from connector.salesforce.transport import HttpResponse
from connector.service import Services, running_service
from connector.settings import Settings
from connector.store import leases
from connector.store.engine import Store
from connector.store.unit_of_work import UnitOfWork
from tests.chaos.clock import ProcessClock
from tests.chaos.stream import EventSource

Act = Callable[[], Awaitable[None]]
LISTEN = "listen"


class Crash(BaseException):
    """The process ended here."""


class RollBackError(Exception):
    """The process ended in a transaction. Works of one group share a runner, which must go on to the others: only
    their next steps crash."""


@dataclass
class Steps:
    """Counts the steps of a process. `acts` are done before the step of their number, outside of transactions; at a
    step of `crashes` the process ends. `lost` and `failed` are the numbers of requests whose response is lost, or that
    the org does not execute, with its status."""

    count: int = 0
    requests: int = 0
    dead: bool = False
    acts: dict[int, Act] = field(default_factory=dict)
    crashes: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    failed: dict[int, int] = field(default_factory=dict)

    def forget(self) -> None:
        """Begin the next operation, undisturbed."""
        self.count = self.requests = 0
        self.acts, self.crashes, self.lost, self.failed = {}, set(), set(), {}

    @property
    def text(self) -> str:
        """What is planned, by the number of the step or of the request."""
        planned = {
            "acts": sorted(self.acts), "crash": sorted(self.crashes), "lost": sorted(self.lost), "failed": self.failed
        }  # fmt: skip
        return ", ".join(f"{name} {value}" for name, value in planned.items() if value)

    async def step(self) -> None:
        self.crash_if_planned()
        for number in sorted(number for number in self.acts if number <= self.count):
            if (act := self.acts.pop(number, None)) is not None:
                await act()

    def crash_if_planned(self) -> None:
        self.count += 1
        if self.count in self.crashes:
            self.dead = True
        if self.dead:
            raise Crash


class Process:
    """A connector process, from `start` to `stop` or to its crash."""

    def __init__(self, settings: Settings, clock: ProcessClock) -> None:
        self.settings = settings
        self.clock = clock
        self.steps = Steps()
        self.errors: list[str] = []
        self.is_busy = False
        self._context: AbstractAsyncContextManager[Services] | None = None
        self._services: Services | None = None

    @property
    def services(self) -> Services:
        assert self._services is not None
        return self._services

    async def start(self) -> None:
        self.steps = Steps()
        self._context = running_service(self.settings, clock=self.clock)
        self._services = await self._context.__aenter__()
        # The API budget stores its counts by real time: as steps, they would make a seed do something else each time.
        self.services.push_context.budget._store = copy(self.services.store)
        _observe_store(self.services.store, self.steps)
        _observe_requests(self.services.client._transport, self.steps)

    async def stop(self) -> None:
        if self._context is not None:
            await self._context.__aexit__(None, None, None)
        self._context = self._services = None

    async def run(self, work: Callable[[], Awaitable[Any]]) -> bool:
        """Do some work; what fails is noted. After a crash a new process takes its place. Whether it came to its
        end."""
        try:
            await work()
        except ConnectorError as error:
            self.errors.append(f"{type(error).__name__}: {error.message}")
        except BaseException:
            if not self.steps.dead:
                raise
        if not self.steps.dead:
            return True
        await self.stop()
        await self.start()
        return False

    async def push(self) -> None:
        await self.services.push(NullProgress())

    async def pull(self) -> None:
        await self.services.pull()

    async def listen(self, source: EventSource, owner: str) -> None:
        """Take up the events that there are now, as the listener does, then read what they name."""
        services, topic = self.services, self.settings.inbound.topic
        run = await InboundRun.begin(services.inbound_context)
        name, ttl = f"{LISTEN}:{run.org_id}:{topic}", self.settings.sync.lease_seconds
        term = await leases.acquire(services.store, name, owner, ttl)
        if term is None:
            return

        async def hold_lease(uow: UnitOfWork) -> None:
            if not await leases.is_held(uow, name, term):
                raise ConnectorError("Another process listens now.", hint="")

        cursor = TopicCursor(run.org_id, topic)

        async def org_time() -> datetime:
            return services.store.clock.now()

        context = ListenContext(
            store=services.store, subscriber=source, org_id=run.org_id, hold_lease=hold_lease, org_time=org_time
        )
        handler = RecordEvents(
            context,
            cursor,
            own_user=services.client.user_id,
            sobjects=lambda: run.sobjects,
            on_records=lambda: None,
            catch_up=run.poll_everything,
        )
        listening = asyncio.create_task(Listener(context, cursor, handler).run())
        drained = asyncio.create_task(source.drained.wait())
        try:
            await asyncio.wait({listening, drained}, return_when=asyncio.FIRST_COMPLETED)
            if listening.done():
                listening.result()
        finally:
            for task in (listening, drained):
                task.cancel()
            await asyncio.gather(listening, drained, return_exceptions=True)
        await leases.release(services.store, name, owner, term)
        await run.intake()


def _observe_store(store: Store, steps: Steps) -> None:
    transaction, transact = store.transaction, store.transact

    @asynccontextmanager
    async def observed_transaction() -> AsyncIterator[UnitOfWork]:
        await steps.step()
        async with transaction() as uow:
            yield uow
            steps.crash_if_planned()
        await steps.step()

    async def observed_transact(work: Callable[[UnitOfWork], Awaitable[Any]]) -> Any:
        async def observed_work(uow: UnitOfWork) -> Any:
            result = await work(uow)
            try:
                steps.crash_if_planned()
            except Crash:
                raise RollBackError from None
            return result

        await steps.step()
        try:
            result = await transact(observed_work)
        except RollBackError:
            raise Crash from None
        await steps.step()
        return result

    def observed(read: Callable[[], AbstractAsyncContextManager[Any]]) -> Callable[[], Any]:
        @asynccontextmanager
        async def observed_reader() -> AsyncIterator[Any]:
            steps.crash_if_planned()
            async with read() as connection:
                yield connection

        return observed_reader

    store.transaction, store.transact = observed_transaction, observed_transact  # type: ignore[method-assign]
    store.reader, store.single_reader = observed(store.reader), observed(store.single_reader)  # type: ignore[method-assign]


def _observe_requests(transport: Any, steps: Steps) -> None:
    send = transport.send

    async def observed_send(*args: Any, **more: Any) -> HttpResponse:
        await steps.step()
        steps.requests += 1
        number = steps.requests
        if (status := steps.failed.pop(number, None)) is not None:
            return HttpResponse(status=status, headers={}, content=b"[]")
        response: HttpResponse = await send(*args, **more)
        await steps.step()
        if number in steps.lost:
            raise UnreadableResponseError(NoResponse.CONNECTION_LOST, "http://lost")
        return response

    transport.send = observed_send
