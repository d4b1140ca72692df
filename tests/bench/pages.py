"""`python -m tests.bench.pages`: every page of the console with 100,000 orders and customers and 1,000 dead letters.

The orders are copies of those that the tests of the pages use: on hold, waiting for goods, to be picked, delivered,
returned; placed over 90 days, linked with an org, 1,000 of them refused for twelve causes and 2,000 due. Each has a
customer of its own, every tenth of them a Sørensen; values of 1,000 of their accounts are held since an undo. Each page
is loaded over HTTP some times, in turn, without a browser. `ms` are milliseconds until the page has arrived whole,
`cpu` those of the processor, of the service and of the client together; `kB` are sent bytes, compressed as browsers
ask. Pages that are slower than 200 ms or larger than 150 kB are marked; the undo of a run is planned without an org.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import aiohttp

from connector.log import configure
from connector.model.search_keys import email_key, name_words, phone_key
from connector.store import dead_letters, mapping_plans
from connector.store.engine import Store
from connector.store.tables import metadata
from connector.web.console.pages import PAGES
from tests.console.addresses import ADDRESSES
from tests.console.bad_data import put_orders
from tests.console.conftest import Console, running_console

SLOW_MS, LARGE_KB = 200, 150
DAYS, CAUSES = 90, 12
TEMPLATES = ("B-1", "B-2", "B-3", "B-4", "B-6", "N-1")
COPIED = ("orders", "order_lines", "waiting_lines", "order_events", "holds", "shipments", "returns", "invoices",
          "reservations", "journal", "links")  # fmt: skip

SEARCHES = {
    "/search": ("/search?q=M-", "/search?q=ann", "/search?q=sorensen+ann", "/search?q=1234", "/search?q=family77777"),
    "/orders": ("/orders?q=M-", "/orders?q=ann", "/orders?q=sorensen+ann", "/orders?q=family77777", "/orders?q=77777"),
}

_KEY = "'M-' || n.i"
_PERSON = "'P-' || n.i"
_SURNAME = "CASE n.i % 10 WHEN 0 THEN 'Sørensen' ELSE 'Family' || n.i END"
_PLACED = f"strftime('%Y-%m-%dT%H:%M:%S.000000+00:00', 'now', '-' || ((n.i * 7919) % ({DAYS} * 86400)) || ' seconds')"
_LATER = f"strftime('%Y-%m-%dT%H:%M:%S.000000+00:00', {_PLACED}, '+' || (t.sequence * 5) || ' hours')"
_NOW = "strftime('%Y-%m-%dT%H:%M:%S.000000+00:00', 'now', '-' || (n.i % 3000) || ' seconds')"
_REFUSAL = {
    "code": "STRING_TOO_LONG",
    "message": "data value too large",
    "source": "order.yaml:14",
    "fix": "Shorten it.",
}
_OTHER = {
    ("orders", "number"): _KEY,
    ("orders", "customer"): _PERSON,
    ("orders", "placed_at"): _PLACED,
    ("orders", "tracking_key"): "'T' || n.i",
    ("order_events", "at"): _LATER,
    ("order_events", "request"): "NULL",
    ("invoices", "number"): "'I-' || n.i",
    ("invoices", "issued_at"): _PLACED,
    ("links", "salesforce_id"): "'801' || printf('%012d', n.i)",
    ("journal", "at"): _PLACED,
}


@dataclass(frozen=True)
class Measured:
    path: str
    status: int
    p50_ms: float
    p95_ms: float
    cpu_ms: float
    kb: float

    @property
    def is_over(self) -> bool:
        return self.p95_ms > SLOW_MS or self.kb > LARGE_KB


async def multiply(store: Store, *, count: int, refused: int) -> None:
    """Copy the orders of the scene, `count` of them, by SQL."""
    await put_orders(store, lines=4)
    assert store.file is not None
    connection = sqlite3.connect(store.file)
    with connection:
        connection.execute("CREATE TEMP TABLE n (i INTEGER PRIMARY KEY, template TEXT)")
        rows = ((number, TEMPLATES[number % len(TEMPLATES)]) for number in range(count))
        connection.executemany("INSERT INTO n VALUES (?, ?)", rows)
        _add_customers(connection, refused)
        for name in COPIED:
            columns = [
                column.name for column in metadata.tables[name].columns if (name, column.name) != ("journal", "id")
            ]
            key = "number" if name == "orders" else "order_number" if "order_number" in columns else "key"
            of_orders = " AND t.entity = 'order'" if key == "key" else ""
            values = [_OTHER.get((name, column), _KEY if column == key else f't."{column}"') for column in columns]
            connection.execute(
                f"INSERT INTO {name} ({', '.join(f'{chr(34)}{column}{chr(34)}' for column in columns)})"
                f" SELECT {', '.join(values)} FROM n JOIN {name} t ON t.{key} = n.template{of_orders}"
            )
        refusal = json.dumps(_REFUSAL | {"field": "Order.Field%"})
        waiting = (
            "INSERT INTO outbox (entity, key, org, slot, lane, version, state, due_at, attempts, captured_at,"
            f" refused_at, refusal) SELECT 'order', {_KEY}, '', n.i % 64, 20, 1"
        )
        connection.execute(
            f"{waiting}, 'dead', {_NOW}, 1, {_NOW}, {_NOW}, replace(?, '%', n.i % {CAUSES}) FROM n WHERE n.i < ?",
            (refusal, refused),
        )
        connection.execute(
            f"{waiting}, 'due', {_NOW}, 0, {_NOW}, NULL, NULL FROM n WHERE n.i BETWEEN ? AND ?", (refused, 3 * refused)
        )
    connection.close()


def _add_customers(connection: sqlite3.Connection, held: int) -> None:
    """A customer for each order, with its account; of `held` accounts, a value that differs is held since an undo."""
    connection.execute(
        "INSERT INTO customers (number, name, email, phone, version, updated_at)"
        f" SELECT {_PERSON}, 'Ann ' || {_SURNAME}, 'p' || n.i || '@example.com', '0170' || (100000 + n.i), 1, {_NOW}"
        " FROM n"
    )
    people = connection.execute("SELECT number, name, email, phone FROM customers WHERE number LIKE 'P-%'").fetchall()
    words = ((number, word) for number, name, _, _ in people for word in name_words(name))
    connection.executemany("INSERT INTO customer_words (customer, word) VALUES (?, ?)", words)
    keys = ((number, email_key(email), phone_key(phone)) for number, _, email, phone in people)
    connection.executemany("INSERT INTO customer_searches (customer, email_key, phone_key) VALUES (?, ?, ?)", keys)
    connection.execute(
        "INSERT INTO links (org_id, entity, key, sobject, salesforce_id, snapshot, synced_at, held)"
        f" SELECT '00D', 'customer', {_PERSON}, 'Account', '001' || printf('%012d', n.i), ?, {_NOW},"
        " CASE WHEN n.i < ? THEN ? END FROM n",
        (json.dumps({"Name": "Ann", "Phone": "1"}), held, json.dumps({"Phone": "2"})),
    )


async def measure(console: Console, paths: Sequence[str], rounds: int) -> list[Measured]:
    jar = aiohttp.CookieJar(unsafe=True)
    limit = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(console.url, cookie_jar=jar, timeout=limit, auto_decompress=False) as client:
        async with client.post("/signin", data={"token": console.secret, "next": "/"}) as response:
            assert response.status == 200, await response.text()
        found: dict[str, list[tuple[float, float]]] = {path: [] for path in paths}
        sent: dict[str, tuple[int, int]] = {}
        for round_ in range(rounds + 1):
            for path in paths:
                began, cpu = time.perf_counter(), time.process_time()
                async with client.get(path) as response:
                    body = await response.read()
                took = (time.perf_counter() - began, time.process_time() - cpu)
                sent[path] = (response.status, len(body))
                if round_:  # the first one fills caches
                    found[path].append(took)
    return [
        Measured(
            path=path,
            status=sent[path][0],
            p50_ms=round(statistics.median(wall for wall, _ in took) * 1000, 1),
            p95_ms=round(sorted(wall for wall, _ in took)[max(0, -(-len(took) * 95 // 100) - 1)] * 1000, 1),
            cpu_ms=round(statistics.median(cpu for _, cpu in took) * 1000, 1),
            kb=round(sent[path][1] / 1000, 1),
        )
        for path, took in found.items()
    ]


async def run(count: int, refused: int, rounds: int, only: str) -> list[Measured]:
    with tempfile.TemporaryDirectory() as folder:
        fill = partial(multiply, count=count, refused=refused)
        async with running_console(Path(folder), fill) as console:
            async with console.store.reader() as connection:
                group = max(await dead_letters.group_by_cause(connection), key=lambda item: item.count)
                [plan] = await mapping_plans.list_latest(connection, 2)
            given = {
                page.path: (*ADDRESSES[page.path], *SEARCHES.get(page.path, ())) for page in PAGES if page.template
            }
            shown = [path for paths in given.values() for path in paths if only in path]
            paths = [path.format(cause=group.fingerprint, plan=plan.id) for path in shown]
            return await measure(console, paths, rounds)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.pages", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--dead-letters", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=20, help="loads of each page (%(default)s)")
    parser.add_argument("--only", default="", help="pages whose address contains this")
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    configure("ERROR")
    found = asyncio.run(run(wanted.orders, wanted.dead_letters, wanted.rounds, wanted.only))
    if wanted.json:
        print(json.dumps([asdict(item) for item in found]))
    else:
        print(f"{'address':60} {'status':>6} {'p50 ms':>8} {'p95 ms':>8} {'cpu ms':>8} {'kB':>7}")
        for item in found:
            mark = "  <-- over" if item.is_over else ""
            print(
                f"{item.path[:60]:60} {item.status:6} {item.p50_ms:8} {item.p95_ms:8} {item.cpu_ms:8} {item.kb:7}{mark}"
            )
        over = sum(item.is_over for item in found)
        print(f"{len(found)} pages, {over} slower than {SLOW_MS} ms (p95) or larger than {LARGE_KB} kB.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
