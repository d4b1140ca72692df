"""Orders: a complete history, keys that look alike, and one order placed by many at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.acceptance.sides import an_org
from tests.cases.api import Api, serving
from tests.cases.lab import Case, Claim, Lab, holds, same

FOREIGN: tuple[tuple[str, dict[str, Any]], ...] = (
    ("authorize", {"details": {"freight": "50", "tax_rate": "0.5"}}),
    ("verify", {"details": {"freight": "50"}}),
    ("capture", {"line_edits": {"1": {"sku": "A", "quantity": 9}}}),
    ("change", {"details": {"po_number": "P"}, "hold": "manual"}),
    ("confirm", {"hold": "manual"}),
    ("invoice", {"lines": {"1": 1}}),
    ("hold", {"hold": "manual", "amount": 5}),
    ("refund", {"shipment": 1}),
    ("cancel", {"carrier": "UPS"}),
    ("allocate", {"status": "delivered"}),
)
"""What an action does not speak of."""


def fields_of_other_actions(folder: Path) -> Iterator[Claim]:
    """They are rejected by name over HTTP and on the command line, and nothing is changed."""
    lab = Lab(folder)
    lab.must("db", "upgrade")
    with serving(lab) as api:
        api.place("H-1", "ANN", 3)
        api.act("H-1", "hold", hold="manual")
        before = api("GET", "/orders/H-1")[1]
        for action, body in FOREIGN:
            name = next(key for key in body if key != "hold" or action != "hold") if action != "change" else "hold"
            name = "amount" if action == "hold" else name
            status, problem = api.act("H-1", action, **body)
            yield holds(
                f"{action} with {', '.join(body)}",
                f"{status} {problem}",
                400 <= status < 500 and name in str(problem),
                name,
            )
        yield same("the order afterwards", before, api("GET", "/orders/H-1")[1])
    for words in (
        ("authorize", "--set", "freight=50", "--set", "tax_rate=0.5"), ("verify", "--hold", "manual"),
        ("capture", "--line", "1=1"), ("change", "--set", "po_number=P", "--hold", "manual"),
    ):  # fmt: skip
        result = lab("act", "H-1", *words)
        option = words[-2]
        yield holds(
            f"act {' '.join(words)}", result.text.strip(), result.status in (1, 2) and option in result.text, option
        )
    missing = lab("act", "H-1", "release")
    yield holds("act release names the option", missing.text.strip(), "--hold" in missing.text, "--hold")
    text = lab("act", "--help").out
    listed = ("verify", "request_return", "address", "fraud", "damaged", "in_transit", "--set", "promised_on")
    yield same("not listed in act --help", [], [word for word in listed if word not in text])


def split_keeps_the_header(folder: Path) -> Iterator[Claim]:
    """The split order has the details of the original order."""
    lab = Lab(folder)
    lab.must("db", "upgrade")
    header = {
        "service_level": "express", "po_number": "PO-7", "notes": "Ring twice", "promised_on": "2030-01-31",
        "channel": "phone", "tax_rate": "0.19", "ship_to_street": "9 Side Road", "ship_to_city": "Salem",
        "ship_to_state": "OR", "ship_to_postal_code": "97301", "ship_to_country": "USA", "delivery_note": "Back door",
    }  # fmt: skip
    with serving(lab) as api:
        status, order = api.place("S-1", "ANN", 4, **header)
        yield same("placed", 201, status)
        api.act("S-1", "verify")
        status, _ = api.act("S-1", "split", lines={"1": 2})
        yield same("split", 200, status)
        orders = {item["number"]: item for item in api("GET", "/orders")[1]["orders"]}
        [part] = [item for number, item in orders.items() if number != "S-1"]
        lost = [name for name in header if part[name] != order[name]]
        yield same("header fields that the part has otherwise", [], lost)


def keys_that_look_alike(folder: Path) -> Iterator[Claim]:
    """`"M-1 "` is M-1: an order of another customer under it is rejected, and the org's order stays."""
    with an_org() as org:
        lab = Lab(folder)
        lab.point_to(org.banner)
        lab.must("db", "upgrade")
        with serving(lab) as api:
            yield same("M-1 of ANN", 201, api.place("M-1", "ANN")[0])
            for twin in ("M-1 ", "\u00a0M-1", "M-1\u200b", "M-1\t"):
                status, problem = api.place(twin, "BOB", 7)
                yield holds(f"{twin!r} of BOB", f"{status} {problem}", 400 <= status < 500, "4xx")
            yield same("the same of ANN with a blank", 200, api.place("M-1 ", "ANN")[0])
            status, problem = api.place("E\u0301-1", "ANN")
            yield same(
                "a decomposed E\u0301-1, then the composed one", (201, 200), (status, api.place("\u00c9-1", "ANN")[0])
            )
            for bad in ("", "  ", "X" * 81, "a\x00b", "a\u202eb", "a\nb"):
                status, problem = api.place(bad, "ANN")
                yield holds(f"{bad[:12]!r}", f"{status} {problem}"[:160], 400 <= status < 500, "4xx")
            api("PUT", "/products/A%20", {"name": "Another", "prices": [{"currency": "USD", "unit_price": 99}]})
            api("PUT", "/customers/ANN%20", {"name": "ANN", "phone": "1"})
            skus = [item["sku"] for item in api("GET", "/products")[1]["products"]]
            customers = [item["number"] for item in api("GET", "/customers")[1]["customers"]]
            yield same("products and customers", (["A"], ["ANN"]), (skus, customers))
        lab("push")
        found = org.ask("GET", "/services/data/v66.0/query?q=SELECT+External_Key__c,Account.Name+FROM+Order")
        names = sorted((row["External_Key__c"], row["Account"]["Name"]) for row in found["records"])
        yield same("orders in the org", [("M-1", "ANN"), ("\u00c9-1", "ANN")], names)
        shown = lab("show", "order", " M-1 ")
        yield same("connector show order ' M-1 '", 0, shown.status)


def one_order_placed_twenty_times_at_once(folder: Path) -> Iterator[Claim]:
    """One 201, the others 200, never 500."""
    lab = Lab(folder)
    lab.must("db", "upgrade")
    with serving(lab) as api:
        for round_ in range(3):
            statuses = _at_once(api, f"C-{round_}", 20)
            yield same(f"round {round_ + 1}", [200] * 19 + [201], sorted(statuses))
    yield holds("no traceback in the log", "", "Traceback" not in (folder / "serve.log").read_text())


def _at_once(api: Api, number: str, times: int) -> list[int]:
    with ThreadPoolExecutor(times) as pool:
        return [status for status, _ in pool.map(lambda _: api.place(number, number), range(times))]


CASES: tuple[Case, ...] = (
    fields_of_other_actions, split_keeps_the_header, keys_that_look_alike,
    one_order_placed_twenty_times_at_once,
)  # fmt: skip
