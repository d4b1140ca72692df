"""Outages of the org, and records that were changed, merged, deleted or created by others."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from tests.acceptance.sides import Org, an_org
from tests.cases.lab import Case, Claim, Lab, customer, holds, line, order, product, same, wait_until
from tests.cases.proxy import Answer, Proxy, Reply

DATA = "/services/data/v66.0"
ORDERS = 60
MOST_CALLS = 12
"""Data calls of one push into an org that refuses everything: a bounded handful."""
JSON = {"Content-Type": "application/json;charset=UTF-8"}
HTML = {"Content-Type": "text/html"}


def error(status: int, code: str, message: str = "The org says no.") -> Reply:
    return status, JSON, json.dumps([{"message": message, "errorCode": code}]).encode()


def always(reply: Reply) -> Answer:
    return lambda method, path, body: reply


def for_writes(reply: Reply) -> Answer:
    return lambda method, path, body: None if method == "GET" else reply


def for_rows(code: str) -> Answer:
    return lambda method, path, body: rows(path, body, code)


NO_COLUMN = "No such column 'Lifecycle_Stage__c' on sobject of type Order"
BAD_DAYS: Mapping[str, Answer] = {
    "301": always((301, {"Location": "https://new.my.salesforce.example/services/data"}, b"")),
    "302": always((302, {"Location": "https://login.salesforce.example/"}, b"")),
    "401 for every session": always(error(401, "INVALID_SESSION_ID")),
    "403 API_DISABLED_FOR_ORG": always(error(403, "API_DISABLED_FOR_ORG")),
    "403 TXN_SECURITY_METERING_ERROR": always(error(403, "TXN_SECURITY_METERING_ERROR")),
    "403 of a code never heard of": always(error(403, "SOMETHING_NEW")),
    "403 REQUEST_LIMIT_EXCEEDED": always(error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")),
    "404": always(error(404, "NOT_FOUND", "The requested resource does not exist")),
    "410": always(error(410, "UNSUPPORTED_API_VERSION")),
    "420 in HTML": always((420, HTML, b"<html><body>Sorry</body></html>")),
    "429": always((429, HTML, b"<html>Too many</html>")),
    "500 in HTML": always((500, HTML, b"<html>Oops</html>")),
    "503": always(error(503, "SERVER_UNAVAILABLE")),
    "200 in HTML, for writes": for_writes((200, HTML, b"<html>Maintenance</html>")),
    "400 INVALID_FIELD for every write": for_writes(error(400, "INVALID_FIELD", NO_COLUMN)),
    "rows: STORAGE_LIMIT_EXCEEDED": for_rows("STORAGE_LIMIT_EXCEEDED"),
    "rows: INVALID_FIELD_FOR_INSERT_UPDATE": for_rows("INVALID_FIELD_FOR_INSERT_UPDATE"),
    "rows: INSUFFICIENT_ACCESS_OR_READONLY": for_rows("INSUFFICIENT_ACCESS_OR_READONLY"),
    "rows: a code never heard of": for_rows("SOMETHING_NEW"),
}
"""Answers to every data call, by name."""


def rows(path: str, body: bytes, code: str) -> Reply | None:
    """Refuse every row of a write with `code`, in the format of the called resource."""
    if "/composite" not in path:
        return None
    asked: dict[str, Any] = json.loads(body)
    said = {"message": "The org says no.", "errorCode": code, "statusCode": code, "fields": []}
    halted = {**said, "errorCode": "PROCESSING_HALTED", "message": "rolled back since another operation failed"}
    answer: Any
    if "records" in asked:
        answer = [{"success": False, "errors": [said]} for _ in asked["records"]]
    elif "graphs" in asked:
        answer = {"graphs": [_graph(graph, said, halted) for graph in asked["graphs"]]}
    else:
        answer = {"compositeResponse": [_part(part, said) for part in asked["compositeRequest"]]}
    return 200, JSON, json.dumps(answer).encode()


def _part(part: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    return {"body": [said], "httpHeaders": {}, "httpStatusCode": 400, "referenceId": part["referenceId"]}


def _graph(graph: Mapping[str, Any], said: Mapping[str, Any], halted: Mapping[str, Any]) -> dict[str, Any]:
    *others, last = graph["compositeRequest"]
    parts = [*(_part(part, halted) for part in others), _part(last, said)]
    response = {"compositeResponse": parts}
    return {"graphId": graph["graphId"], "graphResponse": response, "isSuccessful": False}


def query(org: Org, soql: str) -> list[dict[str, Any]]:
    found = org.ask("GET", f"{DATA}/query?q={quote_plus(soql)}")["records"]
    return [{name: value for name, value in row.items() if name != "attributes"} for row in found]


def _due(lab: Lab) -> int:
    return sum(_numbers(lab.json("status"), "due"))


def _numbers(value: Any, name: str) -> Iterator[int]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == name and isinstance(item, int):
                yield item
            else:
                yield from _numbers(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _numbers(item, name)


def org_refuses_everything(folder: Path) -> Iterator[Claim]:
    """All changes stay due after a few calls, the remedy is reported, and the push recovers automatically."""
    with an_org() as org:
        lab = Lab(folder)
        with Proxy(org.banner["instance_url"]) as proxy:
            lab.point_to(org.banner, proxy.url)
            lab.must("db", "upgrade")
            people = [customer(f"K{n}") for n in range(ORDERS)]
            old = [order(f"T{n}", f"K{n}") for n in range(ORDERS)]
            lines = [line(f"T{n}", 1, "S") for n in range(ORDERS)]
            lab.bring(customers=people, products=[product("S")], orders=old, order_lines=lines)
            lab.must("push")
            for count, (name, answer) in enumerate(BAD_DAYS.items()):
                changed = [dict(item, po_number=f"P{count}") for item in old]
                new = [order(f"N{count}-{n}", f"K{n}") for n in range(ORDERS)]
                new_lines = [line(f"N{count}-{n}", 1, "S") for n in range(ORDERS)]
                lab.bring("more", orders=changed + new, order_lines=lines + new_lines)
                yield from _a_bad_day(lab, proxy, name, answer)
                there = len(
                    query(org, f"SELECT Id FROM Order WHERE PoNumber = 'P{count}' OR External_Key__c LIKE 'N{count}-%'")
                )
                yield same(f"{name}: in the org once it answers again", 2 * ORDERS, there)


def _a_bad_day(lab: Lab, proxy: Proxy, name: str, answer: Answer) -> Iterator[Claim]:
    before = _due(lab)
    proxy.answer = answer
    proxy.seen.clear()
    result = lab("push")
    calls = len(proxy.seen)
    last = result.text.strip().splitlines()[-1] if result.text.strip() else ""
    yield same(f"{name}: exit status, dead letters", (1, []), (result.status, lab.refused()))
    yield holds(f"{name}: calls", calls, calls <= MOST_CALLS, f"at most {MOST_CALLS}")
    yield holds(f"{name}: what push says", last, bool(last) and "Traceback" not in result.text)
    yield same(f"{name}: due before and after", before, _due(lab))
    proxy.answer = None
    time.sleep(1)
    healed = lab("push")
    yield same(f"{name}: the next push", 0, healed.status)


def push_killed_repeatedly(folder: Path) -> Iterator[Claim]:
    """After 25 kills in mid-flight, no healthy order is a dead letter."""
    with an_org() as org, Proxy(org.banner["instance_url"]) as proxy:
        lab = Lab(folder)
        lab.settings["SYNC__LEASE_SECONDS"] = "1"
        lab.point_to(org.banner, proxy.url)
        lab.must("db", "upgrade")
        numbers = range(30)
        lab.bring(
            customers=[customer(f"K{n}") for n in numbers], products=[product("S")],
            orders=[order(f"T{n}", f"K{n}") for n in numbers], order_lines=[line(f"T{n}", 1, "S") for n in numbers],
        )  # fmt: skip
        in_flight = threading.Event()

        def never(method: str, path: str, body: bytes) -> Reply | None:
            if method == "GET" or "/graph" not in path:
                return None
            in_flight.set()
            time.sleep(10)  # by then the push is dead
            return error(503, "SERVER_UNAVAILABLE")

        proxy.answer = never
        killed = 0
        for _ in range(25):
            in_flight.clear()
            process = lab.start("push")
            killed += in_flight.wait(30)
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            time.sleep(1.1)  # until the dead one's lease is over
        yield same("killed in mid-flight", 25, killed)
        proxy.answer = None
        result = lab("push")
        yield same("the next push: exit status, dead letters", (0, []), (result.status, lab.refused()))
        yield same("orders in the org", len(numbers), org.count("Order"))


def org_moves_to_another_address(folder: Path) -> Iterator[Claim]:
    """The service signs in again, learns the new address, and continues."""
    with an_org() as org:
        here = org.banner["instance_url"]
        with Proxy(here) as login, Proxy(here) as first, Proxy(here) as second:
            login.instance = first.url
            lab = Lab(folder)
            lab.point_to(org.banner, login.url)
            lab.must("db", "upgrade")
            lab.bring(
                customers=[customer("C-1")],
                products=[product("S")],
                orders=[order("A1", "C-1")],
                order_lines=[line("A1", 1, "S")],
            )
            with lab.service() as log:
                active = "SELECT Id FROM Order WHERE Status = 'Activated'"
                yield holds(
                    "pushed through the first address",
                    len(first.seen),
                    wait_until(lambda: bool(query(org, active)), 40),
                )
                login.instance = second.url
                first.close()
                lab.bring("later", orders=[order("A1", "C-1", po_number="MOVED")])
                moved = "SELECT Id FROM Order WHERE PoNumber = 'MOVED'"
                arrived = wait_until(lambda: bool(query(org, moved)), 60)
                yield holds(
                    "pushed through the second", f"{len(second.seen)} calls, {login.sign_ins} sign-ins", arrived
                )
                port = second.url.rpartition(":")[2]
                yield holds("the log names the new address", port, port in log.read_text())


def _shop(folder: Path, org: Org) -> Lab:
    lab = Lab(folder)
    lab.point_to(org.banner)
    lab.must("db", "upgrade")
    lab.bring(
        customers=[customer("C-1"), customer("C-2")], products=[product("S")],
        orders=[order("A1", "C-1"), order("B1", "C-2"), order("X1", "C-1")],
        order_lines=[line("A1", 1, "S"), line("B1", 1, "S"), line("X1", 1, "S")],
    )  # fmt: skip
    return lab


def _accounts(org: Org) -> dict[str, str]:
    return {row["Id"]: row["External_Key__c"] for row in query(org, "SELECT Id, External_Key__c FROM Account")}


def key_cleared_in_the_org(folder: Path) -> Iterator[Claim]:
    """The key is restored on the linked record, and no second record is created."""
    with an_org() as org:
        lab = _shop(folder, org)
        lab.must("push")
        account = {key: id_ for id_, key in _accounts(org).items()}
        org.ask("PATCH", f"{DATA}/sobjects/Account/{account['C-1']}", {"External_Key__c": None})
        lab.bring("in2", orders=[order("A2", "C-1")], order_lines=[line("A2", 1, "S")])
        lab("push")
        yield same("accounts after a new order of that customer", 2, len(_accounts(org)))
        lab("resync", "customer", "C-1")
        lab("push")
        yield same("accounts after a resync", {account["C-1"]: "C-1", account["C-2"]: "C-2"}, _accounts(org))
        order_id = query(org, "SELECT Id FROM Order WHERE External_Key__c = 'A1'")[0]["Id"]
        org.ask("PATCH", f"{DATA}/sobjects/Order/{order_id}", {"External_Key__c": None})
        lab.bring("in4", orders=[order("A1", "C-1", po_number="P-9")])
        lab("push")
        lab("resync", "order", "A1")
        lab("push")
        found = query(org, "SELECT Id, External_Key__c, PoNumber FROM Order WHERE PoNumber = 'P-9'")
        yield same("the order", [{"Id": order_id, "External_Key__c": "A1", "PoNumber": "P-9"}], found)
        yield same("orders, dead letters", (4, []), (org.count("Order"), lab.refused()))


def account_deleted_in_the_org(folder: Path) -> Iterator[Claim]:
    """It is reported before anything is recreated."""
    with an_org() as org:
        lab = _shop(folder, org)
        lab.must("push")
        account = {key: id_ for id_, key in _accounts(org).items()}
        winner = org.ask("POST", f"{DATA}/sobjects/Account", {"Name": "Winner"})["id"]
        moved = query(org, "SELECT Id FROM Order WHERE External_Key__c = 'B1'")[0]["Id"]
        for change in ({"Status": "Draft"}, {"AccountId": winner}, {"Status": "Activated"}):
            org.ask("PATCH", f"{DATA}/sobjects/Order/{moved}", change)
        org.ask("DELETE", f"{DATA}/sobjects/Account/{account['C-2']}")
        lab.bring(
            "in5", customers=[customer("C-2", phone="+1 555 0108")],
            orders=[order("B1", "C-2", po_number="P-10"), order("B2", "C-2")],
            order_lines=[line("B1", 1, "S"), line("B2", 1, "S")],
        )  # fmt: skip
        lab("push")
        lab("resync", "customer", "C-2")
        lab("push")
        said = json.dumps(lab.refused())
        yield same(
            "accounts with the key of the lost one", [], [key for key in _accounts(org).values() if key == "C-2"]
        )
        yield holds("a dead letter says that it was deleted", said[:400], "deleted" in said and account["C-2"] in said)
        linked = lab("link", "customer", "C-2", winner)
        lab("push")
        lab("dead-letters", "replay", "--all")
        result = lab("push")
        yield same(
            "linked to another account: exit status, its key", (0, "C-2"), (linked.status, _accounts(org)[winner])
        )
        yield same("everything in sync", (0, []), (result.status, lab.refused()))


SEED = """
duplicate_rules:
  - {name: Same_Account, sobject: Account, match: [Name, BillingPostalCode], action: alert, message: Use one of these?}
