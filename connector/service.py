"""Puts the parts together: settings in, a store, an org client and mappings out, closed again in the right order."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from connector.clock import Clock, SystemClock
from connector.jobs.mapping_versions import MappingFiles, Mappings
from connector.jobs.push import PushSummary, push
from connector.jobs.push_rounds import ProgressReporter
from connector.mapping import MappingSet
from connector.outbound.health import OrgHealth
from connector.salesforce.client import SalesforceClient
from connector.settings import Settings
from connector.store import schema
from connector.store.engine import Store
from connector.store.outbox import Selection
from connector.store.schema import open_store


def collect_seldom() -> None:
    """For a process that stays: look for cycles a hundredth as often as Python does by itself. What a batch loads lives
    as long as its transaction and has no cycles; to walk through it at every 700 objects costs some 5 % of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@dataclass(frozen=True, kw_only=True)
class Services:
    """Everything a job needs."""

    settings: Settings
    store: Store
    client: SalesforceClient
    versions: Mappings
    clock: Clock
    health: OrgHealth = field(default_factory=OrgHealth)

    @property
    def mappings(self) -> MappingSet:
        """Those of the files as they were last read."""
        return self.versions.current

    async def push(
        self,
        watcher: ProgressReporter,
        *,
        dry_run: bool = False,
        scheduled: bool = False,
        first: Callable[[Store], Awaitable[Selection | None]] | None = None,
        verify: bool = True,
    ) -> PushSummary:
        """See `jobs.push`. A `scheduled` one is refused (StoreError) when a newer release has upgraded the database."""
        if scheduled:
            await schema.check(self.store)
        return await push(
            self.store,
            self.client,
            self.versions,
            self.settings,
            clock=self.clock,
            watcher=watcher,
            health=self.health,
            dry_run=dry_run,
            scheduled=scheduled,
            first=first,
            verify=verify,
        )


@asynccontextmanager
async def running_service(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[Services]:
    """A service on `settings`; SettingsError, MappingError or StoreError before anything is started."""
    clock = clock or SystemClock()
    versions = Mappings(MappingFiles(settings.mappings_dir))
    async with open_store(settings, clock=clock) as store:
        attempts = settings.sync.attempts_in_claim
        async with SalesforceClient(settings.salesforce, clock=clock, attempts=attempts) as client:
            yield Services(settings=settings, store=store, client=client, versions=versions, clock=clock)
