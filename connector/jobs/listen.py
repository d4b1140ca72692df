"""Keeps listening to the org: to the changes of its records, and to the actions that people ask for.

Each topic has its own lease, position, watchdog and back-off: one that fails does not disturb the other. The holder of
the change topic also works off the inbox, and polls for truth now and then; while the org's delivery allowance is used
up, it polls more often instead (`delivery_guard`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import TypeVar

from connector.inbound.action_events import ActionEvents
from connector.inbound.poll import PollReport
from connector.inbound.poll_pace import PaceLimits, PollPace
from connector.inbound.record_events import RecordEvents
from connector.inbound.topic_cursor import TopicCursor, listen_lease
from connector.inbound.topic_listener import ListenContext, Listener, ListenerStats
from connector.jobs.api_budget import PAUSE_SECONDS, within_budget
from connector.jobs.current_run import CurrentRun
from connector.jobs.delivery_guard import DeliveryGuard
from connector.jobs.held_lease import HeldLease
from connector.jobs.inbound_run import InboundJobContext
from connector.jobs.lease_job import LeaseJob
from connector.jobs.org_identity import confirm_org
from connector.jobs.prune import prune_regularly
from connector.jobs.publish_events import PublishJob
from connector.log import get_logger
from connector.model.deliveries import DeliveryMode, DeliveryUsage
from connector.model.lane import Lane
from connector.model.listening_state import ListeningState, TopicActivity
from connector.model.platform_event import ORDER_ACTION, ORDER_ACTION_RESULT, topic_of
from connector.salesforce.pubsub.errors import DeliveryLimitError
from connector.salesforce.pubsub.subscription import PubSubClient
from connector.salesforce.server_time import read_server_time

GUARD_SECONDS = 2.0
"""How often it is looked whether the delivery allowance lasts."""
INTAKE_SECONDS = 1.0
"""How often the inbox is looked at without being told: for records that were put off."""
MOST_SLEPT = 1.0
"""Seconds after which it is looked whether the pause between polls is another one now."""
LIMIT_PAUSE = 900.0
"""Seconds until actions are looked for again, when the org has used up its deliveries."""
ACTION_TOPIC = topic_of(ORDER_ACTION)
OnObstacle = Callable[[str, ListeningState], None]
"""Called with a topic that has no stream, and why."""

T = TypeVar("T")

log = get_logger(__name__)


class ListenJob(LeaseJob):
    """Listens to the topic with the changes of records. `stats` and `usage` are those of the present holder in this
    process; `on_mode` is called when the topic is streamed or, because of the allowance, polled; `on_obstacle` when no
    stream can be had."""

    def __init__(
        self,
        context: InboundJobContext,
        *,
        on_mode: Callable[[DeliveryUsage], None] = lambda usage: None,
        on_obstacle: OnObstacle = lambda topic, state: None,
    ) -> None:
        super().__init__(context, context.settings.inbound.topic)
        self._on_mode = on_mode
        self._on_obstacle = on_obstacle
        self._announced: tuple[TopicActivity, str] | None = None
        self.topic = context.settings.inbound.topic
        self._new_records = asyncio.Event()
        self._run = CurrentRun(context)
        self._org_id = ""
        self._is_behind = False
        self.stats = ListenerStats()
        self.usage: DeliveryUsage | None = None

    async def begin(self) -> tuple[str, str]:
        self._org_id = (await self._run.begin()).org_id
        return listen_lease(self._org_id, self.topic), f"listens to {self.topic}"

    async def work(self, lease: HeldLease) -> None:
        endpoint = self.context.settings.salesforce.pubsub_endpoint
        async with PubSubClient(endpoint, self.context.client.tokens) as client, asyncio.TaskGroup() as tasks:
            guard = DeliveryGuard(self.context, self._org_id, self.topic, lease.check)
            self.stats = ListenerStats()
            self.usage = None
            context = _listen_context(self.context, client, self._org_id, lease)
            tasks.create_task(self._receive(guard, lambda: self._listener(context)))
            tasks.create_task(self._take_in())
            tasks.create_task(self._poll_now_and_then())
            tasks.create_task(lease.keep())

    async def _receive(self, guard: DeliveryGuard, make_listener: Callable[[], Listener]) -> None:
        """Stream the topic whenever the delivery allowance permits; `_poll_now_and_then` does the rest."""
        while True:
            if await self._check(guard) is DeliveryMode.STREAM:
                await self._stream(guard, make_listener())
            else:
                await self.context.store.clock.sleep(GUARD_SECONDS)

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
        if self.usage.mode is DeliveryMode.POLL and (before is None or before.mode is not DeliveryMode.POLL):
            self._announced = None
            self._on_mode(self.usage)
        return self.usage.mode

    def _announce(self, state: ListeningState) -> None:
        """Say once that the topic is streamed, or why it is not."""
        before, self._announced = self._announced, (state.activity, state.why)
        if self._announced == before:
            return
        if state.activity is not TopicActivity.LISTENING:
            self._on_obstacle(self.topic, state)
        elif self.usage is not None:
            self._on_mode(self.usage)

    def _listener(self, context: ListenContext) -> Listener:
        cursor = TopicCursor(self._org_id, self.topic)
        handler = RecordEvents(
            context,
            cursor,
            own_user=self.context.client.user_id,
            sobjects=lambda: self._run.sobjects,
            on_records=self._new_records.set,
            catch_up=self._poll_everything,
        )
        return Listener(context, cursor, handler, self.stats, self._announce)

    async def _poll_everything(self) -> None:
        """Poll all objects until all that has changed is read. While the rest of some waits for the API budget, which
        costs no call, changes are polled as if there were no stream: what it brings is not stored before."""
        left: tuple[str, ...] = ()

        async def poll() -> tuple[str, ...]:
            return await (await self._run.get()).poll_everything(left)

        left = await self._within_budget(lambda: Lane.STATUS, poll)
        try:
            while left:
                self._is_behind = True
                await self.context.store.clock.sleep(PAUSE_SECONDS)
                left = await self._within_budget(lambda: Lane.PROFILE, poll)
        finally:
            self._is_behind = False

    async def _within_budget(self, choose_lane: Callable[[], Lane], work: Callable[[], Awaitable[T]]) -> T:
        """Wait where the API budget pauses: the stream stands meanwhile, or is lost while it waits."""
        return await within_budget(self.context.store.clock, choose_lane, work)

    async def _take_in(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(INTAKE_SECONDS):
                    await self._new_records.wait()
            self._new_records.clear()
            await self._within_budget(lambda: Lane.STATUS, self._intake)

    async def _intake(self) -> None:
        await (await self._run.get()).intake()

    async def _poll_now_and_then(self) -> None:
        """Poll seldom while the stream stands, and by the pace of the changes while it does not. What the stream brings
        as well is polled in the lane of profiles."""
        clock, settings = self.context.store.clock, self.context.settings.inbound
        limits = PaceLimits(
            shortest=settings.fastest_poll_seconds,
            longest=settings.poll_seconds,
            calls_per_day=settings.poll_calls_per_day,
        )
        pace = PollPace(limits)
        last = clock.now()
        while True:
            pause = settings.poll_seconds if self._brings_changes() else pace.seconds(clock.now())
            if (left := pause - (clock.now() - last).total_seconds()) > 0:
                await clock.sleep(min(left, MOST_SLEPT))
                continue
            last, reads = clock.now(), self.context.client.calls_made.reads
            applied = [report.applied for report in await self._within_budget(self._poll_lane, self._poll)]
            changes = sum(item.records - item.echoes - item.unknown for item in applied)
            pace.note(changes=changes, calls=self.context.client.calls_made.reads - reads, now=clock.now())

    def _poll_lane(self) -> Lane:
        return Lane.PROFILE if self._brings_changes() else Lane.STATUS

    def _brings_changes(self) -> bool:
        """Whether the stream does."""
        return self.stats.subscribed and not self._is_behind

    async def _poll(self) -> list[PollReport]:
        return await (await self._run.get()).poll()


class ActionJob(LeaseJob):
    """Listens to the topic with the actions of people, and carries them out. `on_answer` is called when an answer is
    to be published."""

    def __init__(self, context: InboundJobContext, on_answer: asyncio.Event) -> None:
        super().__init__(context, ACTION_TOPIC)
        self._on_answer = on_answer
        self._org_id = ""
        self.stats = ListenerStats()

    async def begin(self) -> tuple[str, str]:
        self._org_id = await confirm_org(self.context.store, self.context.client, self.context.settings)
        return listen_lease(self._org_id, ACTION_TOPIC), f"listens to {ACTION_TOPIC}"

    async def work(self, lease: HeldLease) -> None:
        endpoint = self.context.settings.salesforce.pubsub_endpoint
        async with PubSubClient(endpoint, self.context.client.tokens) as client, asyncio.TaskGroup() as tasks:
            context = _listen_context(self.context, client, self._org_id, lease)
            cursor = TopicCursor(self._org_id, ACTION_TOPIC)
            webhooks = self.context.settings.webhooks
            handler = ActionEvents(
                context, cursor, self.context.orders, webhooks=webhooks, on_answer=self._on_answer.set
            )
            self.stats = ListenerStats()
            tasks.create_task(self._listen(Listener(context, cursor, handler, self.stats)))
            tasks.create_task(lease.keep())

    async def _listen(self, listener: Listener) -> None:
        while True:
            try:
                await listener.run()
            except DeliveryLimitError as error:  # there is nothing to poll: the org keeps the actions for 72 hours
                log.warning("actions wait", error=error.message, pause=LIMIT_PAUSE)
                await self.context.store.clock.sleep(LIMIT_PAUSE)


class ListenerRole:
    """Everything of a process that listens to the org: both topics, the publisher of our own events, and the prune of
    what nobody needs any more.

    A part that its setting turns off is None; `on_mode` and `on_obstacle` are those of `ListenJob`.
    """

    def __init__(
        self,
        context: InboundJobContext,
        *,
        on_mode: Callable[[DeliveryUsage], None] = lambda usage: None,
        on_obstacle: OnObstacle = lambda topic, state: None,
    ) -> None:
        settings = self._settings = context.settings
        self._store = context.store
        self.changes = ListenJob(context, on_mode=on_mode, on_obstacle=on_obstacle)
        self.publisher = PublishJob(context)
        self.actions = ActionJob(context, self.publisher.wake[ORDER_ACTION_RESULT]) if settings.events.actions else None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run in the background of this block, and end in order with it: leases are released, and what was published
        is recorded."""
        task = asyncio.create_task(self.run())
        log.info("listener started", topic=self.changes.topic, actions=self.actions is not None)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            log.info("listener stopped", events=self.changes.stats.events, records=self.changes.stats.records)

    async def run(self) -> None:
        """Run until canceled. A job that fails begins anew by itself (`LeaseJob`); the others go on."""
        async with asyncio.TaskGroup() as tasks:
            for job in (self.changes, self.actions, self.publisher):
                if job is not None:
                    tasks.create_task(job.run())
            tasks.create_task(prune_regularly(self._store, self._settings))


def _listen_context(context: InboundJobContext, client: PubSubClient, org_id: str, lease: HeldLease) -> ListenContext:
    async def org_time() -> datetime:
        return await read_server_time(context.client, otherwise=context.store.clock.now())

    return ListenContext(
        store=context.store, subscriber=client, org_id=org_id, hold_lease=lease.check, org_time=org_time
    )
