"""What files are like that come from elsewhere: headers, quotes, joins, formats; and each fault is told once."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from connector.errors import UsageError
from connector.orders.importing import import_files, load_profile
from tests.unit.importing.conftest import Importer, Silent

FLAT = """\
files: {f: f.csv}
customers: {file: f, number: C}
products: {file: f, sku: S, name: S, unit_price: P, currency: {const: USD}}
orders: {file: f, number: N, customer: C, placed_at: D, currency: {const: USD}}
lines: {file: f, order: N, line: {count: true}, sku: S, quantity: Q, unit_price: P}
"""
HEADER = "N,C,D,S,Q,P\n"
GOOD = "2,X,2026-01-05,A,1,2.00\n"


async def problems(importer: Importer, text: str, settings: str = "") -> list[str]:
    """Those of a flat file, of which order 2 is good."""
    report = await importer.take({"f.csv": text}, profile=settings + FLAT)
    order = await importer.order("2")
    assert order is not None
    assert order.exact_total == Decimal("2.00")
    assert report.bad.total() <= len(report.problems)
    return report.problems


@pytest.mark.parametrize(
    "text",
    [
        f"N,C,D,S,Q,P,,\n{GOOD.strip()},,\n",
        f"N,C,D,S,Q,P,Note,Note\n{GOOD.strip()},a,b\n",
        f"N,C,D,S,Q,P,\n{GOOD}",
        f"{HEADER}{GOOD.strip()},\n",
        f"{HEADER}{GOOD.strip()},,  ,\n",
        f"\ufeff{HEADER}{GOOD}",
        f" N ,C,D,S,\tQ,P \n{GOOD}",
        f"sep=,\n{HEADER}{GOOD}",
        f'"sep=;"\r\n{HEADER.replace(",", ";")}{GOOD.replace(",", ";")}',
    ],
)
async def test_surplus_or_padded_headers_are_ignored(importer: Importer, text: str) -> None:
    assert await problems(importer, text) == []


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("N,C,D,S,Q,P,Q\n", r"f\.csv:1: the header has 'Q' in columns 5 and 7\. Rename all but the right one\."),
        ("Q,C,D,Q,Q,P,N,S\n", r"f\.csv:1: the header has 'Q' in columns 1, 4 and 5\."),
        ("Report\nof March\nN,C,D,S,Q,P\n", r"f\.csv has no column `C`, .*Does the header stand further below\?"),
        ("PK\x03\x04xl/", r"f\.csv is a spreadsheet \(or another zip archive\), not CSV\. Save the sheet as CSV"),
        ("", r"f\.csv is empty; it needs a header line\."),
    ],
)
async def test_file_with_an_unusable_header_is_rejected(importer: Importer, text: str, refusal: str) -> None:
    with pytest.raises(UsageError, match=refusal):
        await importer.take({"f.csv": text}, profile=FLAT)


async def test_byte_order_mark_of_another_encoding_is_rejected(importer: Importer) -> None:
    with pytest.raises(
        UsageError, match=r"begins with the byte order mark of utf-16.*Say `encoding: utf-16` in a profile"
    ):
        await importer.take({"f.csv": HEADER.encode("utf-16")}, profile=FLAT)
    with pytest.raises(UsageError, match=r"begins with the byte order mark of utf-8, but is read as cp1252"):
        await importer.take({"f.csv": HEADER.encode("utf-8-sig")}, profile=f"encoding: cp1252\n{FLAT}")


async def test_configured_lines_above_the_header_are_skipped(importer: Importer) -> None:
    bad = "1,X,2026-01-05,A,x,2.00\n"
    told = await problems(importer, f'Orders, "of March\n\n{HEADER}{bad}{GOOD}', "skip_lines: 2\n")
    assert told == ["f.csv:4:5: Q: 'x' is not a number: expected one as 12.5"]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("1,X,2026-01-05,A,1", "f.csv:2:1: has 5 cells where the header has 6; check the delimiter"),
        ("1,X,2026-01-05,A,1,2.00,3", "f.csv:2:1: has 7 cells where the header has 6; check the delimiter"),
        (
            '1,X,2026-01-05,"A"x,1,2.00',
            "f.csv:2:1: cannot be read as a row (',' expected after '\"'); check its quotes",
        ),
        ("1,X,2026-01-05,A,1,2.0.0", "f.csv:2:6: P: '2.0.0' is not a number: expected one as 12.5"),
        ("1,X,2026-01-05,,1,2.00", "f.csv:2:4: S: is empty; it names the product"),
        ("1,X,soon,A,1,2.00", "f.csv:2:3: D: 'soon' is not a date: expected 2026-01-31 or 2026-01-31T10:00:00Z"),
        (f"1,{'X' * 81},2026-01-05,A,1,2.00", "f.csv:2:2: C: has 81 characters; a key has at most 80: shorten it"),
        ("1,X,2026-01-05,A,1,$2.00", "f.csv:2:6: P: '$2.00' has a currency sign; the profile names no currency sign"),
        ("1,X,2026-01-05,A,1,(2.00)", "f.csv:2:6: P: '(2.00)' is not a price: expected 0 or more"),
        ("1,X,2026-01-05,A,0,2.00", "f.csv:2:5: Q: '0' is not a quantity: expected more than 0"),
        ("1,X,2026-01-05,A,1 %,2.00", "f.csv:2:5: Q: '1 %' is a percentage; write a fraction (0.15), or"),
    ],
)
async def test_bad_row_that_four_sections_read_is_reported_once(importer: Importer, row: str, told: str) -> None:
    report = await importer.take({"f.csv": f"{HEADER}{row}\n{GOOD}"}, profile=FLAT)
    [problem] = report.problems
    assert problem.startswith(told)
    assert (report.bad.total(), report.left_out) == (1, ["1"])
    assert await importer.order("1") is None
    assert await importer.order("2") is not None


async def test_rows_with_the_same_problem_are_reported_together_with_their_first_places(importer: Importer) -> None:
    rows = "".join(f"B{number},X,2026-01-05,A,1,${number}\n" for number in range(300))
    report = await importer.take({"f.csv": f"{HEADER}{rows}{GOOD}"}, profile=FLAT)
    [group] = report.faults.groups
    assert str(group) == (
        "f.csv:2:6: P: '$0' has a currency sign; the profile names no currency sign (`currency_sign`)"
        " (299 more like it, in lines 3, 4, 5, 6, 7, …)"
    )
    assert (len(report.problems), report.bad.total(), report.left_out_count) == (300, 300, 300)


TSV = FLAT.replace("files", 'delimiter: "\\t"\nfiles').replace("name: S", "name: T")
ROWS = ['1\tX\t2026-01-05\tA\t1\t2.00\t"Best" mug', '2\tX\t2026-01-05\tB\t1\t2.00\t6" pipe']


async def test_quotes_as_plain_text_are_reported_or_read_with_quote_none(importer: Importer) -> None:
    text = "\n".join(["N\tC\tD\tS\tQ\tP\tT", *ROWS, ""])
    report = await importer.take({"f.csv": text}, profile=TSV)
    assert report.problems == [
        "f.csv:2:1: cannot be read as a row ('\\t' expected after '\"'); check its quotes, or say `quote: none` in the"
        " profile if its cells have none"
    ]
    assert (await importer.order("1"), report.left_out) == (None, ["1"])
    assert (await importer.take({"f.csv": text}, profile=f"quote: none\n{TSV}")).problems == []
    found = await importer.product("A"), await importer.product("B")
    assert [item.name for item in found if item] == ['"Best" mug', '6" pipe']


@pytest.mark.parametrize("end", ['tall" pipe', '6"', "plain"])
async def test_unclosed_quote_is_reported_where_it_opens(importer: Importer, end: str) -> None:
    rows = ['1\tX\t2026-01-05\tA\t1\t2.00\t"Best mug', "3\tX\t2026-01-05\tA\t1\t2.00\tmug",
            f"2\tX\t2026-01-05\tA\t1\t2.00\t{end}"]  # fmt: skip
    report = await importer.take({"f.csv": "\n".join(["N\tC\tD\tS\tQ\tP\tT", *rows, ""])}, profile=TSV)
    [problem] = report.problems
    assert problem.startswith("f.csv:2:1: ")
    assert "check its quotes" in problem
    assert report.left_out == ["1"]
    assert await importer.order("2") is not None
    assert await importer.order("3") is not None


async def test_quoted_cell_of_several_lines_is_read(importer: Importer) -> None:
    text = 'number,name,city,phone\nC-1,"Tea, and more,\nor so, they say,\nof them",Leeds,\n'
    report = await importer.take({"customers.csv": text})
    assert report.problems == []
    customer = await importer.customer("C-1")
    assert customer is not None
    assert customer.name == "Tea, and more,\nor so, they say,\nof them"


NOTED = """\
files: {f: f.csv}
customers: {file: f, number: C}
orders: {file: f, number: N, customer: C, placed_at: {const: "2026-01-05"}, currency: {const: USD}, notes: T}
"""
NOTES = [
    "Hello,\nplease ring, knock, wait, thanks",
    "Hello,\nplease ring, knock, wait",
    "Hello,\nplease ring,knock",
    "Hello,\nring, knock, wait\nor leave it, there, then\n\nthanks",
    "Hello,\n14 Mill Lane, Portland, OR 97201, USA",
    "Bring:\n2 mugs,1 pot,3 cups,4 jars",
    "1,2,3\n4,5,6",
    'Say ""hello"",\nand ""ring"", ""knock"", ""wait""',
    "A,B,C,D\r\nE,F,G,H",
    "Gate\nA-8,C1,9",
]


@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize("note", NOTES)
async def test_quoted_cell_with_lines_and_delimiters_is_read_in_any_column(
    importer: Importer, note: str, column: int
) -> None:
    def row(*cells: str) -> str:
        *others, noted = cells
        return ",".join([*others[:column], noted, *others[column:]])

    lines = [row("N", "C", "Q", "T"), row("A-1", "C1", "1", f'"{note}"'), row("A-2", "C1", "2", "plain")]
    report = await importer.take({"f.csv": "\n".join(lines) + "\n"}, profile=NOTED)
    assert (report.problems, report.left_out, report.saved["orders"].created) == ([], [], 2)
    order = await importer.order("A-1")
    assert order is not None
    assert order.header.notes == note.replace('""', '"')


async def test_row_of_several_lines_with_a_surplus_cell_is_reported_once_and_not_read(
    importer: Importer,
) -> None:
    text = f'{HEADER}1,X,2026-01-05,A,1,2.00,"Ring,\n9,then,2026-01-05,leave it,1,2\nthanks"\n{GOOD}'
    report = await importer.take({"f.csv": text}, profile=FLAT)
    assert report.problems == ["f.csv:2:1: has 7 cells where the header has 6; check the delimiter"]
    assert report.left_out == ["1"]
    assert await importer.customer("then") is None
    assert await importer.order("2") is not None


async def test_missing_order_number_is_reported_without_the_missing_currency_of_its_row(importer: Importer) -> None:
    profile = FLAT.replace("currency: {const: USD}", "currency: E")
    text = f"N,C,D,S,Q,P,E\n,X,2026-01-05,B,1,2.00,\n{GOOD.strip()},USD\n"
    report = await importer.take({"f.csv": text}, profile=profile)
    assert report.problems == ["f.csv:2:1: N: is empty; it names the order"]


@pytest.mark.parametrize(
    ("settings", "written", "amount"),
    [
        ("currency_sign: $\n", "$2.00", "2.00"),
        ("currency_sign: $\n", "2.00", "2.00"),
        ("currency_sign: kr\n", "2.00 kr", "2.00"),
        ("currency_sign: €\nthousands: ' '\n", "€ 1\u00a02\u202f34.50", None),
        ("currency_sign: €\nthousands: ' '\n", "1\u00a0234.50 €", "1234.50"),
        ("thousands: ','\n", '"1,23"', None),
        ("thousands: ','\n", '"12,34,567"', "1234567"),
        ("thousands: ','\n", '"1,234,5678"', None),
        ("thousands: ','\n", '"1234,567"', None),
        ("currency_sign: $\n", "$-2", None),
        ("currency_sign: $\n", "-$2", None),
        ("currency_sign: $\n", "€2", None),
        ("currency_sign: $\n", "$", None),
    ],
)
async def test_amount_is_read_in_the_notation_of_the_profile_or_reported(
    importer: Importer, settings: str, written: str, amount: str | None
) -> None:
    report = await importer.take({"f.csv": f"{HEADER}1,X,2026-01-05,A,1,{written}\n"}, profile=settings + FLAT)
    order = await importer.order("1")
    if amount is None:
        assert (len(report.problems), report.bad.total(), order) == (1, 1, None)
    else:
        assert report.problems == []
        assert order is not None
        assert order.exact_total == Decimal(amount)


@pytest.mark.parametrize(
    ("settings", "written"),
    [
        ("", "2026-01-05 10:11:12 UTC"),
        ("time_zone: Europe/Berlin\n", "2026-01-05T10:11:12GMT"),
        ("", "2026-01-05 05:11:12 -0500"),
        ("", "2026-01-05 05:11:12.000 -05:00"),
        ("dates: ['%d.%m.%Y %H:%M:%S']\ntime_zone: Europe/Berlin\n", "05.01.2026 10:11:12 UTC"),
        ("dates: ['%d.%m.%Y %H:%M:%S']\ntime_zone: Europe/Berlin\n", "05.01.2026 11:11:12"),
        ("", "20260105T101112Z"),
        ("", "2026-01-05T101112Z"),
        ("time_zone: Europe/Berlin\n", "20260105T111112"),
        ("time_zone: America/New_York\n", "2026-01-05T101112+0000"),
    ],
)
async def test_time_with_a_zone_is_read_in_that_zone(importer: Importer, settings: str, written: str) -> None:
    report = await importer.take({"f.csv": f"{HEADER}1,X,{written},A,1,2.00\n"}, profile=settings + FLAT)
    assert report.problems == []
    order = await importer.order("1")
    assert order is not None
    assert order.header.placed_at == datetime(2026, 1, 5, 10, 11, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("20260105", datetime(2026, 1, 5, tzinfo=UTC)),
        ("2026-01-05T10", datetime(2026, 1, 5, 10, tzinfo=UTC)),
        ("20261305", None),
        ("00010105", None),
        ("2026-W05-6", None),
        ("1767571200", None),
    ],
)
async def test_date_without_separators_is_read_if_it_is_unambiguous(
    importer: Importer, written: str, moment: datetime | None
) -> None:
    await importer.take({"f.csv": f"{HEADER}1,X,{written},A,1,2.00\n"}, profile=FLAT)
    order = await importer.order("1")
    assert (order and order.header.placed_at) == moment


JOINED = """\
files: {o: o.csv, p: p.csv}
customers: {file: o, number: C}
orders: {file: o, number: N, customer: C, placed_at: D, currency: {const: USD}, stated_total: JOIN}
"""
ORDERS = "N,C,D\n1,X,2026-01-05\n2,X,2026-01-05\n"


@pytest.mark.parametrize(
    ("payments", "plain", "summed"),
    [
        ("1,60\n1,40\n2,5\n", None, Decimal(100)),
        ("1,60\n1,60\n2,5\n", None, Decimal(120)),
        ("2,5\n1,\n1,60\n", Decimal(60), Decimal(60)),
        ("2,5\n", "none", "none"),
        ("2,5\n1,x\n", None, None),
        ("2,5\n1,7,8\n", None, None),
    ],
)
@pytest.mark.parametrize("adding", [False, True])
async def test_join_of_several_rows_is_rejected_or_summed(
    importer: Importer, payments: str, plain: object, summed: object, adding: bool
) -> None:
    join = "{join: p, on: N, key: N, column: A" + (", sum: true}" if adding else "}")
    report = await importer.take({"o.csv": ORDERS, "p.csv": f"N,A\n{payments}"}, profile=JOINED.replace("JOIN", join))
    expected = summed if adding else plain
    order, other = await importer.order("1"), await importer.order("2")
    assert other is not None
    assert other.header.stated_total == Decimal(5)
    if expected is None:
        assert (order, report.left_out, len(report.problems), report.bad.total()) == (None, ["1"], 1, 1)
    else:
        assert order is not None
        assert (order.header.stated_total, report.problems) == (None if expected == "none" else expected, [])


async def test_join_that_matches_two_rows_is_reported_with_both_places(importer: Importer) -> None:
    join = "{join: p, on: N, key: N, column: A}"
    report = await importer.take(
        {"o.csv": ORDERS, "p.csv": "N,A\n1,60\n2,5\n1,40\n"}, profile=JOINED.replace("JOIN", join)
    )
    assert report.problems == [
        "o.csv:2:1: N: '1' matches 2 rows of A: p.csv:2, p.csv:4; keep one, or say `sum: true` in the join to add"
        " numbers"
    ]


@pytest.mark.parametrize(
    ("paths", "refusal"),
    [
        (["d1", "empty"], r".*empty contains none of f\.csv\. Name the files, or correct `files` in the profile"),
        (["d1", "absent"], r"absent does not exist\."),
        (["d1", "web.ndjson"], r"web\.ndjson is NDJSON, which --profile cannot read\. Import it without --profile"),
    ],
)
async def test_unusable_path_is_rejected_before_anything_is_stored(
    importer: Importer, paths: list[str], refusal: str
) -> None:
    (importer.folder / "d1").mkdir()
    (importer.folder / "empty").mkdir()
    importer.put({"d1/f.csv": HEADER + GOOD, "web.ndjson": "{}", "p.yaml": FLAT})
    with pytest.raises(UsageError, match=refusal):
        await import_files(
            importer.store,
            [importer.folder / path for path in paths],
            load_profile(importer.folder / "p.yaml"),
            progress=Silent(),
        )
    assert await importer.order("2") is None


async def test_profile_of_one_file_reads_any_number_of_files_of_any_name(importer: Importer) -> None:
    importer.put({name: HEADER + GOOD.replace("2,X", f"{name},X", 1) for name in ("jan.csv", "feb.txt", "mar")})
    importer.put({"p.yaml": FLAT})
    paths = [Path(importer.folder / name) for name in ("jan.csv", "feb.txt", "mar")]
    report = await import_files(importer.store, paths, load_profile(importer.folder / "p.yaml"), progress=Silent())
    assert (report.problems, report.saved["orders"].created) == ([], 3)
