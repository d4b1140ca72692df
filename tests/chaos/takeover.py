"""`python -m tests.chaos.takeover`: how long until another process works what one that is gone has held.

Three processes with the roles `worker` and `listener` on one org and one PostgreSQL behind a PgBouncer. In each round
all orders are changed, and the process that holds the topics is taken away while it holds partitions, too: in one half
of the rounds it is killed (-9), and in the other half it is stopped for good in the middle of a transaction (SIGSTOP),
as by a pull of the plug: its connections stay open and nobody answers. Measured is the time until others hold all its
partitions with something to do, all its topics, and until everything is sent.

Exit status 1 if a write overlaps another one, an order goes back to an earlier state, or something is lost or doubled.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from connector.log import configure
from tests.chaos.cell import Cell, CellOptions, ChaosError, running_cell
from tests.chaos.freezing import stop_in_a_transaction
from tests.flow.pubsub import until

PROCESSES = 3
LONGEST = 300.0


class Trial:
    """Rounds in which a process is taken away."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    async def run(self, orders: int, rounds: int) -> dict[str, Any]:
        cell = self._cell
        await cell.save(orders)
        for _ in range(PROCESSES):
            await cell.processes.start()
        await cell.until_sent()
        took: dict[str, dict[str, list[float]]] = {}
        for number in range(rounds):
            for how in ("killed", "plug_pulled"):
                found = await self._take_away(frozen=how == "plug_pulled")
                kind = took.setdefault(how, defaultdict(list))
                for what, seconds in found.items():
                    kind[what].append(round(seconds, 1))
                print(f"… round {number + 1}: {how} {found}", file=sys.stderr, flush=True)
        cell.check_orgs()
        medians = {
            how: {what: {"median": statistics.median(all_), "all": all_} for what, all_ in kind.items()}
            for how, kind in took.items()
        }
        return {"orders": orders, "rounds": rounds, "seconds_until": medians}

    async def _take_away(self, *, frozen: bool) -> dict[str, float]:
        cell = self._cell
        await cell.change_all()
        victim = await self._holder_of_both()
        if frozen:
            begun, _ = await stop_in_a_transaction(cell, victim)
        else:
            begun = time.monotonic()
            victim.kill()
        cell.processes.alive.remove(victim)
        partitions, topics, sent = await asyncio.gather(
            cell.seconds_until_taken("drain:", victim.pid, begun),
            cell.seconds_until_taken("listen:", victim.pid, begun),
            self._sent(begun),
        )
        victim.kill()
        await asyncio.to_thread(victim.wait)
        await cell.processes.start()
        return {"partitions_at_work": partitions, "topics_at_work": topics, "all_sent": sent}

    async def _sent(self, since: float) -> float:
        await self._cell.until_sent()
        return time.monotonic() - since

    async def _holder_of_both(self) -> subprocess.Popen[bytes]:
        """The process with most topics, once it holds a partition, too."""
        cell, found = self._cell, list[int]()

        async def known() -> bool:
            topics = Counter(pid for _, pid in await asyncio.to_thread(cell.owners, "listen:"))
            alive = {process.pid for process in cell.processes.alive}
            busy = {pid for _, pid in await asyncio.to_thread(cell.owners, "drain:")}
            found[:] = [pid for pid, _ in topics.most_common() if pid in alive & busy][:1]
            if not found and await asyncio.to_thread(cell.count, "SELECT count(*) FROM outbox") == 0:
                await cell.change_all()  # it had nothing to do in time
            return bool(found)

        await until(known, seconds=LONGEST)
        return cell.processes.of(found[0])


async def run(folder: Path, options: CellOptions, *, orders: int, rounds: int) -> dict[str, Any]:
    async with running_cell(folder, options) as cell:
        settings = {
            "engine": "cluster" if options.cluster else "embedded", "lease_seconds": options.lease_seconds
        }  # fmt: skip
        return settings | await Trial(cell).run(orders, rounds)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.takeover", description=__doc__)
    parser.add_argument("--orders", type=int, default=1500, help="orders that are changed in each round (1500)")
    parser.add_argument("--rounds", type=int, default=3, help="each takes two processes away (3)")
    CellOptions.add_arguments(parser)
    given = parser.parse_args()
    options = CellOptions(
        roles="worker,listener", orgs=1, cluster=given.cluster, lease_seconds=given.lease_seconds
    )  # fmt: skip
    configure("CRITICAL")
    with tempfile.TemporaryDirectory(prefix="takeover-") as folder:
        try:
            figures = asyncio.run(run(Path(folder), options, orders=given.orders, rounds=given.rounds))
        except (ChaosError, TimeoutError) as error:
            print(f"Failed: {error or type(error).__name__}")
            return 1
    print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
