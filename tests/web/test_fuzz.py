"""Every route with random paths, queries, headers and bodies: no request causes a server error.

`REQUESTS=20000 pytest tests/web/test_fuzz.py` tries more. Each request depends on its number alone, so a failing one
can be repeated."""

from __future__ import annotations

import json
import os
import random
from copy import deepcopy
from typing import Any
from urllib.parse import quote

from yarl import URL

from connector.model.actions import Action
from connector.model.notification import MessageKind
from connector.model.role import Role
from connector.orders.analytics.metric_list import METRICS
from connector.web.app import PREFIX, ROUTES
from connector.web.routing import Route
from tests.web.conftest import ORDER, Api
from tests.web.test_entities import ADA, TEA

LONGEST_LINE = 8190
"""A longer request line is refused by the server's own parser, in plain text, before anything of ours runs."""
REQUESTS = int(os.environ.get("REQUESTS", "400"))

ODD: tuple[Any, ...] = (
    "", " ", "\x00", "a\x00b", "\ud800", "\U0001f422", "x" * 300, "9" * 30, "9" * 5000, "-1", "1e400", "1e-400", "NaN",
    "Infinity", "\u0661\u0662", "0.0000000000000000001", 0, -1, 1, 2.5, 10**30, 1e300, True, None, [], {}, [None],
    {"1": None}, {"": 1}, {"\x00": 1}, {"\ud800": 1}, "0001-01-01", "9999-12-31", "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00", "2026-02-30", "2026-03-01T12:00:00Z", "..", "a/b", "%00", "W-1", "W-1-RMA1", "-RMA1",
    "W-1-RMA" + "9" * 30, "RMA", "CHAI", "USD", "*", '"1"', 'W/"1"', "=1+1",
)  # fmt: skip
KNOWN = {"number": ("W-1", "W-2", "W-3", "ALFKI", "INV-000001", "C-7"), "key": ("W-1-RMA1", "W-3-RMA1"),
         "entity": ("order", "customer", "product", "return"),
         "sku": ("CHAI", "TOFU", "TEA"), "metric": tuple(METRICS),
         "kind": tuple(MessageKind), "id": ("1", "2"), "sobject": ("Account", "Order"),
         "run": ("resync-1", "undo-1", "job-2"), "group": ("0123456789ab",),
         "plan": ("0123456789ab",), "name": ("push", "prune", "reconcile"),
         "field": ("Phone", "Description")}  # fmt: skip
QUERY = {"stage": ("placed", "verified"), "limit": ("1", "200"), "since": ("2026-01-01",), "sku": ("CHAI",),
         "warehouse": ("EAST",), "after": ("W-1",), "hold": ("credit",)}  # fmt: skip
