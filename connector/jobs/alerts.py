"""The job `alerts`: looks for what operators must know, and tells them once when it begins and once when it is over.

What was told is in the database, so one of several processes tells it, and a restart does not tell it again. A process
that stops between telling and recording tells it once more, with the same message ID.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from connector.clock import Clock
from connector.errors import ConnectorError, DeliveryError, RetryClass
from connector.jobs.alert_conditions import list_all_conditions
from connector.jobs.schedule import define_jobs
from connector.log import StateLog, get_logger
from connector.model.alert import Alert, AlertEvent, AlertMessage, compare
from connector.notifications.alert_channels import AlertChannel
from connector.settings import Settings
from connector.store import alerts
from connector.store.engine import Store
from connector.store.unit_of_work import UnitOfWork

BATCH = 50
FIRST_WAIT, LONGEST_WAIT = 60.0, 3600.0
"""Seconds until a message that was not accepted is sent again, doubled with each attempt."""
MAX_ATTEMPTS = 12
"""About ten hours: then nobody wants to know it any more."""

log = get_logger("alerts")


@dataclass(kw_only=True)
class AlertReport:
    """What one look came to."""

    begun: int = 0
    ended: int = 0
    sent: int = 0
    failed: int = 0

    def __bool__(self) -> bool:
        return bool(self.begun or self.ended or self.sent or self.failed)


class AlertSender:
    """Looks and tells, for one process."""

    def __init__(self, store: Store, settings: Settings, channels: Sequence[AlertChannel]) -> None:
        self._store = store
        self._settings = settings
        self._channels = {channel.name: channel for channel in channels}
        self._states = {
            name: StateLog(log, "alert not sent", "alerts are sent again", channel=name) for name in self._channels
        }

    async def run(self) -> AlertReport:
        """Look once, and send what is due."""
        report = AlertReport()
        await self._look(report)
        await self._send(report)
        return report

    async def _look(self, report: AlertReport) -> None:
        store, settings = self._store, self._settings
        conditions = await list_all_conditions(store, settings, define_jobs(settings))
        settle = timedelta(minutes=settings.alerts.settle_minutes)

        async def work(uow: UnitOfWork) -> tuple[list[Alert], int, int]:
            before = await alerts.list_current(uow.connection)
            changes = compare(before, conditions, uow.now, settle)
            await alerts.apply(uow, changes, list(self._channels))
            begun = len(changes.begun) + sum(item.hold <= timedelta(0) for item in changes.noticed)
            return [alert for alert in before if alert.id in changes.ended], begun, len(changes.ended)

        ended, report.begun, report.ended = await store.transact(work)
        for alert in ended:
            log.info("alert is over", alert=alert.id, rule=alert.rule, subject=alert.subject)

    async def _send(self, report: AlertReport) -> None:
        store = self._store
        async with store.reader() as connection:
            due = await alerts.list_due(connection, store.clock.now(), BATCH)
        refused = set[str]()
        for message in due:
            channel = self._channels.get(message.channel)
            kind = message.channel.partition(":")[0]
            if kind in refused:
                continue  # it will not accept the next one either, and waits
            problem = await _tell(channel, message)
            async with store.transaction() as uow:
                if problem is None:
                    await alerts.record_sent(uow, message)
                    report.sent += 1
                else:
                    due_at = _next_attempt(message, uow.now, problem, store.clock)
                    await alerts.record_failure(uow, message, str(problem), due_at=due_at)
                    report.failed += 1
            if problem is None:
                self._states[message.channel].work()
                log.info("alert sent", alert=message.alert.id, rule=message.alert.rule, tells=message.event.value,
                         channel=message.channel)  # fmt: skip
            elif channel is not None:
                self._states[message.channel].fail(problem.message, hint=problem.hint)
                if problem.affects_all:
                    refused.add(kind)


async def try_channels(channels: Sequence[AlertChannel], now: datetime) -> dict[str, str | None]:
    """Send a message through each channel that says that it is a test; why it was not accepted, by channel."""
    told = {}
    for channel in channels:
        alert = Alert(
            id=int(now.timestamp()),
            rule="test",
            subject="",
            text="This is a test of the connector's alerts.",
            fix="Nothing to do.",
            noticed_at=now,
            began_at=now,
            clear_since=None,
            ended_at=None,
        )
        problem = await _tell(channel, AlertMessage(alert=alert, event=AlertEvent.BEGAN, channel=channel.name))
        told[channel.name] = None if problem is None else str(problem)
    return told


async def _tell(channel: AlertChannel | None, message: AlertMessage) -> DeliveryError | None:
    """Send one message; why it was not accepted."""
    if channel is None:
        return DeliveryError(f"The settings have no channel {message.channel} any more.", retry_class=RetryClass.CONFIG)
    try:
        await channel.send(message)
    except DeliveryError as error:
        return error
    return None


def _next_attempt(message: AlertMessage, now: datetime, problem: ConnectorError, clock: Clock) -> datetime | None:
    """When the message is sent again; None if never: this receiver refuses it for good, or has refused it for long."""
    if problem.retry_class is RetryClass.DATA or message.attempts + 1 >= MAX_ATTEMPTS:
        return None
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2**message.attempts) * (0.75 + clock.jitter() / 2)
    return now + timedelta(seconds=max(wait, getattr(problem, "wait", None) or 0.0))
