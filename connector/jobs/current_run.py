"""The inbound run of a listener, which follows the mapping files.

a file is saved -> the next look sees it, the one after it that it is complete -> a run by the new mappings
an edit that cannot be used, or that does not fit the org -> reported once; the run by the former mappings goes on
"""

from __future__ import annotations

import asyncio
from datetime import datetime

from connector.errors import MappingError
from connector.jobs.inbound_run import InboundJobContext, InboundRun
from connector.jobs.mappings.versions import RECHECK_AFTER
from connector.log import get_logger
from connector.mapping.version import MappingVersion

log = get_logger(__name__)


class CurrentRun:
    """The run by the mapping files as they are now, for one listener."""

    def __init__(self, context: InboundJobContext) -> None:
        self._context = context
        self._run: InboundRun | None = None
        self._used: MappingVersion | None = None
        self._rejected: tuple[MappingVersion, datetime] | None = None  # a version that did not fit the org, and when
        self._lock = asyncio.Lock()

    async def begin(self) -> InboundRun:
        """Ask the org who it is, and return the run. Raises what `InboundRun.begin` raises; not because of an edit of
        the files, if this listener has used them before it."""
        async with self._lock:
            await self._context.mappings.check_files(self._context.store)
            self._run = None
            return await self._build()

    async def get(self) -> InboundRun:
        """Return the run; another one if the files have changed. The files are only looked at, so this is cheap."""
        async with self._lock:
            await self._context.mappings.check_files(self._context.store)
            version = await self._context.mappings.find(self._context.store)
            if self._run is not None and (self._is_used(version) or self._is_rejected(version)):
                return self._run
            return await self._build()

    @property
    def sobjects(self) -> tuple[str, ...]:
        """The objects that the present run receives."""
        return () if self._run is None else self._run.sobjects

    def _is_used(self, version: MappingVersion) -> bool:
        return self._used is not None and self._used.digest == version.digest

    def _is_rejected(self, version: MappingVersion) -> bool:
        if self._rejected is None or self._rejected[0].digest != version.digest:
            return False
        return self._context.store.clock.now() < self._rejected[1] + RECHECK_AFTER

    async def _build(self) -> InboundRun:
        context, version = self._context, await self._context.mappings.find(self._context.store)
        try:
            run = await InboundRun.begin(context, mappings=version.mappings)
        except MappingError as error:
            if self._used is None or self._is_used(version):
                raise
            await self._reject(version, error)
            if self._run is None:
                self._run = await InboundRun.begin(context, mappings=self._used.mappings)
            return self._run
        if run.filter_problem is not None:
            log.error("adoption filter cannot be used", error=run.filter_problem.message, hint=run.filter_problem.hint)
        if self._rejected is not None:
            self._rejected = None
            await context.mappings.report(context.store, None)
        if self._used is not None and not self._is_used(version):
            log.info("listener follows edited mappings", digest=version.short)
        self._run, self._used = run, version
        return run

    async def _reject(self, version: MappingVersion, error: MappingError) -> None:
        is_new = self._rejected is None or self._rejected[0].digest != version.digest
        self._rejected = version, self._context.store.clock.now()
        if is_new:
            used = None if self._used is None else self._used.short
            log.warning("listener keeps the former mappings", digest=used)
        await self._context.mappings.report(self._context.store, error)
