"""The scheduler: runs the jobs of `connector.jobs.schedule` by APScheduler, and listens to the org. `python
scheduler.py` is the service."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import asdict

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from connector.errors import ConnectorError
from connector.jobs.order_automation import run_order_automation
from connector.jobs.prune import prune
from connector.jobs.push import PushSummary
from connector.jobs.schedule import Job, make_jobs
from connector.jobs.send_notifications import send_notifications
from connector.jobs.send_webhooks import NoticeSender
from connector.log import configure, get_logger
from connector.notifications.transport.transport import MailTransport
from connector.service import Services, running_service, tune_garbage_collection
from connector.settings import load_settings

# Late is better than never, twice is never better than once.
JOB_DEFAULTS = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}

log = get_logger("scheduler")


class NullProgress:
    """Shows no progress, because nobody watches a service."""

    def expect(self, total: int) -> None: ...

    def advance(self, count: int = 1) -> None: ...

    def print_line(self, text: str) -> None:
        log.info("push", text=text)


class OutageLog:
    """Logs an outage of the org once, again when its cause changes, and when it is over."""

    def __init__(self) -> None:
        self._outage: str | None = None
        self._held: str | None = None

    def tell(self, summary: PushSummary) -> None:
        outage = summary.outage
        if outage is None:
            if self._outage is not None:
                log.info("org_outage_over", code=self._outage)
        elif outage.code != self._outage:
            log.error(
                "org_outage",
                code=outage.code,
                error=outage.message,
                fix=outage.fix,
                since=outage.since.isoformat(),
                note="All changes stay due; the service tries again automatically, at most every five minutes.",
            )
        if outage is None and summary.held_code not in {None, self._held}:
            note = "These changes stay due, and the others are sent; `connector status` says what to do."
            log.error("changes_held", code=summary.held_code, note=note)
        self._outage = None if outage is None else outage.code
        self._held = None if summary.in_sync else summary.held_code or self._held


def trigger_of(job: Job) -> IntervalTrigger | CronTrigger:
    """When the job runs: at its interval, or once a day at its hour."""
    if job.hour is None:
        return IntervalTrigger(seconds=job.seconds, timezone="UTC")
    return CronTrigger(hour=job.hour, minute=0, timezone="UTC")


class JobScheduler:
    """Runs jobs at intervals. A failure is logged once until the job succeeds or fails with another error; the next run
    comes as usual. If a run takes longer than its interval, runs in between are skipped without a log entry."""

    def __init__(self, catalog: list[Job]) -> None:
        logging.getLogger("apscheduler").setLevel(logging.ERROR)  # it would write plain lines among ours
        self._scheduler = AsyncIOScheduler(job_defaults=JOB_DEFAULTS, timezone="UTC")
        self._running = asyncio.Lock()
        self._failed: dict[str, str] = {}
        self._apart = {job.name: asyncio.Lock() for job in catalog if job.concurrent}
        for job in catalog:
            self._scheduler.add_job(self._run, trigger_of(job), args=[job], id=job.name)

    async def _run(self, job: Job) -> None:
        async with self._apart.get(job.name, self._running):
            try:
                await job.run()
                self._failed.pop(job.name, None)
            except ConnectorError as error:
                if self._failed.get(job.name) != str(error):
                    log.error("job failed", job=job.name, error=str(error))
                self._failed[job.name] = str(error)
            except Exception:
                log.exception("job failed", job=job.name)

    async def until(self, stop: asyncio.Event) -> None:
        """Run until `stop`; a run that is under way may finish."""
        self._scheduler.start()
        await stop.wait()
        self._scheduler.pause()
        async with AsyncExitStack() as stack:
            for lock in (self._running, *self._apart.values()):
                await stack.enter_async_context(lock)
            self._scheduler.shutdown(wait=False)


async def serve() -> None:
    """The service, until SIGTERM or SIGINT."""
    settings = load_settings()
    configure(settings.service_log_level)
    tune_garbage_collection()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running_service(settings, follow_files=True) as service:
        transport, sender, listener = service.transport(), service.notice_sender(), service.listener()
        push = Pushing(service)
        catalog = make_jobs(
            push=push.run,
            push_seconds=settings.sync.push_seconds,
            automation=lambda: _automate_orders(service),
            automation_seconds=settings.orders.automation_seconds,
            notifications=None if transport is None else lambda: _send_notifications(service, transport),
            notification_seconds=settings.messages.seconds,
            webhooks=None if sender is None else lambda: _send_webhooks(sender),
            webhook_seconds=settings.webhooks.seconds,
            reconcile=lambda: reconcile_nightly(service),
            reconcile_hour=settings.reconcile.nightly_hour,
            prune=None if listener is not None else lambda: _prune(service),  # the listener does it
        )
        log.info("started", jobs=[job.name for job in catalog], listener=listener is not None)
        async with nullcontext() if listener is None else listener.running():
            await JobScheduler(catalog).until(stop)
    log.info("stopped")


class Pushing:
    """The push job. Its first run asks the org who it is, also if nothing is due."""

    def __init__(self, service: Services) -> None:
        self._service = service
        self._verify = True
        self._outages = OutageLog()

    async def run(self) -> None:
        verify, self._verify = self._verify, False
        summary: PushSummary = await self._service.push(NullProgress(), scheduled=True, verify=verify)
        self._outages.tell(summary)
        if summary.stats.done:
            log.info("pushed", done=dict(summary.stats.done), writes=summary.writes)


async def _automate_orders(service: Services) -> None:
    done = await run_order_automation(service.store, service.orders)
    if done:
        log.info("order_automation", **asdict(done))


async def _send_notifications(service: Services, transport: AbstractAsyncContextManager[MailTransport]) -> None:
    messages, clock = service.settings.messages, service.clock
    done = await send_notifications(service.store, service.composer, transport, messages, clock=clock)
    if done:
        log.info("notifications", **asdict(done))


async def _send_webhooks(sender: NoticeSender) -> None:
    done = await sender.send()
    if done:
        log.info("webhooks", **asdict(done))


async def _prune(service: Services) -> None:
    await prune(service.store, service.settings)


async def reconcile_nightly(service: Services) -> None:
    """Compare both sides, unless another process of this service just has, or is doing so."""
    summary = await service.reconcile_nightly(NullProgress())
    if summary is not None:
        result = summary.result
        numbers = {"verified": result.verified, "total": result.total(), "differing": result.differing}
        healed = {} if summary.healing is None else {"healed": summary.healing.healed}
        (log.info if summary.in_sync else log.warning)("reconciled", **numbers, **healed, calls=summary.calls)


def main() -> int:
    """Exit status as for the command line: 2 for settings that cannot work."""
    argparse.ArgumentParser(prog="python -m scheduler", description=__doc__).parse_args()
    try:
        asyncio.run(serve())
    except ConnectorError as error:
        print(f"scheduler: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
