"""Sends the messages that are due, one after the other, and writes down what became of each before the next.

A message that was taken may be sent once more: if we die, or lose the answer, before it is written down. It then has
the same Message-ID (or webhook-id), by which the repeat is known. It is never sent by two at once.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from connector.clock import Clock
from connector.errors import PostError, RetryClass
from connector.log import get_logger, trace
from connector.model.notification import MessageKind, MessageState, Notification
from connector.notifications.composer import ComposedNotification, NotificationComposer, Skipped
from connector.notifications.renderer import TemplateFaultError
from connector.notifications.transport.transport import MailTransport
from connector.settings import MessageSettings
from connector.store import notifications
from connector.store.db_errors import DATABASE_ERRORS
from connector.store.engine import Store
from connector.store.notifications import Claim

BATCH = 50
MOST = 200
"""Batches of one run; what is left waits for the next."""
ATTEMPTS = 20
"""Of one message, before it is given up. That nobody is there to take it does not count."""
FIRST_WAIT, LONGEST_WAIT = 30.0, 900.0
FAULT = "It cannot be made into a mail: a fault of the connector or in the data. The log says where."
IN_A_ROW = 3
"""So many that were not taken just now end a run: it is not these messages."""
MAKING = 20.0
"""Seconds to write a message and draw its PDF."""
SPARE = 60.0
"""Seconds of a claim in which messages are begun."""

log = get_logger("deliver")


@dataclass(kw_only=True)
class DeliveryReport:
    """What became of the messages of one run; `stopped` is what ended it early."""

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
    correspondence: NotificationComposer,
    way: AbstractAsyncContextManager[MailTransport],
    settings: MessageSettings,
    *,
    clock: Clock,
) -> DeliveryReport:
    """Send what is due."""
    done = DeliveryReport()
    longest = longest_attempt(settings)
    for batch in range(MOST):
        async with store.reader() as connection:
            if not await notifications.some_due(connection, clock.now()):
                break
        async with store.transaction() as uow:
            if batch == 0:
                done.expired = await notifications.expire(uow, timedelta(hours=settings.expire_hours))
            claim = await notifications.claim(uow, limit=BATCH, seconds=SPARE + longest)
        if not claim.messages:
            break
        run = _Batch(store, correspondence, claim, done, clock=clock, longest=longest)
        async with way as post:
            await run.through(post)
        if done.stopped:
            break
    return done


def longest_attempt(settings: MessageSettings) -> float:
    """After so many seconds an attempt is broken off: the message is made, a connection opened, the message taken."""
    return MAKING + 2 * settings.timeout_seconds


class _Batch:
    """The messages of one claim. What is not attempted is given back at once."""

    def __init__(
        self,
        store: Store,
        correspondence: NotificationComposer,
        claim: Claim,
        done: DeliveryReport,
        *,
        clock: Clock,
        longest: float,
    ) -> None:
        self._store = store
        self._correspondence = correspondence
        self._claim = claim
        self._done = done
        self._clock = clock
        self._longest = longest
        self._waiting: set[str] = set()
        """Orders whose next message is postponed: their later ones wait for it."""

    async def through(self, post: MailTransport) -> None:
        left = {message.id: message for message in self._claim.messages}
        broken = 0
        try:
            subjects = await self._subjects()
            for message, subject in zip(self._claim.messages, subjects, strict=True):
                # Whatever is begun ends before the claim does: nobody else can send it meanwhile.
                if self._clock.now() + timedelta(seconds=self._longest) >= self._claim.until:
                    break
                if message.order in self._waiting and message.kind is not MessageKind.ESCALATION:
                    continue
                fault = await self._attempt(post, message, subject)
                del left[message.id]
                broken = broken + 1 if fault is not None and fault.retry_class.retryable else 0
                if fault is not None and (fault.whole or broken == IN_A_ROW):
                    self._done.stopped = str(fault)
                    break
        finally:
            if left:
                async with self._store.transaction() as uow:
                    await notifications.give_back(uow, self._claim.number, list(left.values()))

    async def _subjects(self) -> list[ComposedNotification | Skipped | Exception]:
        """What each message is about. One that cannot be read keeps no other from being sent."""
        now, found = self._clock.now(), list[ComposedNotification | Skipped | Exception]()
        async with self._store.reader() as connection:
            try:
                return [*await self._correspondence.subjects(connection, self._claim.messages, now)]
            except DATABASE_ERRORS:
                raise
            except Exception:  # whose it is shows below
                for message in self._claim.messages:
                    try:
                        found += await self._correspondence.subjects(connection, [message], now)
                    except DATABASE_ERRORS:
                        raise
                    except Exception as error:  # logged with its message
                        found.append(error)
        return found

    async def _attempt(
        self, post: MailTransport, message: Notification, subject: ComposedNotification | Skipped | Exception
    ) -> PostError | None:
        """Why it was not taken, if it was not."""
        try:
            async with asyncio.timeout(self._longest):
                if isinstance(subject, Exception):
                    raise subject
                made = subject if isinstance(subject, Skipped) else await self._correspondence.mail(message, subject)
                if not isinstance(made, Skipped):
                    await post.send(made)
        except TemplateFaultError as error:
            await self._settle(message, MessageState.FAILED, error=f"A template cannot be filled: {error}.")
            return None
        except TimeoutError:
            late = PostError(
                f"It was not made and taken within {self._longest:g} seconds.", retry_class=RetryClass.TRANSIENT
            )
            await self._not_taken(message, late)
            return late
        except PostError as error:
            await self._not_taken(message, error)
            return error
        except Exception as error:  # of this message alone: those behind it go out
            log.error("fault", message=message.id, kind=message.kind.value, exception=trace(error))
            await self._settle(message, MessageState.FAILED, error=FAULT)
            return None
        if isinstance(made, Skipped):
            await self._settle(message, MessageState.SKIPPED, error=made.why)
        else:
            await self._settle(message, MessageState.SENT)
        return None

    async def _not_taken(self, message: Notification, error: PostError) -> None:
        tried = message.attempts + 1
        if not error.whole and not error.retry_class.retryable:
            await self._settle(message, MessageState.FAILED, error=str(error))
        elif not error.whole and tried >= ATTEMPTS:
            await self._settle(message, MessageState.FAILED, error=f"Given up after {tried} attempts. {error}")
        else:
            if message.kind is not MessageKind.ESCALATION:
                self._waiting.add(message.order)
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(message.attempts, 10))
            # A quarter sooner or later, so that what failed together does not come back together.
            wait = max(wait * (0.75 + self._clock.jitter() / 2), error.wait or 0.0)
            due_at = self._clock.now() + timedelta(seconds=wait)
            await self._settle(message, MessageState.DUE, error=str(error), due_at=due_at)

    async def _settle(
        self, message: Notification, state: MessageState, *, error: str | None = None, due_at: datetime | None = None
    ) -> None:
        async with self._store.transaction() as uow:
            mine = await notifications.settle(uow, self._claim.number, message, state, error=error, due_at=due_at)
        if not mine:
            log.warning("claim was over", message=message.id, state=state.value)
            return
        match state:
            case MessageState.SENT:
                self._done.sent += 1
            case MessageState.DUE:
                self._done.postponed += 1
            case MessageState.FAILED:
                self._done.failed += 1
            case _:
                self._done.skipped += 1
        if state is not MessageState.SENT:
            said = {"kind": message.kind.value, "order": message.order, "state": state.value, "why": error}
            log.warning("not sent", message=message.id, **said)