PRODUCT_FILE = """entity: product
sobject: Product2
external_id: External_Key__c
fields: {External_Key__c: sku, Name: name}
"""
BODIES: dict[str, tuple[dict[str, Any], ...]] = {
    "/orders": (ORDER, ORDER | {"number": "W-9", "customer": ADA | {"number": "C-9"}, "promised_on": "2026-03-09"}),
    "/orders/{number}/transitions": (
        *({"action": action.value} for action in Action),
        *({"action": action.value, "lines": {"1": 1}} for action in Action),
        *({"action": action.value, "amount": "1.50", "note": "n"} for action in Action),
        {"action": "hold", "hold": "credit", "note": "n", "version": 3},
        {"action": "change", "line_edits": {"1": {"sku": "CHAI", "quantity": 3, "unit_price": "1.5", "discount": 0}}},
        {
            "action": "change",
            "details": {
                "ship_to_city": "Bonn",
                "promised_on": "2026-03-09",
                "freight": "1.50",
                "tax_rate": "0.19",
                "ship_complete": True,
                "notes": None,
            },
        },
        {"action": "ship", "lines": {"1": 1}, "carrier": "c", "tracking_number": "t", "on": "2026-03-01"},
        {"action": "track", "shipment": 1, "status": "delivered"},
        {"action": "inspect_return", "return_number": 1, "lines": {"1": 1}, "written_off": {"1": 1}, "warehouse": "E"},
    ),
    "/returns": ({"order": "W-1", "lines": {"1": 1}, "reason": "damaged", "resolution": "refund", "note": "n"},),
    "/returns/{key}/transitions": (
        *({"action": action.value, "lines": {"1": 1}} for action in Action if action.endswith("_return")),
        {"action": "label_return", "carrier": "c", "tracking_number": "t"},
    ),
    "/verifications": ({"numbers": ["W-1", "W-2"]},),
    "/allocations": ({"numbers": ["W-1", "W-2"]},),
    "/stock": ({"warehouse": "EAST", "counts": {"CHAI": 5, "TOFU": "2.5"}, "expected": {"CHAI": 5}},),
    "/tracking": ({"tracking_number": "t", "status": "in_transit", "carrier": "c", "note": "n"},),
    "/customers/{number}": (ADA,),
    "/products/{sku}": (TEA,),
    "/messages/retry": ({"ids": [1, 2]},),
    "/messages/discard": ({"ids": [1, 2]},),
    "/scheduler/jobs/{name}/trigger": ({"seconds": 30}, {"cron": "0 2 * * *"}, {"seconds": 1, "cron": "* * * * *"}),
    "/inbox/replay": ({"records": ["001000000000001AAA"]}, {"all": True}),
    "/dead-letters/groups/{group}": ({"assignee": "kim"}, {"note": "n", "snoozed_until": "2026-03-02T12:00:00Z"}),
    "/dead-letters/replay": ({"all": True}, {"entity": "order", "keys": ["W-1"]}, {"group": "0123456789ab"}),
    "/dead-letters/{entity}/{key}/correction": (
        {"set": {"email": "a@b.example"}, "version": 1},
        {"set": {"po_number": "7", "notes": None}, "line_edits": {"1": {"sku": "CHAI", "quantity": 3}}, "version": 1},
    ),
    "/dead-letters/discard": ({"entity": "customer"}, {"group": "0123456789ab"}),
    "/scheduler/resyncs": (
        {"entity": "order", "filter": {"stage": "placed", "customer": "ALFKI"}, "dry_run": True},
        {
            "entity": "customer",
            "filter": {"keys": ["ALFKI"], "changed_since": "2026-03-01T12:00:00Z"},
            "mode": "compare",
        },
        {
            "entity": "product",
            "filter": {"error": "X", "mapping_version": 1, "refused_until": "2026-03-01T12:00:00Z"},
            "mode": "pull",
            "priority": "high",
        },
    ),
    "/mappings/{entity}": (
        {"text": "entity: order\n", "note": "n", "resync": False},
        {"text": PRODUCT_FILE, "tables": {"level": "a: b\n", "other": None}, "dry_run": True},
    ),
    "/mappings/lint": ({"files": {"product.yaml": PRODUCT_FILE, "values/level.yaml": "a: b\n"}},),
    "/mappings/plans": (
        {"files": {"product.yaml": PRODUCT_FILE}, "orders": ["W-1"], "limit": 3},
        {"rollback_to": 1},
    ),
    "/mappings/shadow": ({"files": {"product.yaml": PRODUCT_FILE}, "note": "n"},),
    "/mappings/shadow/apply": ({"note": "n", "resync": False},),
    "/mappings/plans/{plan}/apply": ({"note": "n", "resync": True},),
    "/runs/{run}/undo": ({"dry_run": True, "keys": ["W-1"], "fields": ["Description"]}, {"plan": "0123456789abcdef"}),
    "/held-values/release": (
        {"entity": "order", "keys": ["W-1"]},
        {"entity": "order", "keys": ["W-2"], "fields": ["Name"]},
    ),
    "/conflicts/{id}/resolution": ({"take": "local"}, {"take": "salesforce", "always": True}),
}


WITH_BODIES = [route for route in ROUTES if route.body is not None]


