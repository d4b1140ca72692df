"""The service: edited mappings, several workers on one database, a slow machine."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from tests.acceptance.sides import ROOT, an_org
from tests.cases.lab import Case, Claim, Lab, customer, holds, line, order, product, same, wait_until
from tests.cases.outbound import query


def _many(lab: Lab, orders: int) -> None:
    lab.bring(
        customers=[customer(f"K{n}") for n in range(orders)], products=[product("S")],
        orders=[order(f"T{n}", f"K{n}") for n in range(orders)],
        order_lines=[line(f"T{n}", 1, "S") for n in range(orders)],
    )  # fmt: skip


def edited_mapping_is_followed(folder: Path) -> Iterator[Claim]:
    """A running service follows it without a restart, and never undoes what `resync` has sent."""
    with an_org() as org:
        lab = Lab(folder)
        mappings = folder / "mappings"
        shutil.copytree(ROOT / "mappings", mappings)
        lab.settings["MAPPINGS_DIR"] = str(mappings)
        lab.point_to(org.banner)
        lab.must("db", "upgrade")
        _many(lab, 3)
        file = mappings / "customer.yaml"
        text = file.read_text()
        name = next(row for row in text.splitlines() if row.strip().startswith("Name:"))
        found = "SELECT Name FROM Account"
        with lab.service() as log:
            wait_until(lambda: org.count("Order") == 3, 40)
            file.write_text(text.replace(name, name.replace("name", "number", 1) if "name" in name else name))
            lab("resync", "customer")
            lab("push")
            arrived = wait_until(lambda: sorted(row["Name"] for row in query(org, found)) == ["K0", "K1", "K2"], 20)
            yield holds("names after the edit and a resync", query(org, found), arrived, "the keys")
            lab.bring("again", customers=[customer(f"K{n}", phone="+1 555 0100") for n in range(3)])
            phones = wait_until(lambda: len(query(org, "SELECT Id FROM Account WHERE Phone != null")) == 3, 20)
            time.sleep(3)
            kept = sorted(row["Name"] for row in query(org, found))
            yield same("after a change that the service sends", (True, ["K0", "K1", "K2"]), (phones, kept))
            file.write_text("entity: [\n")
            time.sleep(3)
            lab.bring("third", orders=[order("T9", "K0")], order_lines=[line("T9", 1, "S")])
            time.sleep(3)
            said = lab("status").text + log.read_text()
            yield holds("a broken edit is said with its place", said[-400:], "customer.yaml:" in said)
            file.write_text(text)
            yield holds(
                "mended, it goes on", org.count("Order"), wait_until(lambda: org.count("Order") == 4, 30), "4 orders"
            )


def three_pushes_at_once(folder: Path) -> Iterator[Claim]:
    """All of them work, none fails, and nothing is sent twice."""
    with an_org() as org:
        lab = Lab(folder)
        lab.point_to(org.banner)
        lab.must("db", "upgrade")
        _many(lab, 2000)
        org.ask("POST", "/_org/faults", {"latency_ms": 400})
        before = org.usage()["write_calls"]
        processes = [lab.start("push", "--json") for _ in range(3)]
        statuses = [process.wait(120) for process in processes]
        calls = org.usage()["write_calls"] - before
        yield same("exit statuses", [0, 0, 0], statuses)
        yield same("orders in the org, dead letters", (2000, []), (org.count("Order"), lab.refused()))
        yield holds("write calls", calls, calls <= 120, "at most 120")


def push_beside_the_service(folder: Path) -> Iterator[Claim]:
    """Neither of them fails."""
    with an_org() as org:
        lab = Lab(folder)
        lab.point_to(org.banner)
        lab.must("db", "upgrade")
        org.ask("POST", "/_org/faults", {"latency_ms": 200})
        with lab.service() as log:
            _many(lab, 500)
            result = lab("push", "--json")
            everything = wait_until(lambda: org.count("Order") == 500, 60)
            yield same("exit status, orders", (0, True), (result.status, everything))
        failed = [row for row in log.read_text().splitlines() if json.loads(row).get("level") in {"error", "critical"}]
        yield same("errors in the service's log", [], failed)


CASES: tuple[Case, ...] = (edited_mapping_is_followed, three_pushes_at_once, push_beside_the_service)
