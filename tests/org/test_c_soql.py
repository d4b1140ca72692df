"""Chapter C: requests and results (C1), the grammar (C2), literals and error messages (C3)."""

from __future__ import annotations

import shlex
import sqlite3
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.localorg import soql
from connector.localorg.standard_objects import standard_schema
from connector.localorg.storage import Storage
from tests.org.conftest import Caller

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def orders() -> sqlite3.Connection:
    """Three accounts with four orders and five lines."""
    storage = Storage()
    storage.sync_tables(standard_schema())
    db = storage.connection
    for number, (name, city) in enumerate([("Alpha", "Bonn"), ("beta", None), ("O'Neil", "Rome")], start=1):
        db.execute(
            "INSERT INTO Account (Id, Name, BillingCity, CreatedDate, IsDeleted) VALUES (?, ?, ?, ?, 0)",
            (f"00100000000000{number}AAA", name, city, "2026-03-01T00:00:00.000+0000"),
        )
    rows = [(1, 1, "Draft", 10.0, "2026-03-14"), (2, 1, "Activated", 20.5, "2026-03-15"),
            (3, 2, "Activated", None, "2026-02-01"), (4, 3, "Draft", 5.25, "2025-12-31")]  # fmt: skip
    for number, account, status, total, day in rows:
        db.execute(
            'INSERT INTO "Order" (Id, AccountId, Status, TotalAmount, EffectiveDate, IsDeleted) VALUES (?,?,?,?,?,?)',
            (f"80100000000000{number}AAA", f"00100000000000{account}AAA", status, total, day, 0),
        )
    for number, order, quantity in [(1, 1, 1.0), (2, 1, 2.0), (3, 2, 3.0), (4, 3, 4.0), (5, 3, 0.1)]:
        db.execute(
            "INSERT INTO OrderItem (Id, OrderId, Quantity, IsDeleted) VALUES (?, ?, ?, 0)",
            (f"80200000000000{number}AAA", f"80100000000000{order}AAA", quantity),
        )
    return db


def ask(db: sqlite3.Connection, text: str) -> soql.QueryResult:
    return soql.run_query(db, standard_schema(), text, version="66.0", all_rows=False, now=NOW)


def names(db: sqlite3.Connection, where: str) -> list[str]:
    return [row["Name"] for row in ask(db, f"SELECT Name FROM Account WHERE {where} ORDER BY Name").records]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("Name = 'ALPHA'", ["Alpha"]),
        (r"Name = 'O\'Neil'", ["O'Neil"]),
        ("BillingCity = null", ["beta"]),
        ("BillingCity != 'Bonn'", ["beta", "O'Neil"]),
        ("NOT BillingCity = 'Bonn'", ["beta", "O'Neil"]),
        ("BillingCity LIKE '_o%'", ["Alpha", "O'Neil"]),
        ("Name IN ('alpha', 'Beta')", ["Alpha", "beta"]),
        ("Name NOT IN ('alpha')", ["beta", "O'Neil"]),
        ("(Name = 'alpha' OR Name = 'beta') AND BillingCity != null", ["Alpha"]),
        ("Id = '001000000000001'", ["Alpha"]),
        ("CreatedDate < 2026-03-01T01:00:00+01:00", []),
        ("CreatedDate >= 2026-03-01T01:00:00+01:00", ["Alpha", "beta", "O'Neil"]),
        ("Id IN (SELECT AccountId FROM Order WHERE Status = 'Draft')", ["Alpha", "O'Neil"]),
        ("Id NOT IN (SELECT AccountId FROM Order WHERE Status = 'Draft')", ["beta"]),
    ],
)
def test_conditions_select_the_expected_rows(orders: sqlite3.Connection, where: str, found: list[str]) -> None:
    """C2: operators, null, case, IDs, semi-joins."""
    assert names(orders, where) == found


@pytest.mark.parametrize(
    ("literal", "count"),
    [("= TODAY", 1), ("= YESTERDAY", 1), ("= LAST_N_DAYS:2", 2), ("= THIS_MONTH", 2), ("= LAST_MONTH", 1),
     ("< THIS_YEAR", 1), (">= LAST_MONTH", 3), ("= 2026-02-01", 1), ("!= TODAY", 3)],
)  # fmt: skip
def test_date_literals_cover_the_expected_spans(orders: sqlite3.Connection, literal: str, count: int) -> None:
    """C3."""
    assert ask(orders, f"SELECT COUNT() FROM Order WHERE EffectiveDate {literal}").total_size == count


def test_parents_and_children_are_nested_records(orders: sqlite3.Connection) -> None:
    """C1: a parent without children has null instead of a list."""
    [first, *_] = ask(
        orders,
        "SELECT Id, Account.Name, (SELECT Quantity FROM OrderItems ORDER BY Quantity DESC LIMIT 1)"
        " FROM Order ORDER BY Id",
    ).records
    assert first["attributes"]["url"] == "/services/data/v66.0/sobjects/Order/801000000000001AAA"
    assert first["Account"]["Name"] == "Alpha"
    assert first["OrderItems"]["records"][0]["Quantity"] == 2.0
    last = ask(orders, "SELECT Id, (SELECT Id FROM OrderItems) FROM Order WHERE Id = '801000000000004AAA'").records
    assert last[0]["OrderItems"] is None


def test_grouped_columns_are_named_by_field_alias_or_position(orders: sqlite3.Connection) -> None:
    """C1, C2."""
    rows = ask(
        orders,
        "SELECT Status, COUNT(Id), SUM(TotalAmount) total FROM Order GROUP BY Status"
        " HAVING COUNT(Id) > 1 ORDER BY Status",
    ).records
    assert rows[0] == {"attributes": {"type": "AggregateResult"}, "Status": "Activated", "expr0": 2, "total": 20.5}
    assert ask(orders, "SELECT SUM(Quantity) s FROM OrderItem").records[0]["s"] == 10.1


