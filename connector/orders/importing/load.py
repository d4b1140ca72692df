"""One import from files to store: read and check everything, then store customers, products and whole orders.

What a row does not mention stays as it is stored; an order with a bad line is left out whole. An import that is stopped
while it reads has stored nothing; later, each batch that was committed stands, and the same import does the rest.
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
from connector.orders.importing.reader import Objects, Table
from connector.orders.importing.report import ImportReport
from connector.orders.importing.sources import find_sources
from connector.orders.importing.spool import Spool
from connector.orders.importing.stage import Stage
from connector.store.engine import Store

BEAT_SECONDS = 0.05
"""Between two chances for somebody to end it."""


class _Pulse:
    def __init__(self, watcher: ProgressReporter) -> None:
        self._watcher = watcher
        self._position = 0
        self._at = time.monotonic()

    async def beat(self, position: int) -> None:
        if position != self._position:
            self._watcher.advance(max(position - self._position, 0))
            self._position = position
        now = time.monotonic()
        if now - self._at >= BEAT_SECONDS:
            await asyncio.sleep(0)  # whoever wants to cancel us gets his turn
            self._at = time.monotonic()


StoreFor = Callable[[Store], AbstractAsyncContextManager[Store]]


@asynccontextmanager
async def itself(store: Store) -> AsyncIterator[Store]:
    yield store


async def import_files(
    store: Store,
    paths: Sequence[Path],
    profile: Profile | None,
    *,
    watcher: ProgressReporter,
    report: ImportReport | None = None,
    into: StoreFor = itself,
) -> ImportReport:
    """Import `paths`. UsageError, and nothing stored, for files that cannot be read as what they should be.

    `report` shows how far it came, if it does not come to its end. `into` is given the store once all is read: what it
    makes of it is written to.
    """
    report = ImportReport() if report is None else report
    spool = Spool()
    try:
        await _read(paths, profile or own_form(), spool, report, watcher)
        report.expected = {kind: spool.count(kind) for kind in ("customers", "products", "orders")}
        async with into(store) as target:
            loader = Loader(target, spool, report, watcher)
            await loader.customers()
            await loader.products()
            await loader.orders()
    finally:
        spool.close()
    return report


async def _read(
    paths: Sequence[Path], profile: Profile, spool: Spool, report: ImportReport, watcher: ProgressReporter
) -> None:
    sources = find_sources(paths, profile)
    names = sources.names()
    tables = {name: [Table(path, profile, names[path]) for path in files] for name, files in sources.tables.items()}
    objects = [Objects(path, names[path]) for path in sources.objects]
    pulse = _Pulse(watcher)
    stage = Stage(spool, report, pulse)
    watcher.begin("Reading", sum(path.stat().st_size for path in sources.paths), percent=True)
    if tables:
        await stage.tables(tables, profile)
    for each in objects:
        await stage.objects(each)
    spool.finish()
