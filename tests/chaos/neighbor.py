"""`python -m tests.chaos.neighbor`: what one org's outage does to the changes of another org in the same processes.

Three processes work for two orgs on one PostgreSQL behind a PgBouncer. Changes of the default org are made one after
the other, and the time from the commit until the org has answered is measured: while the other org is well and has
nothing to do, then while it answers every call with 503 and all its orders wait. Rounds take turns, so that a busy
machine hits both alike; the figures are medians of the rounds. In the end, what waited must arrive.

Exit status 1 if a change is lost, doubled, or becomes a dead letter.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from connector.log import configure
from tests.chaos.cell import Cell, CellOptions, ChaosError, running_cell

PROCESSES = 3
SETTLE_SECONDS = 5.0
"""How long an outage lasts before it is measured: all processes have met it."""


async def measure(cell: Cell, given: argparse.Namespace) -> dict[str, Any]:
    await cell.save(given.orders)
    for _ in range(PROCESSES):
        await cell.processes.start()
    await cell.until_sent()
    other = cell.watches[1].org.org
    found: dict[str, list[float]] = {"both_well": [], "other_answers_503": []}
    cpu: dict[str, list[float]] = {name: [] for name in found}
    refused: list[int] = []
    for number in range(given.rounds):
        for name, times in found.items():
            is_out = name == "other_answers_503"
            before, calls = cell.cpu_seconds(), other.usage.calls
            if is_out:
                other.faults.status_count = 1_000_000
                await cell.change(cell.orders_of(1))
                await asyncio.sleep(SETTLE_SECONDS)
                before = cell.cpu_seconds()
            begun = time.monotonic()
            times.append(round(await cell.p95(0, number=given.changes, pause=given.pause), 3))
            cpu[name].append(round((cell.cpu_seconds() - before) / (time.monotonic() - begun), 3))
            if is_out:
                refused.append(other.usage.calls - calls)
                other.faults.status_count = 0
                await cell.push_germany()
                await cell.until_sent()
            print(f"… round {number + 1}: {name} {times[-1]} s", file=sys.stderr, flush=True)
    cell.check_orgs()
    medians = {name: statistics.median(times) for name, times in found.items()}
    return {
        "orders_that_wait": len(cell.orders_of(1)),
        "changes_measured_in_each_round": given.changes,
        "p95_seconds": {name: {"median": medians[name], "all": times} for name, times in found.items()},
        "ratio": round(medians["other_answers_503"] / medians["both_well"], 2),
        "cores_used_by_all_processes": {name: statistics.median(values) for name, values in cpu.items()},
        "calls_that_the_other_org_refused": refused,
    }


async def run(folder: Path, options: CellOptions, given: argparse.Namespace) -> dict[str, Any]:
    async with running_cell(folder, options) as cell:
        return {"engine": "cluster" if options.cluster else "embedded"} | await measure(cell, given)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.neighbor", description=__doc__)
    parser.add_argument("--orders", type=int, default=3000, help="orders of both orgs (3000)")
    parser.add_argument("--changes", type=int, default=100, help="measured in each half of a round (100)")
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between two of them (0.2)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (3)")
    CellOptions.add_arguments(parser)
    given = parser.parse_args()
    options = CellOptions(cluster=given.cluster, lease_seconds=given.lease_seconds)
    configure("CRITICAL")
    with tempfile.TemporaryDirectory(prefix="neighbor-") as folder:
        try:
            figures = asyncio.run(run(Path(folder), options, given))
        except (ChaosError, TimeoutError) as error:
            print(f"Failed: {error or type(error).__name__}")
            return 1
    print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
