"""Rows that repeat: blanks, contradictions, changes; in one file, in several, and in a second run."""

from __future__ import annotations

from decimal import Decimal

import pytest

from connector.model.product import Price
from connector.model.stage import Stage
from connector.orders.importing import ImportReport, import_files, load_profile, spool
from connector.store.sql import Saved
from tests.unit.importing.conftest import Importer, Silent

PROFILE = """\
files: {f: f.csv}
customers: {file: f, number: Mail, name: Buyer, phone: Phone}
products: {file: f, sku: SKU, name: SKU, unit_price: Price, currency: {column: Cur, default: USD}}
orders:
  file: f
  number: No
  customer: Mail
  placed_at: {first: [{when: Paid, column: Paid}, {column: At}]}
  currency: {column: Cur, default: USD}
  freight: Ship
  notes: Memo
  stage: {column: State, values: {done: shipped, open: confirmed}, default: placed}
lines: {file: f, order: No, line: {count: true}, sku: SKU, quantity: Qty, unit_price: Price}
"""
HEADER = "No,Mail,Buyer,Phone,Cur,Ship,State,At,Paid,Memo,SKU,Qty,Price"
FIRST = "1,a@x,Ann,,EUR,5.00,done,2026-01-05,,,MUG,2,10.00"
BLANK = "1,a@x,,,,,,2026-01-05,,,SPOON,1,3.00"


async def take(importer: Importer, *rows: str) -> ImportReport:
    return await importer.take({"f.csv": "\n".join([HEADER, *rows, ""])}, profile=PROFILE)


@pytest.mark.parametrize("rows", [(FIRST, BLANK), (BLANK, FIRST)])
async def test_blank_cell_takes_the_value_of_another_row_of_the_order(
    importer: Importer, rows: tuple[str, ...]
) -> None:
    report = await take(importer, *rows)
    assert (report.problems, report.notices, report.left_out) == ([], [], [])
    order = await importer.order("1")
    assert order is not None
    assert (order.currency, order.header.freight, order.stage) == ("EUR", Decimal("5.00"), Stage.SHIPPED)
    assert order.customer.name == "Ann"
    assert sorted(line.product.sku for line in order.lines) == ["MUG", "SPOON"]
    spoon = await importer.product("SPOON")
    assert spoon is not None
    assert spoon.prices == (Price(currency="EUR", unit_price=Decimal("3.00")),)  # not in the default currency


async def test_default_is_used_if_no_row_of_the_order_has_a_value(importer: Importer) -> None:
    report = await take(importer, "1,a@x,,,,,,2026-01-05,,,MUG,2,10", "1,a@x,,,,,,,,,CUP,1,3")
    assert report.problems == []
    order = await importer.order("1")
    assert order is not None
    assert (order.currency, order.stage, order.header.freight, len(order.lines)) == ("USD", Stage.PLACED, None, 2)


async def test_earlier_form_of_first_wins_in_whichever_row_it_has_a_value(importer: Importer) -> None:
    report = await take(importer, FIRST, "1,a@x,,,,,,2026-01-05,2026-02-01,,SPOON,1,3.00")
    assert report.problems == []
    order = await importer.order("1")
    assert order is not None
    assert str(order.header.placed_at.date()) == "2026-02-01"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("1,a@x,,,,6.00,,2026-01-05,,,SPOON,1,3", "f.csv:3:6: Ship: order '1' has '6.00' here and '5.00' in f.csv:2"),
        ("1,b@x,,,,,,2026-01-05,,,SPOON,1,3", "f.csv:3:2: Mail: order '1' has 'b@x' here and 'a@x' in f.csv:2"),
        ("1,a@x,,,USD,,,2026-01-05,,,SPOON,1,3", "f.csv:3:5: Cur: order '1' has 'USD' here and 'EUR' in f.csv:2"),
        ("1,a@x,,,,,open,2026-01-05,,,SPOON,1,3", "f.csv:3:7: State: order '1' has 'confirmed' here and 'shipped' in"),
    ],
)
async def test_rows_of_an_order_that_differ_are_reported_once_with_both_places(
    importer: Importer, row: str, problem: str
) -> None:
    other = "2,c@x,,,,,,2026-01-05,,,CUP,1,3"
    report = await take(importer, FIRST, row, row.replace("SPOON", "CUP"), other)
    [told] = report.problems
    assert told.startswith(problem)
    assert (report.bad.total(), report.left_out) == (1, ["1"])
    assert await importer.order("1") is None
    assert await importer.order("2") is not None