records:
  Account:
    - {Name: Harbour Tea Rooms, BillingPostalCode: "97201"}
"""


def duplicate_rule_finds_a_record(folder: Path) -> Iterator[Claim]:
    """The record is named, one command links it, and a setting passes alert rules."""
    folder.mkdir(parents=True, exist_ok=True)
    seed = folder / "seed.yaml"
    seed.write_text(SEED)
    for setting in ("", "allow"):
        with an_org("--seed", str(seed)) as org:
            lab = Lab(folder / (setting or "block"))
            lab.point_to(org.banner)
            if setting:
                lab.settings["SALESFORCE__DUPLICATE_RULES"] = setting
            lab.must("db", "upgrade")
            there = next(iter(_accounts(org)))
            lab.bring(
                customers=[customer("C-1", name="Harbour Tea Rooms", postal_code="97201"), customer("C-2")],
                products=[product("S")], orders=[order("A1", "C-1"), order("B1", "C-2")],
                order_lines=[line("A1", 1, "S"), line("B1", 1, "S")],
            )  # fmt: skip
            result = lab("push")
            if setting:
                yield same(
                    "allow: exit status, dead letters, accounts",
                    (0, [], 3),
                    (result.status, lab.refused(), org.count("Account")),
                )
                continue
            said = json.dumps(lab.refused())
            yield holds(
                "the dead letter names the record and the command",
                said[:500],
                there in said and "connector link customer C-1" in said,
            )
            linked = lab("link", "customer", "C-1", there)
            yield same("link: exit status", 0, linked.status)
            result = lab("push")
            yield same(
                "then: exit status, dead letters, accounts",
                (0, [], 2),
                (result.status, lab.refused(), org.count("Account")),
            )
            other = lab("link", "customer", "C-2", there)
            yield holds("one record, one entity", other.text.strip(), other.status in (1, 2) and "C-1" in other.text)


def another_org(folder: Path) -> Iterator[Claim]:
    """It is reported, nothing is assumed about it, and nothing is written to it without a command."""
    with an_org() as org, an_org() as other:
        lab = _shop(folder, org)
        lab.must("push")
        lab.point_to(other.banner)
        for name in ("Somebody else", "Yet another"):
            other.ask("POST", f"{DATA}/sobjects/Account", {"Name": name})
        lab.bring(
            "in2",
            customers=[customer("C-1", phone="+1 555 0142")],
            orders=[order("A2", "C-2")],
            order_lines=[line("A2", 1, "S")],
        )
        for words in (("push",), ("push", "--dry-run"), ("status",)):
            result = lab(*words)
            yield holds(
                f"{' '.join(words)} says so",
                result.text.strip()[:300],
                result.status == 1 and "org" in result.text and "In sync" not in result.text,
            )
        yield same("accounts and orders there", (2, 0), (other.count("Account"), other.count("Order")))
        lab.point_to(org.banner)
        yield same("back at the first: exit status", 0, lab("push").status)


def resync_of_equal_entities(folder: Path) -> Iterator[Claim]:
    """It makes no write call, and reports the requested entities."""
    with an_org() as org:
        lab = _shop(folder, org)
        lab.must("push")
        before = org.usage()["write_calls"]
        lab.must("resync", "customer", "C-1")
        lab.must("resync", "--all")
        result = lab("push")
        yield same("writes, exit status", (0, 0), (org.usage()["write_calls"] - before, result.status))
        missing = lab("resync", "customer", "C-1", "NOBODY")
        yield holds("an unknown key is named", missing.text.strip(), missing.status == 1 and "NOBODY" in missing.text)


CASES: tuple[Case, ...] = (
    org_refuses_everything, push_killed_repeatedly, org_moves_to_another_address, key_cleared_in_the_org,
    account_deleted_in_the_org,
    duplicate_rule_finds_a_record, another_org, resync_of_equal_entities,
)  # fmt: skip
