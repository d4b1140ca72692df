"""What is wrong with one order keeps out no other, and an import that is stopped can be run again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from connector.model.action_fields import make_event
from connector.model.actions import Action
from connector.model.order import OrderInput
from connector.model.stage import Stage
from connector.orders.importing import ImportReport, import_files
from connector.orders.importing import loader as loading
from connector.orders.service import OrderCommand
from connector.orders.transaction import OrderTransaction
from connector.store import orders
from connector.store.sql import Saved
from tests.unit.importing.conftest import Importer, Silent


async def act(importer: Importer, number: str, action: Action) -> None:
    async with importer.store.transaction() as uow:
        await OrderTransaction(uow, actor="anna").execute_all([OrderCommand(number=number, event=make_event(action))])


async def test_order_changed_by_an_action_is_not_overwritten_and_others_are_imported(
    importer: Importer, shop: dict[str, str]
) -> None:
    shop["orders.csv"] = shop["orders.csv"].replace("number,", "stage,number,").replace("\n1,", "\nplaced,1,")
    shop["orders.csv"] = shop["orders.csv"].replace("\n2,", "\nplaced,2,")
    await importer.take(shop)
    await act(importer, "1", Action.VERIFY)
    report = await importer.take(shop)
    assert (report.problems, report.saved["orders"]) == ([], Saved(unchanged=2))
    shop["orders.csv"] += "placed,3,C-1,2026-03-05,USD,\n"
    shop["order_lines.csv"] = shop["order_lines.csv"].replace("1,1,TEA,10", "1,1,TEA,11") + "3,1,TEA,1,,\n"
    report = await importer.take(shop)
    assert report.problems == [
        "orders.csv:2:2: number: order '1' was changed here by an action: lines not imported; remove that from"
        " the file, or change the order by `connector act`"
    ]
    assert report.saved["orders"] == Saved(created=1, unchanged=2)
    order = await importer.order("1")
    assert order is not None
    assert order.stage is not Stage.PLACED
    assert order.lines[0].quantity == Decimal(10)


async def test_order_rejected_by_the_database_is_reported_and_others_are_imported(
    importer: Importer, shop: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = orders.save

    async def refusing(uow: Any, items: Sequence[OrderInput], **more: Any) -> Saved:
        if any(item.number == "1" for item in items):
            raise ValueError("NaN is not an amount")
        return await real(uow, items, **more)

    monkeypatch.setattr(orders, "save", refusing)
    report = await importer.take(shop)
    assert report.problems == ["orders.csv:2:1: number: cannot be stored: ValueError: NaN is not an amount"]
    assert report.saved["orders"] == Saved(created=1)
    assert await importer.order("2") is not None


UNSEEN = "1\u200b1"
"""Looks like 11."""


@pytest.fixture
def eleven(shop: dict[str, str]) -> dict[str, str]:
    """The shop whose orders are 11 and 2."""
    return {name: text.replace("\n1,", "\n11,") for name, text in shop.items()}


@pytest.mark.parametrize(
    ("third", "stored"),
    [
        (f"{UNSEEN},2,TEA,5", ["2"]),
        ("\u200b,3,TEA,5", ["11"]),
        (",3,TEA,5", ["11"]),
        (",,,5", ["11", "2"]),
        (f"{'9' * 81},1,TEA,5", ["11", "2"]),
        ('11,2,"TEA"x,5', ["2"]),
        (f'{UNSEEN},2,"TEA"x,5', ["2"]),
        (',2,"TEA"x,5', ["11"]),
        ("11,2,TEA,soon\n,3,TEA,5", ["2"]),
        (f"{UNSEEN},2,TEA,5\n,3,TEA,5", ["2"]),
        ('11,2,"TEA"x,5\n,3,TEA,5', ["2"]),
    ],
)
async def test_unusable_line_leaves_out_only_its_own_order(
    importer: Importer, eleven: dict[str, str], third: str, stored: list[str]
) -> None:
    eleven["order_lines.csv"] = f"order,line,sku,quantity\n11,1,TEA,1\n2,1,TEA,1\n{third}\n"
    report = await importer.take(eleven)
    assert [number for number in ("11", "2") if await importer.order(number)] == stored
    assert len(report.problems) == report.bad.total() == third.count("\n") + 1


@pytest.mark.parametrize("name", ["orders.csv", "order_lines.csv"])
async def test_row_with_an_unreadable_order_number_leaves_out_only_that_order(
    importer: Importer, eleven: dict[str, str], name: str
) -> None:
    eleven[name] = eleven[name].replace("\n11,", f"\n{UNSEEN},", 1)
    report = await importer.take(eleven)
    assert [number for number in ("11", "2") if await importer.order(number)] == ["2"]
    assert (report.left_out, len(report.problems)) == (["11"], 1)


async def test_rows_without_a_number_in_a_flat_file_belong_to_the_order_above(importer: Importer) -> None:
    profile = """\
files: {f: f.csv}
customers: {file: f, number: {const: X}}
products: {file: f, sku: S, name: S}
orders: {file: f, number: N, customer: {const: X}, placed_at: {const: "2026-01-05"}, currency: {const: USD}}
lines: {file: f, order: N, line: {count: true}, sku: S, quantity: Q}
"""
    await importer.take({"f.csv": f"N,S,Q\n1,A,1\n{UNSEEN},A,1\n,B,1\n3,A,1\n"}, profile=profile)
    assert [number for number in ("1", "11", "3") if await importer.order(number)] == ["1", "3"]


@pytest.mark.parametrize("number", ['""', "null", '" "', '"1\\u200b1"', "[1]", "true"])
async def test_object_with_an_unreadable_number_does_not_leave_out_the_order_before_it(
    importer: Importer, number: str
) -> None:
    rest = '"customer": {"number": "C"}, "placed_at": "2026-10-02", "currency": "USD"'
    lines = '"lines": [{"sku": "A", "quantity": 1}]'
    importer.put({"products.csv": "sku,name\nA,A\n"})
    objects = (f'{{"number": {key}, {rest}, {lines}}}\n' for key in ('"1"', number))
    report = await importer.take({"web.ndjson": "".join(objects)})
    assert await importer.order("1") is not None
    assert (report.saved["orders"].created, report.bad.total()) == (1, 1)


class Stopping(Silent):
    """Cancels the import once `label` has advanced."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.at = ""

    def begin(self, label: str, total: int, *, percent: bool = False) -> None:
        self.at = label

    def advance(self, count: int = 1) -> None:
        task = asyncio.current_task()
        if self.at == self.label and task is not None:
            task.cancel()


@pytest.mark.parametrize(("label", "stored"), [("Reading", 0), ("Storing customers", 0), ("Storing orders", 1)])
async def test_canceled_import_has_stored_whole_batches_and_the_next_one_stores_the_rest(
    importer: Importer, shop: dict[str, str], monkeypatch: pytest.MonkeyPatch, label: str, stored: int
) -> None:
    monkeypatch.setattr(loading, "BATCH", 1)
    importer.put(shop)
    report = ImportReport()
    task = asyncio.ensure_future(
        import_files(importer.store, [importer.folder], None, progress=Stopping(label), report=report)
    )
    with pytest.raises(asyncio.CancelledError):
        await task
    assert report.done("orders") == stored
    async with importer.store.reader() as connection:
        assert await orders.count(connection) == stored
    again = await import_files(importer.store, [importer.folder], None, progress=Silent())
    assert again.saved["orders"] == Saved(created=2 - stored, unchanged=stored)