def test_nulls_sort_first_unless_nulls_last(orders: sqlite3.Connection) -> None:
    """C2."""
    first = ask(orders, "SELECT Name FROM Account ORDER BY BillingCity").records[0]["Name"]
    last = ask(orders, "SELECT Name FROM Account ORDER BY BillingCity NULLS LAST").records[-1]["Name"]
    assert first == last == "beta"


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("SELECT Foo FROM Account", "INVALID_FIELD", "No such column 'Foo' on entity 'Account'"),
        ("SELECT Id FROM Xyzzy", "INVALID_TYPE", "sObject type 'Xyzzy' is not supported"),
        ("SELECT Id FROM Account WHERE", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        ("SELECT Id FROM Account WHERE Id = null AND Id = null OR Id = null", "MALFORMED_QUERY", "unexpected token"),
        ("SELECT * FROM Account", "MALFORMED_QUERY", "unexpected token: '*'"),
        ("SELECT Id FROM Account WHERE Id = 'abc'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: abc"),
        ("SELECT Id FROM Account WHERE Description = 'x'", "INVALID_FIELD", "can not be filtered"),
        (
            "SELECT Id FROM Order WHERE EffectiveDate = '2026-01-01'",
            "INVALID_FIELD",
            "should not be enclosed in quotes",
        ),
        ("SELECT Id FROM Account OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "2000"),
        ("SELECT FIELDS(ALL) FROM Account", "MALFORMED_QUERY", "LIMIT"),
    ],
)
def test_invalid_query_is_rejected_in_the_platforms_words(
    orders: sqlite3.Connection, text: str, code: str, said: str
) -> None:
    """C2, C3: error codes and messages."""
    with pytest.raises(soql.SoqlError) as caught:
        ask(orders, text)
    assert caught.value.code == code
    assert said in caught.value.message


_WORDS = tuple(
    shlex.split(
        "SELECT FROM WHERE Id Name Account Order ( ) , = != LIKE 1 AND OR NOT IN LIMIT OFFSET NULL TODAY > OrderItems "
        "Account.Name 2026-01-01 LAST_N_DAYS:3 HAVING FIELDS(ALL) TotalAmount COUNT() COUNT(Id) "
        """ "'x'" 'GROUP BY' 'ORDER BY' "'\\\\'" """
    )
)


@settings(max_examples=200)
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(_WORDS), max_size=14).map(" ".join)))
def test_any_text_is_answered_or_rejected(orders: sqlite3.Connection, text: str) -> None:
    """C3: generated text."""
    for query in (text, f"SELECT Id FROM Account WHERE {text}", f"SELECT {text} FROM Order"):
        with suppress(soql.SoqlError):
            assert ask(orders, query).total_size >= 0


async def test_result_beyond_2000_rows_has_a_locator(caller: Caller) -> None:
    """C1."""
    for start in range(0, 2_200, 200):
        records = [{"attributes": {"type": "Account"}, "Name": f"A{start + number}"} for number in range(200)]
        await caller.call("POST", "composite/sobjects", {"records": records})
    _, page = await caller.call("GET", f"query?q={quote('SELECT Name FROM Account')}")
    assert (page["totalSize"], page["done"], len(page["records"])) == (2_200, False, 2_000)
    _, rest = await caller.call("GET", page["nextRecordsUrl"])
    assert (rest["done"], len(rest["records"])) == (True, 200)


async def test_long_child_list_has_its_own_locator(caller: Caller) -> None:
    """C1."""
    account = await caller.create("Account", Name="Hub")
    for start in range(0, 400, 200):
        records = [
            {"attributes": {"type": "Contact"}, "LastName": f"N{start + number:03d}", "AccountId": account}
            for number in range(200)
        ]
        await caller.call("POST", "composite/sobjects", {"records": records})
    text = quote("SELECT Id, (SELECT LastName FROM Contacts ORDER BY LastName DESC) FROM Account")
    _, page = await caller.call("GET", f"query?q={text}", **{"Sforce-Query-Options": "batchSize=250"})
    children = page["records"][0]["Contacts"]
    assert (children["totalSize"], children["done"], len(children["records"])) == (400, False, 250)
    _, rest = await caller.call("GET", children["nextRecordsUrl"])
    assert (rest["totalSize"], rest["done"], len(rest["records"])) == (400, True, 150)
    assert [row["LastName"] for row in rest["records"]] == [f"N{number:03d}" for number in range(149, -1, -1)]


async def test_cursor_fixes_the_rows_and_reads_their_current_values(caller: Caller) -> None:
    """C1."""
    ids = []
    for start in range(0, 400, 200):
        records = [{"attributes": {"type": "Account"}, "Name": f"A{start + number:03d}"} for number in range(200)]
        _, created = await caller.call("POST", "composite/sobjects", {"records": records})
        ids += [row["id"] for row in created]
    text = quote("SELECT Name FROM Account ORDER BY Name")
    _, page = await caller.call("GET", f"query?q={text}", **{"Sforce-Query-Options": "batchSize=200"})
    await caller.call("PATCH", f"sobjects/Account/{ids[300]}", {"Name": "Changed"})
    await caller.call("DELETE", f"sobjects/Account/{ids[301]}")
    await caller.create("Account", Name="A999 too late")
    _, rest = await caller.call("GET", page["nextRecordsUrl"])
    names = [row["Name"] for row in rest["records"]]
    assert len(names) == 199
    assert names[100] == "Changed"
    assert "A301" not in names
    assert "A999 too late" not in names