async def test_equal_numbers_in_different_notations_do_not_differ(importer: Importer) -> None:
    assert (await take(importer, FIRST, "1,a@x,,,,5,,2026-01-05,,,SPOON,1,3")).problems == []


async def test_customer_that_differs_between_rows_is_noticed_and_the_last_row_wins_in_every_run(
    importer: Importer,
) -> None:
    rows = [
        "1,a@x,Ann,111,,,,2026-01-05,,,MUG,1,10",
        "2,a@x,,222,,,,2026-01-06,,,MUG,1,10",
        "3,a@x,,,,,,2026-01-07,,,MUG,1,12",
    ]
    notices = [
        "f.csv:3:4: Phone: customer 'a@x' has '222' here and '111' in f.csv:2; the later one is used",
        "f.csv:4:13: Price: product 'MUG' has '12' here and '10' in f.csv:3; the later one is used",
    ]
    for run in range(2):
        report = await take(importer, *rows)
        assert (report.problems, report.notices, report.bad.total()) == ([], notices, 0)
        assert report.saved["customers"] == (Saved(unchanged=1) if run else Saved(created=1))
        assert report.saved["orders"] == (Saved(unchanged=3) if run else Saved(created=3))
    customer = await importer.customer("a@x")
    assert customer is not None
    assert (customer.name, customer.phone) == ("Ann", "222")


async def test_row_without_a_customer_has_the_customer_of_its_order(importer: Importer) -> None:
    report = await take(importer, FIRST, "1,,,555,,,,,,,SPOON,1,3", "2,,,,,,,2026-01-05,,,MUG,1,10")
    assert report.problems == ["f.csv:4:2: Mail: is empty; it needs a value"]
    customer = await importer.customer("a@x")
    assert customer is not None
    assert customer.phone == "555"


async def test_row_without_a_product_has_no_line_and_an_order_without_lines_is_reported(importer: Importer) -> None:
    head = "1,a@x,Ann,,EUR,5.00,done,2026-01-05,,,,,"
    report = await take(importer, head, "1,a@x,,,,,,,,,MUG,2,10.00", head.replace("1,a", "2,a", 1))
    assert report.problems == ["f.csv:4:1: No: order '2' has no line: none of its rows has one"]
    order = await importer.order("1")
    assert order is not None
    assert [line.product.sku for line in order.lines] == ["MUG"]


async def test_row_without_a_number_leaves_out_the_order_above_it(importer: Importer) -> None:
    report = await take(importer, FIRST, ",,,,,,,,,,SPOON,1,3.00")
    assert report.problems == ["f.csv:3:1: No: is empty; it names the order"]
    assert (report.left_out, await importer.order("1")) == (["1"], None)


async def several(importer: Importer, *files: tuple[str, list[str]]) -> ImportReport:
    """Each file in a folder of its own."""
    path = importer.folder / "p.yaml"
    path.write_text(PROFILE)
    folders = []
    for name, rows in files:
        folder = importer.folder / name
        folder.mkdir(exist_ok=True)
        (folder / "f.csv").write_text("\n".join([HEADER, *rows, ""]))
        folders.append(folder)
    return await import_files(importer.store, folders, load_profile(path), progress=Silent())


