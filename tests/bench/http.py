"""`python -m tests.bench.http [--against CHECKOUT]`: orders placed over HTTP, by one client and by eight at once.

Each side serves its own SQLite file by `connector serve`; rounds take turns, so that a busy machine hits both alike.
Figures are medians over the rounds. An order has two lines; the last column pages through orders, 50 a page.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiohttp import ClientSession

HERE = Path(__file__).resolve().parents[2]
SEED = 20
"""Customers and products that the orders refer to."""

Figures = dict[str, float]


@contextmanager
def served(checkout: Path, folder: Path) -> Iterator[tuple[str, str, int]]:
    """A server of `checkout` on a database of its own: its address, a token, its process ID."""
    python = next(path for path in (checkout / ".venv/bin/python", Path(sys.executable)) if path.exists())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "CONNECTOR_DATABASE_URL": f"sqlite:///{folder}/connector.db",
        "CONNECTOR_HTTP__PORT": str(port),
        "CONNECTOR_LOG_LEVEL": "warning",
    }

    def connector(*words: str) -> str:
        command = [str(python), "-m", "connector", *words]
        return subprocess.run(command, cwd=checkout, env=environment, check=True, capture_output=True, text=True).stdout

    connector("db", "upgrade")
    token = connector("tokens", "create", "--role", "ops", "--name", "bench").strip()
    server = subprocess.Popen(
        [str(python), "-m", "connector", "serve"], cwd=checkout, env=environment, stdout=subprocess.DEVNULL
    )
    try:
        yield f"http://127.0.0.1:{port}", token, server.pid
    finally:
        server.terminate()
        server.wait(30)


def cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(address: str, token: str, process: int, orders: int) -> Figures:
    async with ClientSession(address, headers={"Authorization": f"Bearer {token}"}) as client:
        for _ in range(200):
            try:
                async with client.get("/readyz") as response:
                    if response.status == 200:
                        break
            except OSError:
                await asyncio.sleep(0.1)
        for number in range(SEED):
            await put(client, f"/api/v1/customers/C{number}", {"name": f"Customer {number}", "country": "US"})
            prices = [{"currency": "USD", "unit_price": "9.50"}]
            await put(client, f"/api/v1/products/SKU-{number}", {"name": f"Product {number}", "prices": prices})
        await place(client, "warm", 20, 1)
        figures: Figures = {}
        for clients in (1, 8):
            before = cpu_seconds(process)
            took = await place(client, f"by-{clients}", orders, clients)
            total = sum(took) / clients
            figures[f"orders/s, {clients} clients"] = orders / total
            figures[f"ms each, {clients} clients"] = statistics.median(took) * 1000
            figures[f"CPU ms each, {clients} clients"] = (cpu_seconds(process) - before) * 1000 / orders
        pages = []
        for _ in range(20):
            began = time.perf_counter()
            async with client.get("/api/v1/orders?limit=50") as response:
                assert len((await response.json())["orders"]) == 50
            pages.append(time.perf_counter() - began)
        figures["ms a page of 50"] = statistics.median(pages) * 1000
        return figures


async def put(client: ClientSession, path: str, body: object) -> None:
    async with client.put(path, json=body) as response:
        assert response.status in {200, 201}, await response.text()


async def place(client: ClientSession, prefix: str, count: int, clients: int) -> list[float]:
    """How long each order took, in seconds."""
    took: list[float] = []

    async def one_client(first: int) -> None:
        for number in range(first, count, clients):
            lines = [{"line": line, "sku": f"SKU-{(number + line) % SEED}", "quantity": str(line)} for line in (1, 2)]
            body = {"number": f"{prefix}-{number}", "customer": f"C{number % SEED}", "currency": "USD", "lines": lines}
            began = time.perf_counter()
            async with client.post("/api/v1/orders", json=body) as response:
                assert response.status == 201, await response.text()
            took.append(time.perf_counter() - began)

    await asyncio.gather(*(one_client(first) for first in range(clients)))
    return took


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.http", description=__doc__)
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="another checkout, with its own .venv")
    parser.add_argument("--orders", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    sides = {"here": HERE} | ({"there": options.against.resolve()} if options.against else {})
    runs: dict[str, list[Figures]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, checkout in sides.items():
            with tempfile.TemporaryDirectory() as folder, served(checkout, Path(folder)) as (address, token, process):
                runs[name].append(asyncio.run(measure(address, token, process, options.orders)))
    for figure in runs["here"][0]:
        here, *there = (statistics.median(run[figure] for run in runs[name]) for name in sides)
        ratio = f"   {there[0]:8.1f} there   here / there {here / there[0]:.2f}" if there else ""
        print(f"{figure:26} {here:8.1f} here{ratio}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
