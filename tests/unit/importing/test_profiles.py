"""Other people's exports: encodings, delimiters, numbers, dates, flat files, joins; and profiles that are wrong."""

from __future__ import annotations

import codecs
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connector.errors import ProfileError, UsageError
from connector.model.product import Price
from connector.model.stage import Stage
from connector.orders.importing import import_files, load_profile
from connector.store.sql import Saved
from tests.acceptance.export import made_up
from tests.unit.importing.conftest import Importer, Silent

FIXTURES = Path(__file__).parents[3] / "fixtures"

CUSTOMERS_ONLY = """\
files: {{customers: customers.txt}}
{settings}
customers: {{number: Nr, name: Name}}
"""


@pytest.mark.parametrize(
    ("encoding", "head"),
    [
        ("utf-8", b""),
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16", b""),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("cp1252", b""),
        ("iso-8859-15", b""),
        ("mac_roman", b""),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
async def test_file_in_a_configured_encoding_with_any_line_end_is_read(
    importer: Importer, encoding: str, head: bytes, newline: str
) -> None:
    text = newline.join(["Nr,Name", "1,Zoë Größe", '2,"Two', 'lines"', ""])
    named = "utf-16" if head == codecs.BOM_UTF16_LE else encoding
    profile = CUSTOMERS_ONLY.format(settings=f"encoding: {named}")
    report = await importer.take({"customers.txt": head + text.encode(encoding)}, profile=profile)
    assert report.problems == []
    first, second = await importer.customer("1"), await importer.customer("2")
    assert first is not None
    assert second is not None
    assert (first.name, second.name) == ("Zoë Größe", f"Two{newline}lines")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "^"])
@pytest.mark.parametrize("quote", ['"', "'"])
async def test_file_with_a_configured_delimiter_and_quote_is_read(
    importer: Importer, delimiter: str, quote: str
) -> None:
    rows = [["Nr", "Name"], ["1", f"{quote}a{delimiter}b {quote}{quote}c{quote}{quote}{quote}"]]
    text = "\n".join(delimiter.join(row) for row in rows)
    settings = f"delimiter: {json.dumps(delimiter)}\nquote: {json.dumps(quote)}"
    report = await importer.take({"customers.txt": text}, profile=CUSTOMERS_ONLY.format(settings=settings))
    assert report.problems == []
    found = await importer.customer("1")
    assert found is not None
    assert found.name == f"a{delimiter}b {quote}c{quote}"


@pytest.mark.parametrize(
    ("settings", "text", "number"),
    [
        ("", "1234.5", "1234.5"),
        ("", "+.5", "0.5"),
        ("decimal: ','", "1234,50", "1234.50"),
        ("decimal: ','\nthousands: '.'", "1.234.567,89", "1234567.89"),
        ("thousands: ','", "1,234.50", "1234.50"),
        ("decimal: ','\nthousands: ' '", "1 234,5", "1234.5"),
        ('thousands: "\'"', "1'234.5", "1234.5"),
    ],
)
async def test_number_in_a_configured_notation_is_read(
    importer: Importer, settings: str, text: str, number: str
) -> None:
    profile = (
        f"files: {{p: p.txt}}\ndelimiter: ';'\n{settings}\n"
        "products: {file: p, sku: SKU, name: SKU, unit_price: Price, currency: {const: EUR}}\n"
    )
    report = await importer.take({"p.txt": f"SKU;Price\nA;{text}\n"}, profile=profile)
    assert report.problems == []
    found = await importer.product("A")
    assert found is not None
    assert found.prices == (Price(currency="EUR", unit_price=Decimal(number)),)


@pytest.mark.parametrize("text", ["1.234,5", "1e5", "٣", "0x10", "1_000", "--1", "1 000", "Infinity", "-"])
async def test_number_in_another_notation_is_rejected(importer: Importer, text: str) -> None:
    profile = "files: {p: p.txt}\ndelimiter: ';'\nproducts: {file: p, sku: SKU, name: SKU, unit_price: Price}\n"
    report = await importer.take({"p.txt": f"SKU;Price\nA;{text}\n"}, profile=profile)
    expected = "'.' as the decimal mark" if "," in text else "one as 12.5"
    assert report.problems == [f"p.txt:2:2: Price: {text!r} is not a number: expected {expected}"]


