"""The claims, one function a scenario: each does the thing with programs and yields (what, wanted, found, holds)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.acceptance.export import Export, Rows
from tests.acceptance.sides import PROFILE, Connector, Org, an_org, wire_tap

Claim = tuple[str, str, str, bool]
Scenario = Callable[[Export, Path], Iterator[Claim]]
MOST_CALLS = 40
HALF_A_CENT = Decimal("0.005")
PUSHES = 6  # after a lost response a push may have to be repeated; never more often than this


def same(what: str, wanted: object, found: object) -> Claim:
    return what, str(wanted), str(found), wanted == found


def everything_in(export: Export, org: Org) -> Iterator[Claim]:
    found = org.read_back()
    wanted = export.totals
    exact = sum(1 for key, total in wanted.items() if Decimal(found["totals"].get(key, "-1")) == total)
    yield same("records in the org", export.counts, found["counts"])
    yield same("orders by status", dict(sorted(export.statuses.items())), dict(sorted(found["statuses"].items())))
    yield same("orders whose Exact_Total__c equals the source", len(wanted), exact)
    yield same("keys that exist twice", [], found["twice"])


def the_main_job(export: Export, folder: Path) -> Iterator[Claim]:
    """Import, push, read back; push again; change one field."""
    with an_org() as org:
        connector = Connector(org, folder)
        connector.import_(export.folder)
        again = connector.import_(export.folder)
        kinds = [kind for kind in ("customer", "product", "order") if kind in again]
        yield same("entities changed by a second import", 0, sum(_changed(again[kind]) for kind in kinds))
        planned = connector.told("push", "--dry-run")
        before = org.usage()
        connector("push")
        after = org.usage()
        yield from everything_in(export, org)
        yield from _total_amounts(export, org)
        calls = after["api_calls"] - before["api_calls"]
        writes = after["write_calls"] - before["write_calls"]
        yield "API calls of the push, as the org counts", f"at most {MOST_CALLS}", str(calls), calls <= MOST_CALLS
        yield same("write calls against those a dry run foretold", planned["api_calls"]["writes"], writes)
        connector("push")
        yield same("write calls of a second push", 0, org.usage()["write_calls"] - after["write_calls"])
        yield from _one_field(export, connector, org, folder)


def _changed(saved: dict[str, int]) -> int:
    return saved["created"] + saved["updated"]


def _total_amounts(export: Export, org: Org) -> Iterator[Claim]:
    """The org's own TotalAmount: the sum of unit prices in whole cents, so half a cent a piece away at most."""
    pieces: dict[str, int] = dict.fromkeys(export.totals, 0)
    for row in export.rows("order_details"):
        pieces[row["OrderID"]] += int(row["Quantity"])
    found = org.read_back()["total_amounts"]
    near = [
        key for key, total in export.totals.items() if abs(Decimal(found[key]) - total) <= HALF_A_CENT * pieces[key]
    ]
    yield same("orders whose TotalAmount is within half a cent a piece", len(pieces), len(near))


def _one_field(export: Export, connector: Connector, org: Org, folder: Path) -> Iterator[Claim]:
    def move(orders: Rows) -> None:
        orders[0]["ShipCity"] = "Elsewhere"

    connector.import_(export.altered(folder / "moved", orders=move).folder)
    before = org.usage()["write_calls"]
    with wire_tap(org) as (address, seen):
        direct = connector.environment["CONNECTOR_SALESFORCE__LOGIN_URL"]
        connector.environment["CONNECTOR_SALESFORCE__LOGIN_URL"] = address
        connector("push")
        connector.environment["CONNECTOR_SALESFORCE__LOGIN_URL"] = direct
    yield same("write calls for one changed field", 1, org.usage()["write_calls"] - before)
    bodies = [json.loads(body) for method, path, body in seen if method != "GET" and "/sobjects" in path]
    sent = [sorted(set(row) - {"attributes", "id", "Last_Synced__c"}) for body in bodies for row in body["records"]]
    yield same("fields in that call, besides the time of the write", [["ShippingCity"]], sent)


def refusals(export: Export, folder: Path) -> Iterator[Claim]:
    """Three orders the org cannot take: three dead letters that say so, every other order in."""
    orders = export.rows("orders")
    no_price, long_name, currency = (row["OrderID"] for row in orders[1:4])

    def add_currency(rows: Rows) -> None:
        for row in rows:
            row["Currency"] = "XTS" if row["OrderID"] == currency else "USD"
            if row["OrderID"] == long_name:
                row["ShipName"] = "n" * 300

    def add_product(rows: Rows) -> None:
        rows.append({**rows[0], "ProductID": "9999", "ProductName": "Without a price", "UnitPrice": ""})

    def use_it(rows: Rows) -> None:
        next(row for row in rows if row["OrderID"] == no_price)["ProductID"] = "9999"

    altered = export.altered(folder / "altered", orders=add_currency, products=add_product, order_details=use_it)
    profile = folder / "profile.yaml"
    parts = PROFILE.read_text(encoding="utf-8").split("\norders:\n")
    parts[1] = parts[1].replace("currency: {const: USD}", "currency: Currency", 1)
    profile.write_text("\norders:\n".join(parts), encoding="utf-8")
    with an_org() as org:
        connector = Connector(org, folder)
        connector("import", altered.folder, "--profile", profile)
        connector("push", status=1)
        letters = {letter["key"]: letter for letter in connector.told("dead-letters", "list")}
        yield same("dead letters", sorted([no_price, long_name, currency]), sorted(letters))
        for key, word in ((no_price, "9999"), (long_name, "Ship_To_Name__c"), (currency, "XTS")):
            letter = letters.get(key, {})
            said = f"{letter.get('field')}: {letter.get('message')} {letter.get('fix')}"
            yield f"dead letter of order {key}", f"names {word}", said, word in said
        yield same("orders in", len(orders) - 3, org.read_back()["counts"]["Order"])


