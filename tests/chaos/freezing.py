"""Stops a process of a cell (SIGSTOP) while it holds locks of the database, which is the worst moment."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time

from tests.chaos.cell import Cell

TRIES = 200
STANDS_STILL = """
SELECT count(*) FROM pg_stat_activity
WHERE state = 'idle in transaction' AND now() - state_change > interval '0.1 s'
"""


async def stop_in_a_transaction(cell: Cell, victim: subprocess.Popen[bytes]) -> tuple[float, int]:
    """Stop a process in the middle of a transaction, if it is found in one. Returns when, and how many transactions of
    the database stand still."""
    for attempt in range(TRIES):
        begun = time.monotonic()
        victim.send_signal(signal.SIGSTOP)
        await asyncio.sleep(0.15)
        found = await asyncio.to_thread(cell.count, STANDS_STILL) or 0
        if found or attempt + 1 == TRIES:
            break
        victim.send_signal(signal.SIGCONT)
        await asyncio.sleep(0.02)
        if not any(pid == victim.pid for _, pid in await asyncio.to_thread(cell.owners, "drain:")):
            await cell.change_all()  # it has sent everything meanwhile
            await cell.busiest()
    return begun, found