async def test_problem_in_one_of_several_folders_is_reported_with_its_folder(importer: Importer) -> None:
    bad = "2,a@x,,,,x,,2026-01-05,,,MUG,1,10"
    report = await several(importer, ("jan", [FIRST]), ("feb", [bad, FIRST.replace("1,a", "3,a", 1)]))
    assert report.problems == [
        f"{importer.folder / 'feb' / 'f.csv'}:2:6: Ship: 'x' is not a number: expected one as 12.5"
    ]
    assert await importer.order("1") is not None
    assert await importer.order("3") is not None


async def test_order_in_two_files_is_imported_once(importer: Importer) -> None:
    report = await several(importer, ("jan", [FIRST, BLANK]), ("feb", [FIRST, BLANK]))
    assert report.problems == []
    order = await importer.order("1")
    assert order is not None
    assert len(order.lines) == 2


@pytest.mark.parametrize("rows", [[FIRST], [FIRST, BLANK.replace("SPOON,1", "SPOON,2")], [FIRST, BLANK, BLANK]])
async def test_order_with_different_lines_in_two_files_is_reported_with_both_places(
    importer: Importer, rows: list[str]
) -> None:
    report = await several(importer, ("jan", [FIRST, BLANK]), ("feb", rows))
    [told] = report.problems
    assert told.startswith(f"{importer.folder / 'feb' / 'f.csv'}:2:1: No: order '1' has other lines here than in ")
    assert f"{importer.folder / 'jan' / 'f.csv'}:2;" in told
    assert report.left_out == ["1"]


async def test_path_that_is_given_twice_is_read_once(importer: Importer) -> None:
    path = importer.folder / "p.yaml"
    path.write_text(PROFILE)
    importer.put({"f.csv": f"{HEADER}\n{FIRST}\n"})
    paths = [
        importer.folder,
        importer.folder / "f.csv",
        importer.folder / ".." / importer.folder.name / "f.csv",
    ]
    report = await import_files(importer.store, paths, load_profile(path), progress=Silent())
    assert (report.problems, report.lines) == ([], 1)


async def test_equal_lines_with_the_same_number_are_imported_once(importer: Importer, shop: dict[str, str]) -> None:
    shop["order_lines.csv"] += "1,2,JAM,,,\n"
    report = await importer.take(shop)
    assert [problem.split(": ", 1)[1] for problem in report.problems] == ["quantity: is empty; it needs a value"]
    shop["order_lines.csv"] = shop["order_lines.csv"].replace("1,2,JAM,,,\n", "1,2,JAM,2.0,3.10,\n")
    report = await importer.take(shop)
    assert report.problems == []
    order = await importer.order("1")
    assert order is not None
    assert order.lines[1].unit_price == Decimal("3.10")


async def test_rows_of_one_order_far_apart_are_merged_from_disk(
    importer: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "CACHED", 1)
    monkeypatch.setattr(spool, "BUFFERED", 1)
    other = "2,b@x,Bo,,EUR,,,2026-01-06,,,MUG,1,11.00"
    report = await take(
        importer, FIRST, other, BLANK, "1,a@x,,555,,6.00,,,,,CUP,1,1.00", other.replace("EUR,", "EUR,1,", 1)
    )
    assert report.problems == [
        "f.csv:5:6: Ship: order '1' has '6.00' here and '5.00' in f.csv:2; keep one of the two",
        "f.csv:6:1: has 14 cells where the header has 13; check the delimiter",
    ]
    assert report.left_out == ["1", "2"]
    customer = await importer.customer("a@x")
    assert customer is not None
    assert (customer.name, customer.phone) == ("Ann", "555")
    report = await take(
        importer, FIRST, other, BLANK, "3,b@x,,777,,,,2026-01-06,,,MUG,1,11.00", "1,a@x,,,,,,,,,CUP,1,1.00"
    )
    assert report.problems == []
    order = await importer.order("1")
    assert order is not None
    assert (len(order.lines), order.header.freight, order.currency) == (3, Decimal("5.00"), "EUR")
