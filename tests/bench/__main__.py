"""`python -m tests.bench`: the same orders into fresh local orgs by `connector push` and by simple-salesforce.

Rounds take turns, so that a busy machine hits every contestant alike; figures are medians, ratios are to the connector.
FOLDER is a Northwind export (customers, products, orders, order_details, shippers as CSV); without it one of that shape
is made up. Every contestant's org is read back and must hold the same records, statuses and exact totals.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from tests.acceptance.export import Export, made_up
from tests.bench.comparison import CONNECTOR_NAME, CONTESTANTS, Run, run


def measure(export: Export, scratch: Path, *, names: list[str], rounds: int, latency_ms: int) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for round_ in range(rounds):
        for name in names:
            print(f"round {round_ + 1} of {rounds}: {name} …", file=sys.stderr, flush=True)
            runs[name].append(run(name, export, scratch / f"{name}-{round_}", latency_ms=latency_ms))
    return runs


def summary(runs: dict[str, list[Run]], orders: int) -> list[dict[str, float | str]]:
    def middle(name: str, figure: str) -> float:
        return statistics.median(getattr(item, figure) for item in runs[name])

    return [
        {
            "contestant": name,
            "calls": middle(name, "calls"),
            "calls_per_order": round(middle(name, "calls") / orders, 4),
            "orders_per_second": round(orders / middle(name, "seconds"), 2),
            "seconds": round(middle(name, "seconds"), 2),
            "cpu_seconds": round(middle(name, "cpu_seconds"), 2),
            "peak_mib": round(middle(name, "peak_mib")),
            "calls_ratio": round(middle(name, "calls") / middle(CONNECTOR_NAME, "calls"), 2),
            "seconds_ratio": round(middle(name, "seconds") / middle(CONNECTOR_NAME, "seconds"), 2),
            "cpu_ratio": round(middle(name, "cpu_seconds") / middle(CONNECTOR_NAME, "cpu_seconds"), 2),
        }
        for name in runs
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--orders", type=int, default=120, help="how many to make up without FOLDER (%(default)s)")
    parser.add_argument("--latency-ms", type=int, default=100, help="added by the org to every call (%(default)s)")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    names = [CONNECTOR_NAME, *(name for name in chosen.only if name != CONNECTOR_NAME)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        given = Export(folder=chosen.folder.resolve()) if chosen.folder else None
        export = given or made_up(folder / "export", orders=chosen.orders)
        orders = len(export.totals)
        runs = measure(export, folder, names=names, rounds=chosen.rounds, latency_ms=chosen.latency_ms)
        rows = summary(runs, orders)
        if chosen.json:
            print(json.dumps({"load": export.counts, "latency_ms": chosen.latency_ms, "contestants": rows}, indent=1))
            return 0
        print(f"\n{export.counts}, {chosen.latency_ms} ms a call, {chosen.rounds} round(s); all orgs hold the same.\n")
    head = ("contestant", "calls", "an order", "seconds", "CPU s", "MiB", "x calls", "x seconds", "x CPU")
    print(f"{head[0]:20}" + "".join(f"{title:>11}" for title in head[1:]))
    keys = ["calls", "calls_per_order", "seconds", "cpu_seconds", "peak_mib"]
    keys += ["calls_ratio", "seconds_ratio", "cpu_ratio"]
    for row in rows:
        print(f"{row['contestant']:20}" + "".join(f"{row[key]:>11}" for key in keys))
    return 0


if __name__ == "__main__":
    sys.exit(main())
