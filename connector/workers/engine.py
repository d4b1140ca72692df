"""The contract of an engine, and the choice of one by the settings."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from connector.jobs.push_loop import PushLoop
from connector.settings import Settings
from connector.settings.cluster import WorkerEngine
from connector.store.engine import Store
from connector.workers.upgrade import missing_engine_error


class Engine(Protocol):
    """Wakes workers. `wakes_on_capture`: the push loop is to wake by itself when its process has captured a change."""

    wakes_on_capture: bool

    def ringing(self, store: Store) -> AbstractAsyncContextManager[None]:
        """In this block, changes that this process captures wake a worker of some process."""

    async def run(self, loop: PushLoop, stop: asyncio.Event, org: str) -> None:
        """Be a worker of the org of this name until `stop`; work that is under way ends."""


def choose_engine(settings: Settings) -> Engine:
    """The engine of `CONNECTOR_WORKERS`. Raises SettingsError if it needs a package that is not installed."""
    if settings.workers is WorkerEngine.CLUSTER:
        try:
            from connector.workers.cluster import ClusterEngine
        except ModuleNotFoundError:
            raise missing_engine_error() from None
        return ClusterEngine(settings)
    from connector.workers.embedded import EmbeddedEngine

    return EmbeddedEngine()
