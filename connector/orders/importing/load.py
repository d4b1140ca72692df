"""Import files into the store: read and check all rows, then store customers, products and whole orders.

A field that no row has keeps its stored value. An order with a bad line is not stored at all. An import that is stopped
while it reads has stored nothing; one that is stopped later keeps the batches that it has committed, and running it
again stores the rest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from connector.orders.importing.loader import Loader
from connector.orders.importing.profile import Profile, own_form
from connector.orders.importing.progress import ProgressReporter
from connector.orders.importing.reader import ObjectFile, Table
from connector.orders.importing.report import ImportReport
from connector.orders.importing.sources import find_sources
from connector.orders.importing.spool import Spool
from connector.orders.importing.stage import SpoolReader
from connector.store.engine import Store

BEAT_SECONDS = 0.05
"""The longest time between two points at which the import can be canceled."""


class _ProgressHeartbeat:
    def __init__(self, progress: ProgressReporter) -> None:
        self._progress = progress
        self._position = 0
        self._at = time.monotonic()

    async def beat(self, position: int) -> None:
        if position != self._position:
            self._progress.advance(max(position - self._position, 0))
            self._position = position
        now = time.monotonic()
        if now - self._at >= BEAT_SECONDS:
            await asyncio.sleep(0)  # lets a cancellation through
            self._at = time.monotonic()


OpenTarget = Callable[[Store], AbstractAsyncContextManager[Store]]


@asynccontextmanager
async def same_store(store: Store) -> AsyncIterator[Store]:
    yield store


async def import_files(
    store: Store,
    paths: Sequence[Path],
    profile: Profile | None,
    *,
    progress: ProgressReporter,
    report: ImportReport | None = None,
    open_target: OpenTarget = same_store,
) -> ImportReport:
    """Import `paths` and return the report.

    Raises UsageError, with nothing stored, if a file is not what the profile says. Pass `report` to see how far an
    import came that was stopped. `open_target` gets `store` once all is read, and gives the store to write to.
    """
    report = ImportReport() if report is None else report
    spool = Spool()
    try:
        await _read_sources(paths, profile or own_form(), spool, report, progress)
        report.expected = {kind: spool.count(kind) for kind in ("customers", "products", "orders")}
        async with open_target(store) as target:
            loader = Loader(target, spool, report, progress)
            await loader.store_customers()
            await loader.store_products()
            await loader.store_orders()
    finally:
        spool.close()
    return report


async def _read_sources(
    paths: Sequence[Path], profile: Profile, spool: Spool, report: ImportReport, progress: ProgressReporter
) -> None:
    sources = find_sources(paths, profile)
    names = sources.names()
    tables = {name: [Table(path, profile, names[path]) for path in files] for name, files in sources.tables.items()}
    objects = [ObjectFile(path, names[path]) for path in sources.objects]
    pulse = _ProgressHeartbeat(progress)
    stage = SpoolReader(spool, report, pulse)
    progress.begin("Reading", sum(path.stat().st_size for path in sources.paths), percent=True)
    if tables:
        await stage.read_tables(tables, profile)
    for each in objects:
        await stage.read_objects(each)
    spool.finish()
