"""Our own form: four CSV files or NDJSON; what goes in, what is told, what stays."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from connector.errors import UsageError
from connector.model.product import Price
from connector.model.stage import Stage
from connector.store.sql import Saved
from tests.unit.importing.conftest import Importer

EURO = Price(currency="EUR", unit_price=Decimal("2.95"))


async def test_csv_files_are_imported_with_all_their_values(importer: Importer, shop: dict[str, str]) -> None:
    report = await importer.take(shop)
    assert report.problems == []
    assert report.saved == {
        "customers": Saved(created=2),
        "products": Saved(created=2),
        "orders": Saved(created=2),
    }
    assert report.lines == 3
    order = await importer.order("1")
    assert order is not None
    assert (order.customer.name, order.customer.city) == ("Ärmel & Söhne", "Zürich")
    assert (order.header.placed_at, order.stage) == (datetime(2026, 3, 1, tzinfo=UTC), Stage.PLACED)
    assert [(line.product.sku, line.quantity, line.unit_price, line.discount) for line in order.lines] == [
        ("TEA", Decimal(10), Decimal("4.50"), Decimal("0.1")),
        ("JAM", Decimal(2), Decimal("3.20"), Decimal(0)),  # the list price in the order's currency
    ]
    assert order.exact_total == Decimal("46.9")
    second = await importer.order("2")
    assert second is not None
    assert second.header.placed_at == datetime(2026, 3, 2, 8, tzinfo=UTC)
    jam = await importer.product("JAM")
    assert jam is not None
    assert jam.prices == (EURO, Price(currency="USD", unit_price=Decimal("3.20")))


async def test_repeated_import_of_the_same_files_changes_nothing(importer: Importer, shop: dict[str, str]) -> None:
    await importer.take(shop)
    report = await importer.take()
    assert report.saved == {
        "customers": Saved(unchanged=2),
        "products": Saved(unchanged=2),
        "orders": Saved(unchanged=2),
    }


async def test_columns_missing_from_a_file_keep_their_stored_values(importer: Importer, shop: dict[str, str]) -> None:
    await importer.take(shop)
    for path in importer.folder.iterdir():
        path.unlink()
    report = await importer.take({"orders.csv": "number,stage,tracking_number\n2,shipped,1Z999\n"})
    assert report.saved["orders"] == Saved(updated=1)
    order = await importer.order("2")
    assert order is not None
    assert (order.stage, order.header.tracking_number, order.header.notes, len(order.lines)) == (
        Stage.SHIPPED,
        "1Z999",
        "ring",
        1,
    )


async def test_empty_cell_clears_an_optional_field_and_is_rejected_for_a_required_one(
    importer: Importer, shop: dict[str, str]
) -> None:
    await importer.take(shop)
    report = await importer.take({"orders.csv": "number,customer,notes\n2,,\n1,C-1,\n"})
    assert report.problems == ["orders.csv:2:2: customer: is empty; it needs a value"]
    order = await importer.order("2")
    assert order is not None
    assert order.header.notes == "ring"
    await importer.take({"orders.csv": "number,notes\n2,\n"})
    order = await importer.order("2")
    assert order is not None
    assert order.header.notes is None


async def test_empty_price_removes_the_price_in_that_currency(importer: Importer, shop: dict[str, str]) -> None:
    await importer.take(shop)
    await importer.take({"products.csv": "sku,name,unit_price,currency\nJAM,Jam,,USD\n"})
    jam = await importer.product("JAM")
    assert jam is not None
    assert jam.prices == (EURO,)


PROBLEMS: list[tuple[str, str, str, str]] = [
    ("customers.csv", ",Nobody,\n", "customers.csv:4:1: number: is empty; it names the customer", "customers"),
    ("customers.csv", f"{'x' * 81},Long,\n",
     "customers.csv:4:1: number: has 81 characters; a key has at most 80: shorten it", "customers"),
    ("customers.csv", "C\x07C,Bell,\n",
     "customers.csv:4:1: number: has an invisible character (U+0007); remove it", "customers"),
    ("customers.csv", "C-3,Nul\x00,\n", "customers.csv:4:2: name: has a NUL character; remove it", "customers"),
    ("customers.csv", "C-3,Too,many,cells\n",
     "customers.csv:4:1: has 4 cells where the header has 3; check the delimiter", "customers"),
    ("customers.csv", 'C-3,"Pipe 5" wide",\n',
     "customers.csv:4:1: cannot be read as a row (',' expected after '\"'); check its quotes", "customers"),
    ("customers.csv", 'C-3,"never closed,\n',
     "customers.csv:4:1: cannot be read as a row (unexpected end of data); check its quotes", "customers"),
    ("products.csv", "GUM,Gum,-1,USD\n",
     "products.csv:5:3: unit_price: '-1' is not a price: expected 0 or more", "products"),
    ("products.csv", 'GUM,Gum,"1,20",USD\n',
     "products.csv:5:3: unit_price: '1,20' is not a number: expected '.' as the decimal mark", "products"),
    ("products.csv", "GUM,Gum,NaN,USD\n",
     "products.csv:5:3: unit_price: 'NaN' is not a number: expected one as 12.5", "products"),
    ("products.csv", "GUM,Gum,1234567890123456789,USD\n",
     "products.csv:5:3: unit_price: '1234567890123456789' has more than 18 digits", "products"),
    ("products.csv", "GUM,Gum,1.20,usd\n",
     "products.csv:5:4: currency: 'usd' is not a currency: expected three capital letters (USD)", "products"),
    ("products.csv", "GUM,Gum,1.20,\n",
     "products.csv:5:4: currency: is empty, but there is a price; add its currency", "products"),
    ("orders.csv", "3,C-9,2026-03-01,USD,\n",
     "orders.csv:4:2: customer: there is no customer 'C-9'; import it, or correct the number", "orders"),
    ("orders.csv", "3,C-1,yesterday,USD,\n",
     "orders.csv:4:3: placed_at: 'yesterday' is not a date: expected 2026-01-31 or 2026-01-31T10:00:00Z", "orders"),
    ("orders.csv", "3,C-1,0026-03-01,USD,\n",
     "orders.csv:4:3: placed_at: '0026-03-01' is not a plausible date: check its year", "orders"),
    ("orders.csv", "3,C-1,,USD,\n", "orders.csv:4:3: placed_at: is empty; it needs a value", "orders"),
    ("order_lines.csv", "9,1,TEA,1,,\n",
     "order_lines.csv:5:1: order: there is no order '9'; import it, or correct the number", "lines"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "row", "problem", "kind"), PROBLEMS, ids=[item[2][:60] for item in PROBLEMS])
async def test_bad_row_is_reported_with_its_place_and_other_rows_are_imported(
    importer: Importer, shop: dict[str, str], file: str, row: str, problem: str, kind: str
) -> None:
    shop[file] += row
    report = await importer.take(shop)
    assert report.problems == [problem]
    assert report.bad == {kind: 1}
    assert {name: saved.created for name, saved in report.saved.items()} == {"customers": 2, "products": 2, "orders": 2}


async def test_tracking_number_that_no_label_can_have_is_rejected(importer: Importer, shop: dict[str, str]) -> None:
    await importer.take(shop)
    report = await importer.take({"orders.csv": f"number,tracking_number\n1,{'9' * 81}\n2,TR 9\n"})
    assert "orders.csv:2:2: tracking_number: has 81 characters; a key has at most 80: shorten it" in report.problems
    found = [await importer.order(number) for number in ("1", "2")]
    assert [order and order.header.tracking_number for order in found] == [None, "TR 9"]


LINE_PROBLEMS = [
    ("1,3,GIN,1,,\n", "order_lines.csv:5:3: sku: there is no product 'GIN'; import it, or correct the SKU"),
    ("1,3,TEA,0,,\n", "order_lines.csv:5:4: quantity: '0' is not a quantity: expected more than 0"),
    ("1,3,TEA,,,\n", "order_lines.csv:5:4: quantity: is empty; it needs a value"),
    ("1,x,TEA,1,,\n", "order_lines.csv:5:2: line: 'x' is not a line number: expected 1, 2, 3, …"),
    ("1,3,TEA,1,1,15\n",
     "order_lines.csv:5:6: discount: '15' is not a discount: expected a fraction from 0 to 1 (0.15 for 15 %)"),
    ("1,2,TEA,1,,\n", "order_lines.csv:5:2: line: line 2 of order '1' has sku 'TEA' here and 'JAM' in"
     " order_lines.csv:3; keep one of the two"),
    ("1,3,TEA\n", "order_lines.csv:5:1: has 3 cells where the header has 6; check the delimiter"),
    ('1,3,"TE"A,1,,\n', "order_lines.csv:5:1: cannot be read as a row (',' expected after '\"'); check its quotes"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "problem"), LINE_PROBLEMS, ids=[item[1][:60] for item in LINE_PROBLEMS])
async def test_order_with_a_bad_line_is_left_out_completely(
    importer: Importer, shop: dict[str, str], row: str, problem: str
) -> None:
    """A line less would be a wrong total, silently."""
    shop["order_lines.csv"] += row
    report = await importer.take(shop)
    assert (report.problems, report.left_out) == ([problem], ["1"])
    assert report.bad.total() == 1
    assert report.saved["orders"] == Saved(created=1)
    assert await importer.order("1") is None
    assert await importer.order("2") is not None


async def test_bad_order_row_is_reported_once_and_not_for_each_line(importer: Importer, shop: dict[str, str]) -> None:
    shop["orders.csv"] = shop["orders.csv"].replace("1,C-1,2026-03-01", "1,C-1,never")
    report = await importer.take(shop)
    assert report.problems == [
        "orders.csv:2:3: placed_at: 'never' is not a date: expected 2026-01-31 or 2026-01-31T10:00:00Z",
    ]
    assert report.left_out == ["1"]


async def test_row_with_an_unclosed_quote_leaves_out_no_other_row(importer: Importer, shop: dict[str, str]) -> None:
    """A quote that is never closed does not swallow the rows after it."""
    many = "".join(f"N-{number},Name {number},\n" for number in range(3_000))
    shop["customers.csv"] = f'{shop["customers.csv"]}C-3,"open,\n{many}'
    report = await importer.take(shop)
    assert [problem.partition(" (")[0] for problem in report.problems] == ["customers.csv:4:1: cannot be read as a row"]
    assert report.saved["customers"] == Saved(created=3_002)


UNUSABLE = [
    ({"orders.csv": ""}, "orders.csv is empty; it needs a header line."),
    ({"orders.csv": "customer\nC-1\n"}, "orders.csv has no column `number`. Its header has `customer`. Correct"
     " the header, or describe the file in a profile."),
    ({"customers.csv": "numer,name\nC-1,x\n"},
     "customers.csv has no column `number`. Its header has `numer`, `name`. Did you mean `number` by `numer`?"),
    ({"orders.csv": "number;notes\n1;x\n"},
     "orders.csv has no column `number`. Its header has `number;notes`. Is ';' the delimiter? Set it in a profile."),
    ({"customers.csv": "number,name,emial\nC-1,x,y\n"},
     "customers.csv has an unknown column: 'emial' (did you mean email?). Correct its name, remove it,"
      " or describe the file in a profile."),
    ({"orders.csv": "number,number\n"},
     "orders.csv:1: the header has 'number' in columns 1 and 2. Rename all but the right one."),
    ({"orders.csv": '"number\n'}, "orders.csv:1: the header cannot be read as a row (unexpected end of data);"
      " check its quotes."),
    ({"orders.csv": "number,notes\n1,Süd\n".encode("latin-1")},
     "orders.csv is not utf-8 (at or after line 1). Name its encoding in a profile."),
    ({"orders.ndjson": '{"number": "Süd"}'.encode("latin-1")},
     "orders.ndjson is not UTF-8 (at or after line 1). Save it as UTF-8."),
    ({}, "{folder} contains none of customers.csv, products.csv, orders.csv, order_lines.csv."),
]  # fmt: skip


@pytest.mark.parametrize(("files", "problem"), UNUSABLE, ids=[item[1][:50] for item in UNUSABLE])
async def test_unusable_file_is_rejected_before_anything_is_stored(
    importer: Importer, files: dict[str, str | bytes], problem: str
) -> None:
    if files:
        importer.put({"customers.csv": "number,name\nC-1,One\n"})
    with pytest.raises(UsageError) as refused:
        await importer.take(files)
    assert str(refused.value).startswith(problem.replace("{folder}", str(importer.folder)))
    assert await importer.customer("C-1") is None


async def test_file_cut_inside_a_character_is_rejected_before_anything_is_stored(importer: Importer) -> None:
    rows = "".join(f"C-{number},Größe {number}\n" for number in range(20_000)).encode()
    with pytest.raises(UsageError, match="is not utf-8"):
        await importer.take({"customers.csv": b"number,name\n" + rows + "Grö".encode()[:-1]})
    assert await importer.customer("C-1") is None


def ndjson(*objects: Any) -> str:
    return "".join((item if isinstance(item, str) else json.dumps(item)) + "\n" for item in objects)


WEB: dict[str, Any] = {
    "number": "W-1",
    "customer": {"number": "C-7", "name": "Web buyer"},
    "placed_at": "2026-03-03T12:00:00Z",
    "promised_on": "2026-03-09",
    "currency": "USD",
    "freight": 12.30,
    "lines": [{"sku": "TEA", "quantity": 3, "unit_price": 4.1}, {"sku": "JAM", "quantity": "1"}],
}


async def test_ndjson_order_is_imported_with_its_customer_and_lines(importer: Importer, shop: dict[str, str]) -> None:
    report = await importer.take({**shop, "web.ndjson": ndjson(WEB, "")})
    assert report.problems == []
    order = await importer.order("W-1")
    assert order is not None
    assert (order.customer.name, order.header.promised_on, order.header.freight) == (
        "Web buyer",
        date(2026, 3, 9),
        Decimal("12.3"),
    )
    assert [(line.number, line.unit_price) for line in order.lines] == [(1, Decimal("4.1")), (2, Decimal("3.2"))]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{",
         "web.ndjson:2:1: is not JSON (Expecting property name enclosed in double quotes); write one object a line"),
        ("[1]", "web.ndjson:2:1: is not an object; write one order a line"),
        ("[" * 100_000, "web.ndjson:2:1: is not JSON"),
        ({"number": "W-2", "color": "red"}, "web.ndjson:2:1: unknown: color; remove it, or correct its name"),
        ({"number": "C-7", "name": "Ada", "foo": 1},
         "web.ndjson:2:1: this is a customer or a product: an NDJSON file has one order a line, with its customer and"),
        ({"number": "W-2", "lines": {}}, "web.ndjson:2:1: lines must be a list of objects"),
        ({"number": "W-2", "lines": []},
         "web.ndjson:2:1: lines is empty; leave it out to keep the existing lines, or cancel the order"),
        ({"number": "W-2", "lines": ["TEA"]}, "web.ndjson:2:1: a line must be an object with sku and quantity"),
        ({"number": ["W-2"]}, "web.ndjson:2:1: number is not a text or a number"),
        ({**WEB, "number": "W-2", "freight": float("nan")},
         "web.ndjson:2:1: is not JSON (NaN is no number in JSON); write one object a line"),
    ],
)  # fmt: skip
async def test_bad_object_is_reported_and_other_objects_are_imported(
    importer: Importer, shop: dict[str, str], line: Any, problem: str
) -> None:
    report = await importer.take({**shop, "web.ndjson": ndjson(WEB, line)})
    assert report.problems[0].startswith(problem)
    assert await importer.order("W-1") is not None
    assert await importer.order("W-2") is None


async def test_prices_of_one_product_in_separate_rows_are_all_imported(importer: Importer) -> None:
    rows = "A,Tea,10,USD\nB,Jam,20,USD\nA,Tea,9,EUR\nB,Jam,18,EUR\n"
    report = await importer.take({"products.csv": f"sku,name,unit_price,currency\n{rows}"})
    assert report.saved["products"] == Saved(created=2)
    product = await importer.product("A")
    assert product is not None
    assert [(price.currency, price.unit_price) for price in product.prices] == [
        ("EUR", Decimal(9)), ("USD", Decimal(10)),
    ]  # fmt: skip


async def test_line_with_another_product_or_currency_gets_the_list_price(
    importer: Importer, shop: dict[str, str]
) -> None:
    shop["products.csv"] += "TEA,Tea,4.00,EUR\n"
    await importer.take(shop)
    (importer.folder / "orders.csv").unlink()
    await importer.take({"order_lines.csv": "order,line,sku,quantity\n2,1,JAM,1\n"})
    order = await importer.order("2")
    assert order is not None
    assert order.lines[0].unit_price == Decimal("3.20")
    (importer.folder / "order_lines.csv").unlink()
    await importer.take({"orders.csv": "number,currency\n2,EUR\n"})
    order = await importer.order("2")
    assert order is not None
    assert order.lines[0].unit_price == Decimal("2.95")


async def test_line_removed_from_the_file_is_removed_from_the_order(importer: Importer, shop: dict[str, str]) -> None:
    await importer.take(shop)
    report = await importer.take({"order_lines.csv": shop["order_lines.csv"].replace("1,2,JAM,2,,\n", "")})
    assert report.saved["orders"] == replace(Saved(), updated=1, unchanged=1)
    order = await importer.order("1")
    assert order is not None
    assert [line.number for line in order.lines] == [1]
