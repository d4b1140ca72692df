"""Send the notifications that are due, one after the other; the outcome of each is stored before the next is sent.

A notification can be sent twice if the process stops, or the reply is lost, before the outcome is stored. Both have the
same Message-ID (or webhook-id), so the receiver can detect it. Two processes never send one at the same time.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from connector.clock import Clock
from connector.errors import DeliveryError, RetryClass
from connector.log import get_logger, trace
from connector.model.notification import MessageKind, MessageState, Notification
from connector.notifications.composer import ComposedNotification, NotificationComposer, Skipped
from connector.notifications.renderer import TemplateFaultError
from connector.notifications.transport.transport import MailTransport
from connector.settings.messages import MessageSettings
from connector.store import notifications
from connector.store.db_errors import DATABASE_ERRORS
from connector.store.engine import Store
from connector.store.notifications import Claim

BATCH = 50
MAX_BATCHES = 200
"""Batches of one run; further notifications wait for the next run."""
MAX_ATTEMPTS = 20
"""After so many attempts a notification fails. An unreachable server does not count as an attempt."""
FIRST_WAIT, LONGEST_WAIT = 30.0, 900.0
FAULT = "The message could not be composed, because of an error in the connector or in the data. See the log."
MAX_FAILURES_IN_A_ROW = 3
"""After so many temporary failures in a row a run ends: the cause is not in the notifications."""
COMPOSE_SECONDS = 20.0
"""Seconds to compose a notification and its PDF."""
CLAIM_SECONDS = 60.0
"""The part of a claim, in seconds, in which attempts may start."""

log = get_logger("deliver")


@dataclass(kw_only=True)
class DeliveryReport:
    """The outcomes of one run; `stopped` is the reason if it ended early."""

    sent: int = 0
    postponed: int = 0
    failed: int = 0
    expired: int = 0
    skipped: int = 0
    stopped: str | None = None

    def __bool__(self) -> bool:
        return bool(self.sent or self.postponed or self.failed or self.expired or self.skipped or self.stopped)


async def send_notifications(
    store: Store,
    composer: NotificationComposer,
    transport: AbstractAsyncContextManager[MailTransport],
    settings: MessageSettings,
    *,
    clock: Clock,
) -> DeliveryReport:
    """Send the notifications that are due, and return the outcomes."""
    report = DeliveryReport()
    attempt_seconds = max_attempt_seconds(settings)
    for batch in range(MAX_BATCHES):
        async with store.reader() as connection:
            if not await notifications.has_due(connection, clock.now()):
                break
        async with store.transaction() as uow:
            if batch == 0:
                report.expired = await notifications.expire(uow, timedelta(hours=settings.expire_hours))
            claim = await notifications.claim(uow, limit=BATCH, seconds=CLAIM_SECONDS + attempt_seconds)
        if not claim.messages:
            break
        run = _Batch(store, composer, claim, report, clock=clock, longest=attempt_seconds)
        async with transport as open_transport:
            await run.send_all(open_transport)
        if report.stopped:
            break
    return report


def max_attempt_seconds(settings: MessageSettings) -> float:
    """Return the seconds after which an attempt is aborted: to compose, to connect, and to hand over."""
    return COMPOSE_SECONDS + 2 * settings.timeout_seconds


class _Batch:
    """The notifications of one claim. Those that are not attempted are released at the end."""

    def __init__(
        self,
        store: Store,
        composer: NotificationComposer,
        claim: Claim,
        report: DeliveryReport,
        *,
        clock: Clock,
        longest: float,
    ) -> None:
        self._store = store
        self._composer = composer
        self._claim = claim
        self._report = report
        self._clock = clock
        self._longest = longest
        self._postponed_orders: set[str] = set()
        """Orders with a postponed notification; their later ones wait for it."""

    async def send_all(self, transport: MailTransport) -> None:
        remaining = {message.id: message for message in self._claim.messages}
        failures_in_a_row = 0
        try:
            subjects = await self._compose()
            for message, subject in zip(self._claim.messages, subjects, strict=True):
                # An attempt ends before the claim does, so that nobody else can send the notification meanwhile.
                if self._clock.now() + timedelta(seconds=self._longest) >= self._claim.until:
                    break
                if message.order in self._postponed_orders and message.kind is not MessageKind.ESCALATION:
                    continue
                fault = await self._attempt(transport, message, subject)
                del remaining[message.id]
                failures_in_a_row = failures_in_a_row + 1 if fault is not None and fault.retry_class.retryable else 0
                if fault is not None and (fault.affects_all or failures_in_a_row == MAX_FAILURES_IN_A_ROW):
                    self._report.stopped = str(fault)
                    break
        finally:
            if remaining:
                async with self._store.transaction() as uow:
                    await notifications.release(uow, self._claim.number, list(remaining.values()))

    async def _compose(self) -> list[ComposedNotification | Skipped | Exception]:
        """Load the data of each notification. One that cannot be loaded does not prevent the others."""
        now, subjects = self._clock.now(), list[ComposedNotification | Skipped | Exception]()
        async with self._store.reader() as connection:
            try:
                return [*await self._composer.compose_all(connection, self._claim.messages, now)]
            except DATABASE_ERRORS:
                raise
            except Exception:  # whose it is shows below
                for message in self._claim.messages:
                    try:
                        subjects += await self._composer.compose_all(connection, [message], now)
                    except DATABASE_ERRORS:
                        raise
                    except Exception as error:  # logged with its message
                        subjects.append(error)
        return subjects

    async def _attempt(
        self, transport: MailTransport, message: Notification, subject: ComposedNotification | Skipped | Exception
    ) -> DeliveryError | None:
        """Send one notification, and store its outcome; return the error if the transport did not accept it."""
        try:
            async with asyncio.timeout(self._longest):
                if isinstance(subject, Exception):
                    raise subject
                email = subject if isinstance(subject, Skipped) else await self._composer.build_email(message, subject)
                if not isinstance(email, Skipped):
                    await transport.send(email)
        except TemplateFaultError as error:
            await self._settle(message, MessageState.FAILED, error=f"A template cannot be filled: {error}.")
            return None
        except TimeoutError:
            timeout = DeliveryError(
                f"It was not composed and accepted within {self._longest:g} seconds.", retry_class=RetryClass.TRANSIENT
            )
            await self._postpone_or_fail(message, timeout)
            return timeout
        except DeliveryError as error:
            await self._postpone_or_fail(message, error)
            return error
        except Exception as error:  # concerns this notification only; the others are sent
            log.error("internal_error", message=message.id, kind=message.kind.value, exception=trace(error))
            await self._settle(message, MessageState.FAILED, error=FAULT)
            return None
        if isinstance(email, Skipped):
            await self._settle(message, MessageState.SKIPPED, error=email.why)
        else:
            await self._settle(message, MessageState.SENT)
        return None

    async def _postpone_or_fail(self, message: Notification, error: DeliveryError) -> None:
        attempts = message.attempts + 1
        if not error.affects_all and not error.retry_class.retryable:
            await self._settle(message, MessageState.FAILED, error=str(error))
        elif not error.affects_all and attempts >= MAX_ATTEMPTS:
            await self._settle(message, MessageState.FAILED, error=f"Given up after {attempts} attempts. {error}")
        else:
            if message.kind is not MessageKind.ESCALATION:
                self._postponed_orders.add(message.order)
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(message.attempts, 10))
            # With a jitter of 25 %, so that notifications that failed together are not retried together.
            wait = max(wait * (0.75 + self._clock.jitter() / 2), error.wait or 0.0)
            due_at = self._clock.now() + timedelta(seconds=wait)
            await self._settle(message, MessageState.DUE, error=str(error), due_at=due_at)

    async def _settle(
        self, message: Notification, state: MessageState, *, error: str | None = None, due_at: datetime | None = None
    ) -> None:
        async with self._store.transaction() as uow:
            settled = await notifications.settle(uow, self._claim.number, message, state, error=error, due_at=due_at)
        if not settled:
            log.warning("claim was over", message=message.id, state=state.value)
            return
        match state:
            case MessageState.SENT:
                self._report.sent += 1
            case MessageState.DUE:
                self._report.postponed += 1
            case MessageState.FAILED:
                self._report.failed += 1
            case _:
                self._report.skipped += 1
        if state is not MessageState.SENT:
            fields = {"kind": message.kind.value, "order": message.order, "state": state.value, "why": error}
            log.warning("not sent", message=message.id, **fields)
