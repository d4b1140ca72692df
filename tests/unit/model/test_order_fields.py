"""Every header field is kept by all operations: place, load, change, split, import, HTTP and command line.

One order goes through all of them once; each field is then compared in the results. A new field of OrderHeader is
tested here without further code, see docs/adding-a-field.md.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from connector.api.schemas import PLACED_FIELDS
from connector.api.serializers import ORDER_NAMES
from connector.model.canonical import canonical_bytes
from connector.model.events import SplitOrder
from connector.model.order import LineInput, Order, OrderInput
from connector.model.order_header import (
    CHANGEABLE,
    HEADER_FIELDS,
    INHERITED,
    OF_SHIPMENT,
    PERSONAL,
    FieldKind,
    OrderHeader,
)
from connector.model.role import Role
from connector.model.stage import Stage
from connector.orders.command import OrderCommand
from connector.orders.importing import import_files
from connector.orders.transaction import OrderTransaction
from connector.store import order_history, orders, schema, tokens
from connector.store.engine import Store
from tests.flow.in_process_cli import run_in_process
from tests.unit.importing.conftest import Silent
from tests.unit.store import samples
from tests.web.conftest import app_on

pytestmark = pytest.mark.database

FIELDS = [item.name for item in fields(OrderHeader)]
PLACED, POSTED, IMPORTED = "H-1", "H-2", "H-3"
LINES = (
    LineInput(number=1, sku="CHAI", quantity=Decimal(2), unit_price=Decimal(18)),
    LineInput(number=2, sku="TOFU", quantity=Decimal(1), unit_price=Decimal(20)),
)


def value_of(name: str, variant: int) -> Any:
    """A value of the field that differs from the values of all other fields."""
    place = FIELDS.index(name)
    match HEADER_FIELDS[name].kind:
        case FieldKind.TEXT:
            return f"{name} {variant}"
        case FieldKind.KEY:
            return f"{name}-{variant}"
        case FieldKind.CURRENCY:
            return "USD"
        case FieldKind.MONEY:
            return Decimal(100 * variant + place) + Decimal("0.25")
        case FieldKind.RATE:
            return Decimal(10 * variant + place) / 1000
        case FieldKind.DAY:
            return date(2026, 3, 1) + timedelta(days=20 * variant + place)
        case FieldKind.MOMENT:
            return datetime(2026, 2, variant, 9, 30, tzinfo=UTC)
        case FieldKind.FLAG:
            return variant % 2 == 1


def header_of(number: str, names: Any, variant: int) -> dict[str, Any]:
    return {name: value_of(name, variant) for name in names} | {"number": number}


def plain(values: Any) -> Any:
    """The value as in JSON, numbers without trailing zeros."""
    return json.loads(canonical_bytes(values))


@dataclass
class Journey:
    """The expected headers, and those that the operations returned."""

    placed: OrderHeader
    changed: OrderHeader
    part: OrderHeader
    imported: OrderHeader
    history: str
    posted: dict[str, Any]
    got: dict[str, Any]
    shown: dict[str, Any]


async def load(store: Store, number: str) -> Order:
    async with store.reader() as connection:
        [order] = await orders.load(connection, [number])
    return order


async def place_and_post(store: Store) -> tuple[OrderHeader, dict[str, Any], dict[str, Any]]:
    await schema.upgrade(store)
    await samples.stock(store)
    order = OrderInput(header=OrderHeader(**header_of(PLACED, PLACED_FIELDS, 1)), customer="ALFKI", lines=LINES)
    async with store.transaction() as uow:
        await OrderTransaction(uow, actor="shop").place(samples.placements([order]))
        secret = await tokens.create(uow, "shop", Role.OPS)
    lines = [{"line": line.number, "sku": line.sku, "quantity": "1", "unit_price": "20"} for line in LINES]
    body = plain({**header_of(POSTED, PLACED_FIELDS, 3), "customer": "ALFKI", "lines": lines})
    async with TestClient(TestServer(app_on(store))) as client:
        client.session.headers["Authorization"] = f"Bearer {secret}"
        answer = await client.post("/api/v1/orders", json=body)
        assert answer.status == 201, await answer.text()
        got = await (await client.get(f"/api/v1/orders/{POSTED}")).json()
    return (await load(store, PLACED)).header, body, got


async def split_and_import(store: Store, folder: Path) -> tuple[OrderHeader, OrderHeader, str, OrderHeader]:
    changed = (await load(store, PLACED)).header
    async with store.transaction() as uow:
        split = SplitOrder(lines={2: Decimal(1)})
        await OrderTransaction(uow, actor="anna").execute_all([OrderCommand(number=PLACED, event=split)])
    async with store.reader() as connection:
        history = str([entry.payload for entry in await order_history.read(connection, PLACED)])
    row = plain(header_of(IMPORTED, FIELDS, 1)) | {"customer": "ALFKI", "stage": Stage.SHIPPED.value}
    text = io.StringIO()
    writer = csv.DictWriter(text, list(row))
    writer.writeheader()
    writer.writerow(row)
    (folder / "orders.csv").write_text(text.getvalue())
    (folder / "order_lines.csv").write_text(f"order,line,sku,quantity,unit_price\n{IMPORTED},1,CHAI,2,18\n")
    report = await import_files(store, [folder], None, progress=Silent())
    assert report.problems == []
    return changed, (await load(store, f"{PLACED}-S1")).header, history, (await load(store, IMPORTED)).header


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Journey:
    folder = tmp_path_factory.mktemp("journey")
    url = f"sqlite:///{folder / 'orders.db'}"

    def connector(*words: str) -> str:
        status, out, err = run_in_process(words, {"CONNECTOR_DATABASE_URL": url, "PATH": ""}, folder)
        assert status == 0, err
        return out

    async def with_store(step: Any, *more: Any) -> Any:
        store = Store.open(url)
        try:
            return await step(store, *more)
        finally:
            await store.close()

    placed, posted, got = asyncio.run(with_store(place_and_post))
    settings = [f"{name}={_typed(value_of(name, 2))}" for name in CHANGEABLE]
    connector("act", PLACED, "change", *(word for setting in settings for word in ("--set", setting)))
    shown = json.loads(connector("show", "order", PLACED, "--json"))["here"]
    changed, part, history, imported = asyncio.run(with_store(split_and_import, folder))
    return Journey(
        placed=placed,
        changed=changed,
        part=part,
        imported=imported,
        history=history,
        posted=posted,
        got=got,
        shown=shown,
    )


def _typed(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


@pytest.mark.parametrize("name", FIELDS)
def test_field_of_a_placed_order_is_stored_and_loaded(journey: Journey, name: str) -> None:
    expected = None if name in OF_SHIPMENT else header_of(PLACED, FIELDS, 1)[name]
    assert getattr(journey.placed, name) == expected


@pytest.mark.parametrize("name", FIELDS)
def test_command_line_changes_changeable_fields_only(journey: Journey, name: str) -> None:
    changed = getattr(journey.changed, name)
    assert changed == (value_of(name, 2) if name in CHANGEABLE else getattr(journey.placed, name))
    assert plain(journey.shown[name]) == plain(str(changed) if isinstance(changed, Decimal) else changed)


@pytest.mark.parametrize("name", sorted(CHANGEABLE))
def test_history_keeps_the_value_of_a_changed_field_unless_it_is_personal(journey: Journey, name: str) -> None:
    assert name in journey.history
    assert (str(plain(value_of(name, 2))) in journey.history) is (name not in PERSONAL)


@pytest.mark.parametrize("name", FIELDS)
def test_split_order_inherits_the_field_or_has_its_own(journey: Journey, name: str) -> None:
    part, whole = getattr(journey.part, name), getattr(journey.changed, name)
    own = {"number": f"{PLACED}-S1", "placed_at": whole, "notes": whole}
    assert part == (whole if name in INHERITED else own.get(name))


@pytest.mark.parametrize("name", FIELDS)
def test_field_is_imported_by_its_name(journey: Journey, name: str) -> None:
    assert getattr(journey.imported, name) == header_of(IMPORTED, FIELDS, 1)[name]


@pytest.mark.parametrize("name", FIELDS)
def test_field_posted_over_http_is_returned_by_get(journey: Journey, name: str) -> None:
    if name in OF_SHIPMENT:
        assert name not in journey.posted
        assert journey.got[name] is None
    elif HEADER_FIELDS[name].kind is FieldKind.MOMENT:
        assert datetime.fromisoformat(journey.got[name]) == datetime.fromisoformat(journey.posted[name])
    else:
        assert journey.got[name] == journey.posted[name]


def test_every_header_field_is_in_the_http_response() -> None:
    assert set(FIELDS) <= set(ORDER_NAMES)