def mutated(chance: random.Random, value: Any) -> Any:
    """Return the value with a part replaced, removed or added."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        value = dict(value)
        name = chance.choice(sorted(value))
        match chance.randrange(8):
            case 0:
                del value[name]
            case 1:
                value[str(chance.choice(ODD))] = value[name]
            case _:
                value[name] = mutated(chance, value[name])
        return value
    if isinstance(value, list) and value and chance.random() < 0.85:
        return [*value[1:], mutated(chance, value[0])] if chance.random() < 0.8 else value * 2
    return deepcopy(chance.choice(ODD))


def made(chance: random.Random, route: Route) -> tuple[URL, dict[str, str], bytes | None]:
    def one(known: tuple[str, ...], odd: float = 0.3) -> str:
        return str(chance.choice(ODD)) if chance.random() < odd else chance.choice(known)

    path = route.path
    for name, known in KNOWN.items():
        path = path.replace(f"{{{name}}}", quote(one(known), safe="", errors="replace") or "-")
    asked = [name for name in route.queries if chance.random() < 0.4]
    query = "&".join(f"{name}={quote(one(QUERY.get(name, ('1',))), errors='replace')}" for name in asked)
    names = ("If-Match", "If-None-Match", "Idempotency-Key")
    headers = {name: _header(one(("*", '"1"', "k1"))) for name in names if chance.random() < 0.15}
    body = None
    if route.body is not None:
        said: Any = chance.choice(BODIES[route.path])
        for _ in range(chance.choice((0, 0, 1, 1, 2, 3))):
            said = mutated(chance, said)
        body = json.dumps(said).encode()
    return URL(f"{PREFIX}{path}?{query}", encoded=True), headers, body


def _header(text: str) -> str:
    return "".join(letter for letter in text if 32 <= ord(letter) < 127)[:1000]


async def test_random_requests_cause_no_server_error(api: Api) -> None:
    for number in ("W-1", "W-2", "W-3"):
        await api("POST", "/orders", ORDER | {"number": number})
    for action in ("verify", "confirm"):
        await api.move(action=action)
    await api("POST", "/allocations", {"numbers": ["W-1"]})
    for action in ("pick", "ship"):
        await api.move(action=action, lines={"1": 2, "2": 1.5})
    await api.move(action="deliver")
    await api.move(action="invoice", amount=10)
    await api("POST", "/returns", {"order": "W-1", "lines": {"1": 1}})
    token = {"Authorization": f"Bearer {api.secrets[Role.ADMIN]}", "Content-Type": "application/json"}
    for index in range(REQUESTS):
        chance = random.Random(index)
        route = chance.choice(ROUTES if chance.random() < 0.3 else WITH_BODIES)
        url, headers, body = made(chance, route)
        async with api.client.request(route.method, url, headers=token | headers, data=body) as answer:
            said = await answer.read()
            assert answer.status < 500, (index, route.method, url, body, said)
            if len(str(url)) > LONGEST_LINE:
                assert (answer.status, answer.content_type) == (400, "text/plain"), (index, route.method, url)
            elif answer.status >= 400:
                what = (index, route.method, url, headers, body, said)
                assert answer.content_type == "application/problem+json", what
                assert json.loads(said)["rule"], what
            else:
                assert answer.status in route.statuses
                assert answer.content_type == route.kind


async def test_invalid_address_is_a_problem_document_unless_too_long(api: Api) -> None:
    """The only response without a problem document: the request line could not be read."""
    token = {"Authorization": f"Bearer {api.secrets[Role.ADMIN]}"}
    path = f"{PREFIX}/orders?nothing="
    for spare, kind in ((0, "application/problem+json"), (1, "text/plain")):
        url = URL(path + "9" * (LONGEST_LINE + spare - len(path)), encoded=True)
        async with api.client.request("GET", url, headers=token) as answer:
            assert (answer.status, answer.content_type) == (400, kind)
            assert ("X-Request-ID" in answer.headers) == (spare == 0)
    assert (await api("GET", "/orders")).status == 200
