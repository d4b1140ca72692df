"""A job that one process at a time does, for as long as it runs; others wait to take over.

A process that finds the lease taken waits for it; when the holder dies, its lease expires and another one continues. A
holder that was frozen and wakes changes nothing: its lease is checked in every transaction.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from connector.errors import ConnectorError, LeaseLostError, RetryClass
from connector.jobs.held_lease import HeldLease, LeaseHolder
from connector.jobs.inbound_run import InboundJobContext
from connector.log import StateLog, get_logger
from connector.store import leases

RETRY_SECONDS = 5.0
"""The pause after an error, before everything begins anew."""
LONGEST_PAUSE = 300.0
"""The pause grows up to this one while a fault of ours repeats; work that lasted for longer begins with the first."""

CONFIG_PAUSE = 60.0
"""The pause grows up to this one while an error lasts that a person must correct."""

_MARGIN = 0.05
"""Seconds after the end of a lease in which it is asked for: not a moment too early."""

log = get_logger(__name__)


class LeaseJob(ABC):
    """Runs until it is canceled. `subject` is what the log names."""

    def __init__(self, context: InboundJobContext, subject: str) -> None:
        self.context = context
        self._subject = subject
        self._state = StateLog(log, "job interrupted", "job works again", subject=subject)
        self._holder = LeaseHolder(store=context.store, ttl=context.settings.sync.lease_seconds)

    async def run(self) -> None:
        """Wait for the lease, then work. What fails is logged, and begun anew after a pause: an error of the org or of
        the database as well as a fault of ours, so that no other job of the process ends with this one."""
        clock = self.context.store.clock
        faults = refusals = 0
        while True:
            begun_at = clock.now()
            try:
                name, what = await self.begin()
                async with self._holder.holding(name, what) as lease:
                    if lease is None:
                        await clock.sleep(await self._pause_until_free(name))
                        continue
                    steady = asyncio.create_task(self._note_steady()) if self._state.error is not None else None
                    try:
                        await self.work(lease)
                    except BaseExceptionGroup as group:
                        raise group.exceptions[0] from None  # the others were canceled by it
                    finally:
                        if steady is not None:
                            steady.cancel()
            except LeaseLostError as error:
                log.warning("lease lost", subject=self._subject, error=error.message)
                await clock.sleep(RETRY_SECONDS)  # perhaps not the job's own lease: that of a poll, which is still held
            except ConnectorError as error:
                self._state.fail(error.message, hint=error.hint)
                refusals = refusals + 1 if error.retry_class is RetryClass.CONFIG else 0
                await clock.sleep(min(RETRY_SECONDS * 2 ** min(max(refusals - 1, 0), 16), CONFIG_PAUSE))
            except Exception:
                log.exception("job failed", subject=self._subject)
                if (clock.now() - begun_at).total_seconds() > LONGEST_PAUSE:
                    faults = 0
                await clock.sleep(min(RETRY_SECONDS * 2 ** min(faults, 16), LONGEST_PAUSE))
                faults += 1

    async def _note_steady(self) -> None:
        """It works again if it has worked for longer than the pause after an error."""
        await self.context.store.clock.sleep(RETRY_SECONDS)
        self._state.work()

    async def _pause_until_free(self, name: str) -> float:
        """How long to wait for the lease of another process: until it ends if that process does not renew it, and not
        much longer if it is released."""
        async with self.context.store.reader() as connection:
            left = await leases.seconds_left(connection, name, self.context.store.clock.now())
        return min(left + _MARGIN, self._holder.ttl / 3)

    @abstractmethod
    async def begin(self) -> tuple[str, str]:
        """Prepare for the org that answers. Returns the name of the lease, and what its holder does (`publishes`)."""

    @abstractmethod
    async def work(self, lease: HeldLease) -> None:
        """Work as the holder, until canceled or until something fails."""