def kill_9(export: Export, folder: Path) -> Iterator[Claim]:
    """Killed twice in the middle of the push, then pushed again."""
    with an_org() as org:
        connector = Connector(org, folder)
        connector.import_(export.folder)
        org.ask("POST", "/_org/faults", {"latency_ms": 100})
        alive = [
            connector.push_killed_when(lambda: org.usage()["write_calls"] > 0),
            connector.push_killed_when(lambda: org.count("Order") > 0),
        ]
        there = org.count("Order")
        yield "killed in the middle", "twice", f"{sum(alive)} times", sum(alive) == 2
        yield "orders in the org by then", "some, not all", str(there), 0 < there < export.counts["Order"]
        org.ask("DELETE", "/_org/faults")
        connector("push")
        yield from everything_in(export, org)


def lost_response(export: Export, folder: Path) -> Iterator[Claim]:
    """The org commits and the connection drops, for five writes in turn."""
    with an_org() as org:
        connector = Connector(org, folder)
        connector.import_(export.folder)
        org.ask("POST", "/_org/faults", {"lost_response": 5})
        pushes = 1
        while _status(connector) and pushes < PUSHES:
            pushes += 1
        left: dict[str, Any] = org.ask("GET", "/_org/faults")
        yield same("responses still to lose", 0, left["lost_response"])
        yield "pushes until all is in", f"fewer than {PUSHES}", str(pushes), pushes < PUSHES
        yield from everything_in(export, org)


def the_lifecycle(export: Export, folder: Path) -> Iterator[Claim]:
    """Imported orders are where their export left them, and go on from there; the org shows each step."""
    carriers = {row["ShipperID"]: row["CompanyName"] for row in export.rows("shippers")}
    orders = export.rows("orders")
    shipped = {
        row["OrderID"]: (row["ShippedDate"][:10], carriers[row["ShipVia"]]) for row in orders if row["ShippedDate"]
    }
    waiting = next(row["OrderID"] for row in orders if not row["ShippedDate"])
    lines = [row for row in export.rows("order_details") if row["OrderID"] == waiting]
    on_its_way = next(iter(shipped))
    with an_org() as org:
        connector = Connector(org, folder)
        connector.import_(export.folder)
        connector("push")
        found = org.read_back()
        there = {key: (life[3], life[4]) for key, life in found["lives"].items() if life[:2] == ["shipped", "shipped"]}
        yield same("orders shipped, on the day and by the carrier of the export", len(shipped), _equal(shipped, there))
        late = {key for key, life in found["lives"].items() if life[:2] == ["placed", "unfulfilled"]}
        yield same("orders that wait", len(orders) - len(shipped), len(late - shipped.keys()))
        kept = [key for key in found["to_ship"] if key.rpartition("-")[0] in shipped]
        yield same("lines of shipped orders with another quantity shipped", [], kept)

        connector("stock", "count", "EAST", *(f"{row['ProductID']}={row['Quantity']}" for row in lines))
        due = connector.told("show", "order", on_its_way)["here"]["amount_due"]
        for words in (("deliver",), ("invoice", "--amount", due), ("capture", "--amount", due)):
            connector("act", on_its_way, *words)
        for words in (("verify",), ("confirm",), ("allocate",), ("pick",), ("ship", "--carrier", "Swift Post")):
            connector("act", waiting, *words)
        connector("act", waiting, "pick", status=1)
        connector("push")
        lives = org.read_back()["lives"]
        yield same(
            "one of them delivered, invoiced and paid", ["completed", "delivered", "paid"], lives[on_its_way][:3]
        )
        yield same("what it still owes", "0.0", str(lives[on_its_way][5]))
        yield same("one that waited", ["shipped", "shipped", "unpaid"], lives[waiting][:3])
        yield same("its carrier", "Swift Post", lives[waiting][4])
        left = [row for row in connector.told("stock", "list") if row["on_hand"] != "0" or row["reserved"] != "0"]
        yield same("stock that is left of what it needed", [], left)


def _equal(wanted: dict[str, Any], found: dict[str, Any]) -> int:
    return sum(1 for key, value in wanted.items() if found.get(key) == value)


def _status(connector: Connector) -> bool:
    """Push once; whether something is still not in sync."""
    told = connector.told("push", status=None)
    return not told["in_sync"]


SCENARIOS: tuple[Scenario, ...] = (
    the_main_job,
    refusals,
    kill_9,
    lost_response,
    the_lifecycle,
)