@pytest.mark.parametrize(
    ("settings", "text", "at"),
    [
        ("", "2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("", "2026-01-31T10:00:00+01:00", datetime(2026, 1, 31, 9, tzinfo=UTC)),
        ("time_zone: Europe/Berlin", "2026-07-31T00:30:00", datetime(2026, 7, 30, 22, 30, tzinfo=UTC)),
        ("dates: ['%d.%m.%Y', '%d.%m.%Y %H:%M']", "31.01.2026 23:15", datetime(2026, 1, 31, 23, 15, tzinfo=UTC)),
        ("dates: ['%m/%d/%y']", "01/31/26", datetime(2026, 1, 31, tzinfo=UTC)),
        ("dates: ['%d-%b-%Y %I:%M %p']\ntime_zone: America/New_York", "31-Jan-2026 02:00 PM",
         datetime(2026, 1, 31, 19, tzinfo=UTC)),
        ("dates: ['%Y-%m-%dT%H:%M:%S%z']\ntime_zone: Asia/Tokyo", "2026-01-31T10:00:00-0500",
         datetime(2026, 1, 31, 15, tzinfo=UTC)),
    ],
)  # fmt: skip
async def test_date_in_a_configured_format_is_read(importer: Importer, settings: str, text: str, at: datetime) -> None:
    profile = (
        f"files: {{o: o.txt}}\ndelimiter: ';'\n{settings}\ncustomers: {{file: o, number: C, name: C}}\n"
        "orders: {file: o, number: N, customer: C, placed_at: At, promised_on: At, currency: {const: USD}}\n"
    )
    report = await importer.take({"o.txt": f"N;C;At\n1;X;{text}\n"}, profile=profile)
    assert report.problems == []
    order = await importer.order("1")
    assert order is not None
    assert order.header.placed_at == at
    assert order.header.promised_on == (date(2026, 7, 31) if "07" in text else date(2026, 1, 31))


async def test_flat_file_saved_by_a_spreadsheet_is_imported(importer: Importer) -> None:
    profile = load_profile(FIXTURES / "profiles" / "flat-semicolon.yaml")
    sample = FIXTURES / "samples" / "flat-semicolon.csv"
    importer.put({"Auftragsliste Oktober.csv": sample.read_bytes()})
    for taken in (sample, importer.folder / "Auftragsliste Oktober.csv"):
        report = await import_files(importer.store, [taken], profile, progress=Silent())
        assert report.problems == []
    assert report.saved == {
        "customers": Saved(unchanged=3),
        "products": Saved(unchanged=2),
        "orders": Saved(unchanged=3),
    }
    order = await importer.order("2026-0418")
    assert order is not None
    assert order.customer.name == 'Müller & Söhne "Zur Post"'
    assert (order.stage, order.header.placed_at) == (Stage.SHIPPED, datetime(2026, 10, 5, 7, 30, tzinfo=UTC))
    assert [(line.product.name, line.exact_total) for line in order.lines] == [
        ("Kaffee, ganze Bohne", Decimal("204.12")),
        ('Mühle "Duo"', Decimal(1199)),
    ]
    noted = await importer.order("2026-0419")
    assert noted is not None
    assert noted.header.notes == "Bitte hinten abgeben;\r\nTor ist offen"
    assert noted.lines[0].quantity == Decimal("6.5")
    assert noted.customer.country == "Austria"


async def test_northwind_export_is_imported_by_the_northwind_profile(importer: Importer, tmp_path: Path) -> None:
    export = made_up(tmp_path / "export", customers=5, products=6, orders=30)
    profile = load_profile(FIXTURES / "profiles" / "northwind.yaml")
    report = await import_files(importer.store, [export.folder], profile, progress=Silent())
    assert report.problems == []
    assert {kind: saved.created for kind, saved in report.saved.items()} == {
        "customers": 5, "products": 6, "orders": 30,
    }  # fmt: skip
    for row in export.rows("orders"):
        order = await importer.order(row["OrderID"])
        assert order is not None
        assert order.exact_total == export.totals[row["OrderID"]]
        assert order.stage is (Stage.SHIPPED if row["ShippedDate"] else Stage.PLACED)
        assert order.header.placed_at.date() == date.fromisoformat(row["OrderDate"][:10])
        carriers = {item["ShipperID"]: item["CompanyName"] for item in export.rows("shippers")}
        assert order.header.carrier == carriers[row["ShipVia"]]


async def test_missing_file_of_a_profile_is_reported(importer: Importer) -> None:
    profile = load_profile(FIXTURES / "profiles" / "northwind.yaml")
    importer.put({"orders.csv": "OrderID\n"})
    with pytest.raises(UsageError, match=r"^The profile needs customers\.csv, order_details\.csv, products\.csv,"):
        await import_files(importer.store, [importer.folder], profile, progress=Silent())


async def test_missing_column_of_a_profile_is_reported(importer: Importer) -> None:
    with pytest.raises(UsageError) as refused:
        await importer.take({"customers.txt": "Nr,Nom\n1,x\n"}, profile=CUSTOMERS_ONLY.format(settings=""))
    assert str(refused.value) == (
        "customers.txt has no column `Name`. Its header has `Nr`, `Nom`. Correct the header, or the profile."
    )


KNOWN = (
    "currency_sign, customers, dates, decimal, delimiter, encoding, files, lines, orders, products, quote, skip_lines,"
    " thousands, time_zone"
)
WRONG: list[tuple[str, list[str]]] = [
    ("[]", ["1:1: file: is empty or no mapping: write `key: value` lines."]),
    ("a: [", ["1:5: file: is not YAML: expected the node content, but found '<stream end>'; correct this line or the"
              " one above."]),
    ("files: {c: c.csv}\nfiles: {d: d.csv}\ncustomers: {file: c, number: N}\n",
     ["2:1: files: stands here twice, first on line 1: remove one."]),
    (
        "files: {c: c.csv}\ncolor: red\nreturns: {}\ncustomers: {file: d, number: N, nickname: X}\nlines: 7\n",
        [
            f"2:1: color: is not a section or setting of a profile; use one of {KNOWN}",
            f"3:1: returns: cannot be imported yet; use one of {KNOWN}",
            "4:13: customers.file: 'd' is not among `files`: c",
            "4:33: customers.nickname: is not a field; use one of file, number, name, email, phone, street, city,"
            " state, postal_code, country, first_name, last_name, payment_terms",
            "5:1: lines: must be a mapping of fields to columns",
        ],
    ),
    (
        "files: {c: c.csv}\nencoding: klingon\ndelimiter: '::'\ndecimal: ','\nthousands: ','\ntime_zone: Mars/Base\n"
        "dates: '%d'\ncustomers: {file: c, name: N}\n",
        [
            "2:1: encoding: 'klingon' is not an encoding: expected a name such as utf-8 or cp1252",
            '3:1: delimiter: must be one character; a tab is "\\t", in double quotes',
            "5:1: thousands: is the same as the decimal mark",
            "6:1: time_zone: 'Mars/Base' is not a time zone: expected a name such as Europe/Berlin",
            "7:1: dates: must be a list of date formats ('%d.%m.%Y')",
            "8:1: customers: number is missing: it identifies the customer",
        ],
    ),
    (
        "files: {c: c.csv}\nencoding: base64\nquote: ','\ndelimiter: ','\nskip_lines: -1\ndecimal: '1'\nthousands: ab\n"
        "currency_sign: 5\ndates: ['%d.%m.', '%I:%M %d.%m.%Y', '%Y-%m-%d %Z', '%Q', ' ']\ntime_zone:\n"
        "customers: {file: c, number: N}\n",
        [
            "2:1: encoding: 'base64' is not an encoding: expected a name such as utf-8 or cp1252",
            "3:1: quote: is the same as the delimiter",
            "5:1: skip_lines: must be the number of lines above the header, 0 to 1,000",
            "6:1: decimal: must be one character other than a digit, such as , or .",
            "7:1: thousands: must be one character other than a digit, such as . or ,",
            "8:1: currency_sign: must be the sign beside an amount, such as $ or kr",
            "9:9: dates: '%d.%m.' lacks year, month or day: expected one like %d.%m.%Y",
            "9:19: dates: '%I:%M %d.%m.%Y' has an hour of twelve (%I) without %p",
            "9:37: dates: '%Y-%m-%d %Z' has %Z: leave it and the blank before it out; UTC or GMT at the end of a time"
            " is understood",
            "9:52: dates: '%Q' is not a date format: expected one like %d.%m.%Y %H:%M",
            "9:58: dates: is empty; give it a text, in quotes if it is a word like null, or remove it",
            "10:1: time_zone: is empty; give it a text, in quotes if it is a word like null, or remove it",
        ],
    ),
    (
        "files: {c: c.csv}\ncustomers:\n  file: c\n  number: {count: true}\n  name: {colum: N}\n"
        "  city: {join: x, on: A}\n  state: {first: A}\n  phone: [A]\n  email:\n",
        [
            "4:12: customers.number.count: only line numbers can be counted",
            "5:3: customers.name: needs one of column, const, count, first, join",
            "6:3: customers.city: a join needs `key`",
            "6:3: customers.city: a join needs `column`",
            "6:10: customers.city.join: 'x' is not among `files`: c",
            "7:11: customers.state.first: must be a list of at most 50 forms",
            "8:3: customers.phone: must be a column name, or a form such as {const: USD}",
            "9:3: customers.email: is empty; give it a text, in quotes if it is a word like null, or remove it",
        ],
    ),
    (
        "files: {c: c.csv, d: d.csv}\norders:\n  file: c\n  number: N\n  notes: {const: x, default: y}\n"
        "  channel: {column: A, when: B}\n  stage: {column: A, values: {open: plced, : placed}, default: shippd}\n"
        "  carrier: {first: [{const: x}, {column: A}]}\n  freight: {join: c, on: A, key: B, column: C, sum: false}\n"
        "  po_number: {join: c, on: A, key: B, column: C, sum: true, values: {}}\n"
        "  tax_rate: {first: [{first: [A]}]}\n",
        [
            "1:19: files.d: is read by no section and no join; remove it",
            "5:21: orders.notes.default: is not allowed in a form with `const`, which can have const",
            "6:24: orders.channel.when: is not allowed in a form with `column`, which can have column, values, default",
            "7:37: orders.stage.values.open: 'plced' is not a stage: expected one of placed, verified, confirmed,"
            " fulfilling, shipped, delivered, completed, canceled",
            "7:45: orders.stage.values: an empty cell cannot be translated: use `default`, or put the word in quotes",
            "7:55: orders.stage.default: 'shippd' is not a stage: expected one of placed, verified, confirmed,"
            " fulfilling, shipped, delivered, completed, canceled",
            "8:21: orders.carrier.first: a `const` without `when` always applies, and hides the forms after it: put it"
            " last",
            "9:48: orders.freight.sum: can only be true; remove it otherwise",
            "10:50: orders.po_number.sum: only numbers are added: discount, freight, quantity, stated_total, tax_rate,"
            " unit_price",
            "10:61: orders.po_number.values: a sum cannot be translated; remove one of the two",
            "10:61: orders.po_number.values: must be a table from cell texts to values ({open: placed})",
            "11:22: orders.tax_rate.first: needs one of column, const, join",
        ],
    ),
    ("files: {c: c.csv}\n",
     ["1:1: file: name at least one section: customers, products, orders, lines",
      "1:9: files.c: is read by no section and no join; remove it"]),
    ("customers: {number: N, name: N}\n",
     ["1:1: files: name at least one file (orders: orders.csv)",
      "1:1: customers.file: 'customers' is not among `files`"]),
]  # fmt: skip


@pytest.mark.parametrize(("source", "problems"), WRONG)
def test_all_errors_of_a_profile_are_reported_with_their_places(
    tmp_path: Path, source: str, problems: list[str]
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(source)
    with pytest.raises(ProfileError) as refused:
        load_profile(path)
    assert list(refused.value.problems) == [f"{path}:{problem}" for problem in problems]


def test_unreadable_profile_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.yaml cannot be read: No such file or directory"):
        load_profile(tmp_path / "absent.yaml")
    (tmp_path / "latin.yaml").write_bytes("files: {ü: ü}".encode("latin-1"))
    with pytest.raises(ProfileError, match=r"/latin\.yaml:1:\d+: file: is not UTF-8: save it as UTF-8"):
        load_profile(tmp_path / "latin.yaml")


@pytest.mark.parametrize("path", sorted((FIXTURES / "profiles").glob("*.yaml")), ids=lambda path: path.name)
def test_profiles_in_the_fixtures_are_valid(path: Any) -> None:
    assert load_profile(path).sections
