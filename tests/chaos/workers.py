"""`python -m tests.chaos.workers`: three processes send orders to two orgs, on one PostgreSQL behind a PgBouncer.

Orders are placed, and changed again and again. One process is killed (-9) in the middle of its work, one is stopped
(SIGSTOP) in the middle of a transaction, for 20 seconds, and woken, and the database is restarted. Meanwhile no two
writes of one account may overlap, no order may go back to an earlier state, nothing may become a dead letter, no
process may end by itself; in the end each order must be in its org once, as it is here, and each process must have sent
some of the last changes. Printed are the share of each process, the API calls for each new order, and how long it took
until others worked on the partitions of the process that died or stood still.

Exit status 1 if something is not so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from connector.log import configure
from tests.chaos.cell import PARTITIONS, Cell, CellOptions, ChaosError, running_cell
from tests.chaos.freezing import stop_in_a_transaction

FROZEN_SECONDS = 20


class Trial:
    """What is done to the processes of a cell."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    async def run(self, number: int, processes: int) -> dict[str, Any]:
        cell = self._cell
        await cell.save(0)
        for _ in range(processes):
            await cell.processes.start()
        await cell.until_sent()
        figures: dict[str, Any] = {"processes": processes, "partitions": PARTITIONS, "orgs": len(cell.watches)}
        figures["new_orders"] = await self._place(number)
        figures["changed_orders"] = await self._change()
        figures["killed"] = await self._kill()
        figures["frozen"] = await self._freeze()
        figures["database_restarted"] = await self._restart_database()
        figures["changed_in_the_end"] = await self._change()
        cell.check_orgs()
        zeros = {"overlapping_writes": 0, "inversions": 0, "dead_letters": 0}
        return figures | zeros | {"orders_once_in_the_org": len(cell.orders)}

    async def _place(self, number: int) -> dict[str, Any]:
        """New orders, all at once: the calls for each, and the share of each process."""
        cell = self._cell
        size = "SELECT pg_database_size(current_database())"
        self._reset()
        calls, begun, before = cell.calls(), time.monotonic(), await asyncio.to_thread(cell.count, size)
        await cell.save(number)
        await cell.until_sent()
        seconds, after = time.monotonic() - begun, await asyncio.to_thread(cell.count, size)
        return {
            "orders": number,
            "seconds": round(seconds, 1),
            "calls_per_order": round((cell.calls() - calls) / number, 4),
            "database_bytes_per_order": round(((after or 0) - (before or 0)) / number),
            **self._shares(),
        }

    async def _change(self) -> dict[str, Any]:
        self._reset()
        begun = time.monotonic()
        await self._cell.change_all()
        await self._cell.until_sent()
        return {"orders": len(self._cell.orders), "seconds": round(time.monotonic() - begun, 1), **self._shares()}

    async def _kill(self) -> dict[str, float]:
        """Kill a process in the middle of its work; how long until others hold what it held."""
        cell = self._cell
        await cell.change_all()
        victim, held = await cell.busiest()
        begun = time.monotonic()
        await cell.processes.kill(victim)
        seconds = await cell.seconds_until_taken("drain:", victim.pid, begun)
        await cell.until_sent()
        await cell.processes.start()
        return {"partitions": held, "seconds_until_others_work_them": round(seconds, 1)}

    async def _freeze(self) -> dict[str, float]:
        """Stop a process in the middle of a transaction, let the others do its work, and wake it."""
        cell = self._cell
        await cell.change_all()
        victim, held = await cell.busiest()
        begun, transactions = await stop_in_a_transaction(cell, victim)
        seconds = await cell.seconds_until_taken("drain:", victim.pid, begun)
        changing = asyncio.create_task(cell.change_all())  # it may have to wait for locks of the one that stands still
        await asyncio.sleep(max(0.0, begun + FROZEN_SECONDS - time.monotonic()))
        victim.send_signal(signal.SIGCONT)
        frozen = time.monotonic() - begun
        await changing
        await cell.until_sent()
        return {
            "partitions": held,
            "open_transactions": transactions,
            "seconds": round(frozen, 1),
            "seconds_until_others_work_them": round(seconds, 1),
        }

    async def _restart_database(self) -> dict[str, float]:
        cell = self._cell
        await cell.change_all()
        await cell.busiest()
        await asyncio.to_thread(cell.made.take_away, 2.0)
        begun = time.monotonic()
        await cell.until_sent()
        return {"seconds_away": 2, "seconds_until_all_is_sent": round(time.monotonic() - begun, 1)}

    def _reset(self) -> None:
        for watch in self._cell.watches:
            watch.reset()

    def _shares(self) -> dict[str, Any]:
        """Of each process, to each org; every process has called every org."""
        watches, pids = self._cell.watches, [process.pid for process in self._cell.processes.alive]
        calls = [[watch.calls[pid] for pid in pids] for watch in watches]
        if not all(map(all, calls)):
            raise ChaosError(f"A process did not call an org: {calls}.")
        sums = [sum(of_process) for of_process in zip(*calls, strict=True)]
        sent = [[watch.orders[pid] for pid in pids] for watch in watches]
        orders = [sum(of_process) for of_process in zip(*sent, strict=True)]
        return {
            "calls_of_processes_by_org": calls,
            "orders_of_processes_by_org": sent,
            "largest_to_smallest": {"calls": _split(sums), "orders": _split(orders)},
        }


def _split(shares: Sequence[int]) -> str:
    """How the largest and the smallest share divide what both have: `55.3/44.7`."""
    largest = 100 * max(shares) / (max(shares) + min(shares))
    return f"{largest:.1f}/{100 - largest:.1f}"


async def run(folder: Path, options: CellOptions, *, orders: int, processes: int) -> dict[str, Any]:
    async with running_cell(folder, options) as cell:
        return {"engine": "cluster" if options.cluster else "embedded"} | await Trial(cell).run(orders, processes)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.workers", description=__doc__)
    parser.add_argument("--orders", type=int, default=3000, help="new orders (3000)")
    parser.add_argument("--processes", type=int, default=3, help="processes (3)")
    parser.add_argument("--orgs", type=int, choices=(1, 2), default=2, help="orgs (2)")
    CellOptions.add_arguments(parser)
    given = parser.parse_args(arguments)
    options = CellOptions(orgs=given.orgs, cluster=given.cluster, lease_seconds=given.lease_seconds)
    configure("CRITICAL")
    with tempfile.TemporaryDirectory(prefix="workers-") as folder:
        try:
            figures = asyncio.run(run(Path(folder), options, orders=given.orders, processes=given.processes))
        except (ChaosError, TimeoutError) as error:
            print(f"Failed: {error or type(error).__name__}")
            return 1
    print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
