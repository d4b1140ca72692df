"""Chapter C: queries over HTTP: results, locators and limits (C1), valid and invalid grammar (C2, C3)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from tests.org.conftest import BASE, SHARED, Caller

pytestmark = SHARED
NOBODY = "SELECT Id FROM Account WHERE Name = 'nobody has this name'"


async def ask(caller: Caller, soql: str, resource: str = "query", **headers: str) -> dict[str, Any]:
    status, body = await caller.call("GET", f"{resource}?q={quote(soql)}", **headers)
    assert status == 200, body
    return dict(body)


async def refused(caller: Caller, soql: str) -> tuple[str, str]:
    status, code, message = await caller.refusal("GET", f"query?q={quote(soql)}")
    assert status == 400, message
    return code, message


# -- C1 --------------------------------------------------------------------------------------------------------------


async def test_query_result_nests_parents_and_children(shared: Caller) -> None:
    """C1: attributes come first; a missing parent or child list is null."""
    account = await shared.create("Account", Name="Shape")
    order = await shared.draft(AccountId=account)
    result = await ask(shared, f"SELECT Id, BillToContact.Name, Account.Name, (SELECT Id FROM OrderItems), (SELECT Id FROM Histories) FROM Order WHERE Id = '{order}'")  # noqa: E501  # fmt: skip
    assert result == {
        "totalSize": 1, "done": True, "records": [{
            "attributes": {"type": "Order", "url": f"{BASE}/sobjects/Order/{order}"},
            "Id": order, "BillToContact": None,
            "Account": {"attributes": {"type": "Account", "url": f"{BASE}/sobjects/Account/{account}"}, "Name": "Shape"},  # noqa: E501
            "OrderItems": None, "Histories": None,
        }],
    }  # fmt: skip
    assert next(iter(result["records"][0])) == "attributes"
    assert await ask(shared, NOBODY) == {"totalSize": 0, "done": True, "records": []}


async def test_counts_and_aggregates_are_computed(shared: Caller) -> None:
    """C1."""
    await shared.create("Account", Name="Counted", Site="C1")
    where = "FROM Account WHERE Site = 'C1'"
    assert await ask(shared, f"SELECT COUNT() {where}") == {"totalSize": 1, "done": True, "records": []}
    result = await ask(shared, f"SELECT COUNT(Id), MAX(Name) top, COUNT_DISTINCT(Site), MIN(CreatedDate) {where}")
    [row] = result["records"]
    assert list(row) == ["attributes", "expr0", "top", "expr1", "expr2"]
    assert row["attributes"] == {"type": "AggregateResult"}
    assert (row["expr0"], row["top"], row["expr1"], result["totalSize"]) == (1, "Counted", 1, 1)


async def test_query_all_returns_deleted_rows(shared: Caller) -> None:
    """C1: ALL ROWS is for Apex only (C2)."""
    account = await shared.create("Account", Name="Q all")
    await shared.call("DELETE", f"sobjects/Account/{account}")
    soql = f"SELECT Id, IsDeleted FROM Account WHERE Id = '{account}'"
    assert (await ask(shared, soql))["records"] == []
    assert (await ask(shared, soql, "queryAll"))["records"][0]["IsDeleted"] is True
    assert (await ask(shared, f"{soql} AND IsDeleted = true", "queryAll"))["totalSize"] == 1
    assert (await refused(shared, f"{soql} ALL ROWS"))[0] == "MALFORMED_QUERY"


async def many(caller: Caller, site: str, count: int) -> None:
    for start in range(0, count, 200):
        size = min(200, count - start)
        records = [
            {"attributes": {"type": "Account"}, "Name": f"{site}{start + n:04}", "Site": site} for n in range(size)
        ]
        await caller.call("POST", "composite/sobjects", {"records": records})


async def test_locator_expires_after_two_days_or_ten_newer_ones(shared: Caller) -> None:
    """C1: a locator is 18 characters and an offset."""
    await many(shared, "locator", 450)
    small = {"Sforce-Query-Options": "batchSize=200"}
    first = await ask(shared, "SELECT Name FROM Account WHERE Site = 'locator' ORDER BY Name", **small)
    address = first["nextRecordsUrl"]
    name, _, offset = address.rpartition("/")[2].partition("-")
    assert (address.startswith(f"{BASE}/query/01g"), len(name), offset) == (True, 18, "200")
    _, second = await shared.call("GET", address)
    assert (second["totalSize"], second["done"], second["nextRecordsUrl"][-4:]) == (450, False, "-400")
    _, third = await shared.call("GET", second["nextRecordsUrl"])
    assert (third["done"], "nextRecordsUrl" in third, len(third["records"])) == (True, False, 50)
    assert (await shared.call("GET", address))[1] == second
    for wrong in ("01gxx", f"{name}-9999", f"{name}-{'9' * 5_000}", f"{name}", "01g000000000000AAA-1"):
        refusal = await shared.refusal("GET", f"query/{wrong}")
        assert refusal == (400, "INVALID_QUERY_LOCATOR", "invalid query locator")
    org = shared.org.org
    cursor = org.cursors._open[name]
    cursor.opened -= timedelta(days=3)
    assert (await shared.refusal("GET", address))[1] == "INVALID_QUERY_LOCATOR"
    cursor.opened += timedelta(days=3)
    assert (await shared.call("GET", address))[0] == 200
    for _ in range(10):
        await ask(shared, "SELECT Name FROM Account WHERE Site = 'locator'", **small)
    assert (await shared.refusal("GET", address))[1] == "INVALID_QUERY_LOCATOR"


async def test_long_query_is_accepted_inside_a_composite(shared: Caller) -> None:
    """C1: the limit of addresses does not apply; a statement has at most 100,000 characters."""
    account = await shared.create("Account", Name="Long")
    listed = ",".join(f"'{account}'" for _ in range(1_500))

    async def sent(soql: str) -> dict[str, Any]:
        step = {"method": "GET", "url": f"{BASE}/query?q={quote(soql)}", "referenceId": "q"}
        _, result = await shared.call("POST", "composite", {"compositeRequest": [step]})
        return dict(result["compositeResponse"][0])

    soql = f"SELECT Id FROM Account WHERE Id IN ({listed})"
    assert (await shared.raw("GET", f"query?q={quote(soql)}")).status == 414
    assert (await sent(soql))["body"]["totalSize"] == 1
    result = await sent(f"SELECT Id FROM Account WHERE Id IN ({','.join([listed] * 4)})")
    assert result["httpStatusCode"] == 400


async def test_query_with_columns_describes_the_columns(shared: Caller) -> None:
    """L9: `columns=true` returns columns instead of rows."""
    soql = "SELECT Id, Name, Owner.Name, CreatedDate, (SELECT LastName FROM Contacts) FROM Account"
    _, body = await shared.call("GET", f"query?q={quote(soql)}&columns=true")
    assert (body["entityName"], body["groupBy"], body["idSelected"], body["keyPrefix"]) == (
        "Account",
        False,
        True,
        "001",
    )
    result = [(item["columnName"], item["aggregate"]) for item in body["columnMetadata"]]
    assert result == [("Id", False), ("Name", False), ("Owner", False), ("CreatedDate", False), ("Contacts", True)]
    assert [item["apexType"] for item in body["columnMetadata"][:2]] == ["Id", "String"]
    assert [item["columnName"] for item in body["columnMetadata"][2]["joinColumns"]] == ["Name"]
    body = (
        await shared.call("GET", f"query?q={quote('SELECT COUNT(Id) n, Site FROM Account GROUP BY Site')}&columns=true")
    )[1]
    assert [item["columnName"] for item in body["columnMetadata"]] == ["n", "Site"]
    assert (body["groupBy"], body["columnMetadata"][0]["aggregate"]) == (True, True)


# -- C2 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "soql",
    [
        "select id from account where name = 'x' limit 1",
        "SELECT a.Id, a.Owner.Name FROM Account a WHERE a.Name = 'x'",
        "SELECT Account.Id FROM Account USING SCOPE everything WHERE Name = 'x'",
        "SELECT Id FROM Account WHERE Name = 'x' WITH SECURITY_ENFORCED",
        "SELECT Id FROM Account WHERE Name = 'x' WITH USER_MODE ORDER BY Name DESC NULLS LAST LIMIT 5 OFFSET 2000",
        "SELECT Id FROM Account WHERE Name = 'x' FOR VIEW",
        "SELECT Id FROM Account WHERE Name = 'x' FOR REFERENCE",
        "SELECT Id FROM Account WHERE NOT (Name = 'x' OR (NOT Name != 'y')) AND Name < 'a' AND Name <> 'b'",
        "SELECT Id FROM Account WHERE IsDeleted = FALSE AND AnnualRevenue >= 1.5 AND NumberOfEmployees < -1",
        "SELECT Id FROM OrderItem WHERE Order.Account.Parent.Parent.Owner.Name = 'x'",
        "SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Order) AND Id NOT IN (SELECT AccountId FROM Contact)",  # noqa: E501
        "SELECT FIELDS(STANDARD) FROM Account WHERE Name = 'x'",
        "SELECT FIELDS(ALL) FROM Account WHERE Name = 'x' LIMIT 200",
        "SELECT FIELDS(CUSTOM), Id FROM Account WHERE Name = 'x' LIMIT 1",
        "SELECT Id, (SELECT Id, (SELECT Id FROM OrderItems) FROM Orders) FROM Account WHERE Name = 'x'",
        "SELECT Site, COUNT(Id) FROM Account GROUP BY Site HAVING COUNT(Id) > 1 AND Site LIKE 'x%' ORDER BY COUNT(Id) DESC",  # noqa: E501
        "SELECT Id FROM Account WHERE CreatedDate > 2026-01-31T10:00:00.123Z AND CreatedDate < 2026-01-31T10:00:00+01:00",  # noqa: E501
        "SELECT Id FROM Order WHERE EffectiveDate = LAST_N_QUARTERS:2 OR EffectiveDate = THIS_FISCAL_YEAR",
    ],
)  # fmt: skip
async def test_valid_soql_is_accepted(shared: Caller, soql: str) -> None:
    """C2, C3."""
    assert (await ask(shared, soql))["done"] is True


@pytest.mark.parametrize(
    ("soql", "code", "said"),
    [
        ('SELECT Id FROM Account WHERE Name = "x"', "MALFORMED_QUERY", "unexpected token"),
        ("SELECT Id FROM Account WHERE Name = 'a\\d'", "MALFORMED_QUERY", "Illegal escape sequence"),
        ("SELECT Id FROM Account WHERE Name = Site", "MALFORMED_QUERY", "unexpected token: 'SITE'"),
        ("SELECT Id AS x FROM Account", "MALFORMED_QUERY", "unexpected token"),
        ("SELECT Id FROM Account FOR UPDATE", "MALFORMED_QUERY", "unexpected token: 'UPDATE'"),
        ("SELECT Id FROM Account LIMIT -1", "MALFORMED_QUERY", "unexpected token: '-1'"),
        ("SELECT Id, Id FROM Account", "INVALID_FIELD", "duplicate field selected: Id"),
        ("SELECT Id FROM Account, Order", "MALFORMED_QUERY", "unexpected token: ','"),
        ("SELECT Id FROM Account WHERE CreatedDate = 2026-01-31", "INVALID_FIELD",
         "value of filter criterion for field 'CreatedDate' must be of type dateTime and should not be enclosed in quotes"),  # noqa: E501
        ("SELECT Id FROM Order WHERE EffectiveDate = 2026-01-31T00:00:00Z", "INVALID_FIELD",
         "must be of type date and should not be enclosed in quotes"),
        ("SELECT Id FROM Order WHERE EffectiveDate = 1699-12-31", "MALFORMED_QUERY", "Invalid date"),
        ("SELECT Id FROM Order WHERE EffectiveDate = 2026-02-30", "MALFORMED_QUERY", "Invalid date"),
        ("SELECT Id FROM Account WHERE Name = 5", "INVALID_FIELD", "should be enclosed in quotes"),
        ("SELECT Id FROM Account WHERE NumberOfEmployees = '5'", "INVALID_FIELD", "should not be enclosed in quotes"),
        ("SELECT Id FROM Account WHERE NumberOfEmployees LIKE '5'", "INVALID_FIELD", "LIKE"),
        ("SELECT Nope.Name FROM Account", "INVALID_FIELD", "Didn't understand relationship 'Nope' in field path"),
        ("SELECT (SELECT Id FROM Nope) FROM Account", "INVALID_TYPE", "Didn't understand relationship 'Nope'"),
        ("SELECT Name FROM Account GROUP BY Site", "MALFORMED_QUERY", "Field must be grouped or aggregated: Name"),
        ("SELECT Site FROM Account GROUP BY Site ORDER BY Name", "MALFORMED_QUERY", "grouped or aggregated: Name"),
        ("SELECT Site FROM Account GROUP BY Site HAVING Name = 'x'", "MALFORMED_QUERY", "grouped or aggregated: Name"),
        ("SELECT Id FROM Account WHERE COUNT(Id) > 1", "MALFORMED_QUERY", "unexpected token: 'COUNT'"),
        ("SELECT Id FROM Account ORDER BY COUNT(Id)", "MALFORMED_QUERY", "COUNT"),
        ("SELECT SUM(Name) FROM Account", "MALFORMED_QUERY", "does not support aggregate operator SUM"),
        ("SELECT COUNT(BillingAddress) FROM Account", "MALFORMED_QUERY", "does not support aggregate operator COUNT"),
        ("SELECT Description FROM Account GROUP BY Description", "MALFORMED_QUERY", "can not be grouped"),
        ("SELECT Id FROM Account ORDER BY Description", "MALFORMED_QUERY", "can not be sorted"),
        ("SELECT Id FROM Account WHERE Id IN (SELECT Id, AccountId FROM Order)", "MALFORMED_QUERY", "exactly one"),
        ("SELECT Id FROM Account WHERE Id IN (SELECT BillingAddress FROM Order)", "MALFORMED_QUERY", "semi join"),
        ("SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Order) OR Name = 'x'", "MALFORMED_QUERY",
         "Semi join sub-selects are not allowed with the 'OR' operator"),
        ("SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Order) AND Id IN (SELECT AccountId FROM Contact) AND"  # noqa: E501
         " Id IN (SELECT AccountId FROM Contract)", "MALFORMED_QUERY", "two Semi join"),
        ("SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Order WHERE Id IN (SELECT OrderId FROM OrderItem))",
         "MALFORMED_QUERY", "Nesting of semi join sub-selects is not supported"),
        ("SELECT FIELDS(ALL) FROM Account LIMIT 201", "MALFORMED_QUERY", "LIMIT of at most 200"),
        ("SELECT Id FROM Order WHERE Account.Parent.Parent.Parent.Parent.Parent.Name = 'x'", "INVALID_FIELD", "depth is 5"),  # noqa: E501
        ("SELECT Id FROM Order_Action__e", "INVALID_TYPE", "sObject type 'Order_Action__e' is not supported"),
        ("SELECT COUNT() FROM Account GROUP BY Site", "MALFORMED_QUERY", "COUNT"),
        ("", "MALFORMED_QUERY", ""),
    ],
)  # fmt: skip
async def test_invalid_soql_is_rejected(shared: Caller, soql: str, code: str, said: str) -> None:
    """C2, C3."""
    result = await refused(shared, soql)
    assert result[0] == code, result
    assert said in result[1]


async def test_comparison_with_null_follows_soql_rules(shared: Caller) -> None:
    """C2: `!=` and NOT match null; `<`, `>` and LIKE do not; empty text counts as null."""
    for site in ("C2 a", None):
        await shared.create("Account", Name="C2 null", Site=site, AnnualRevenue=None if site else 5)

    async def found(where: str) -> list[str | None]:
        result = await ask(shared, f"SELECT Site FROM Account WHERE Name = 'C2 null' AND {where} ORDER BY Site")
        return [row["Site"] for row in result["records"]]

    assert await found("Site != 'C2 A'") == [None]
    assert await found("(NOT Site LIKE 'C2%')") == [None]
    assert await found("Site = ''") == await found("Site = null") == [None]
    assert await found("Site != null") == ["C2 a"]
    assert await found("AnnualRevenue < 10") == [None]
    assert await found("Site IN (null, 'C2 a')") == [None, "C2 a"]
    assert await found("Site NOT IN ('C2 a')") == [None]


async def test_comparison_ignores_case_unless_the_field_is_case_sensitive(shared: Caller) -> None:
    """C2, H9."""
    for key in ("c2-Case", "C2-case"):
        await shared.create("Account", Name="C2 case", External_Key__c=key)
    soql = "SELECT Id FROM Account WHERE Name = 'c2 CASE'"
    assert (await ask(shared, soql))["totalSize"] == 2
    assert (await ask(shared, f"{soql} AND External_Key__c = 'c2-Case'"))["totalSize"] == 1
    assert (await ask(shared, f"{soql} AND External_Key__c IN ('C2-CASE')"))["totalSize"] == 0


async def test_like_matches_wildcards_and_escapes(shared: Caller) -> None:
    """C2, C3."""
    for name in ("50% off", "50x off", r"a\b", "it's"):
        await shared.create("Account", Name=name, Site="wild")

    async def found(pattern: str) -> list[str]:
        result = await ask(shared, f"SELECT Name FROM Account WHERE Site = 'wild' AND Name {pattern} ORDER BY Name")
        return [row["Name"] for row in result["records"]]

    assert await found("LIKE '50_ OFF'") == ["50% off", "50x off"]
    assert await found(r"LIKE '50\% %'") == ["50% off"]
    assert await found(r"= 'a\\b'") == await found(r"LIKE 'a\\b'") == [r"a\b"]
    assert await found(r"= 'it\'s'") == await found(r"= 'it\u0027s'") == ["it's"]


async def test_rollup_and_cube_return_totals(shared: Caller) -> None:
    """C2: GROUPING() tells totals from rows without a value."""
    for site, rating, staff in (("r1", "Hot", 1), ("r1", "Cold", 2), ("r2", "Hot", 4)):
        await shared.create("Account", Name="Rollup", Site=site, Rating=rating, NumberOfEmployees=staff)
    what = "SELECT Site, Rating, SUM(NumberOfEmployees) n, GROUPING(Site) s FROM Account WHERE Name = 'Rollup'"

    async def rows(grouping: str) -> list[tuple[Any, ...]]:
        result = await ask(shared, f"{what} GROUP BY {grouping}(Site, Rating)")
        return sorted(
            ((row["Site"], row["Rating"], row["n"], row["s"]) for row in result["records"]),
            key=lambda row: tuple(str(item) for item in row),
        )

    plain = [("r1", "Cold", 2, 0), ("r1", "Hot", 1, 0), ("r2", "Hot", 4, 0)]
    rolled = [(None, None, 7, 1), ("r1", None, 3, 0), ("r2", None, 4, 0)]
    cubed = [(None, "Cold", 2, 1), (None, "Hot", 5, 1)]
    assert await rows("ROLLUP") == sorted([*plain, *rolled], key=lambda row: tuple(str(item) for item in row))
    assert await rows("CUBE") == sorted([*plain, *rolled, *cubed], key=lambda row: tuple(str(item) for item in row))
    result = await refused(shared, "SELECT COUNT(Id) FROM Account GROUP BY CUBE(Site, Rating, Name, OwnerId)")
    assert result[0] == "MALFORMED_QUERY"


async def test_typeof_selects_fields_by_type_of_the_parent(shared: Caller) -> None:
    """C2: TYPEOF, with an ELSE for the types that are not named."""
    account = await shared.create("Account", Name="Typed", Phone="7")
    order = await shared.draft(AccountId=account)
    ids = [await shared.create("Task", Subject="Typed", WhatId=what) for what in (account, order)]
    ids.append(await shared.create("Task", Subject="Typed"))
    result = await ask(
        shared,
        "SELECT Id, TYPEOF What WHEN Account THEN Phone, Name WHEN Case THEN Subject ELSE Name END,"
        " TYPEOF Owner WHEN User THEN Username END FROM Task WHERE Subject = 'Typed' ORDER BY Id",
    )
    first, second, third = (row["What"] for row in result["records"])
    url = f"{BASE}/sobjects/Account/{account}"
    assert first == {"attributes": {"type": "Account", "url": url}, "Phone": "7", "Name": "Typed"}
    assert (second["attributes"]["type"], set(second)) == ("Order", {"attributes", "Name"})
    assert third is None
    assert result["records"][0]["Owner"]["Username"] == shared.org.username
    for soql in (
        "SELECT TYPEOF What WHEN Nothing THEN Name END FROM Task", "SELECT TYPEOF Name WHEN Account THEN Id END FROM Task",  # noqa: E501
        "SELECT TYPEOF What WHEN Account THEN Nope END FROM Task", "SELECT TYPEOF What WHEN Account Name END FROM Task",
        "SELECT TYPEOF What END FROM Task", "SELECT TYPEOF What WHEN Account THEN Name FROM Task",
        "SELECT TYPEOF What WHEN Contact THEN Name END FROM Task", "SELECT COUNT(Id), TYPEOF What WHEN Account THEN Name END FROM Task",  # noqa: E501
    ):  # fmt: skip
        assert (await refused(shared, soql))[0] in {"MALFORMED_QUERY", "INVALID_FIELD", "INVALID_TYPE"}, soql


async def test_child_query_depth_depends_on_the_version(shared: Caller) -> None:
    """C2: one level before version 58, five since."""
    soql = quote("SELECT Id, (SELECT Id, (SELECT Id FROM OrderItems) FROM Orders) FROM Account WHERE Name = 'x'")
    assert (await shared.call("GET", f"/services/data/v58.0/query?q={soql}"))[0] == 200
    assert (await shared.refusal("GET", f"/services/data/v57.0/query?q={soql}"))[1] == "MALFORMED_QUERY"
    twenty = ",".join(["(SELECT Id FROM Contacts)"] * 21)
    assert (await refused(shared, f"SELECT {twenty} FROM Account"))[0] == "MALFORMED_QUERY"


async def test_large_query_is_accepted_within_limits(shared: Caller) -> None:
    """C2: many conditions and values; a literal has at most 4,000 characters."""
    account = await shared.create("Account", Name="Broad", Site="broad")
    ors = " OR ".join(["Name = 'x'"] * 600)
    assert (await ask(shared, f"SELECT Id FROM Account WHERE Id = '{account}' AND ({ors} OR Site = 'broad')"))[
        "totalSize"
    ] == 1
    assert (await refused(shared, f"{NOBODY} OR Name = '{'x' * 4_001}'"))[0] in {"MALFORMED_QUERY", "INVALID_QUERY_FILTER_OPERATOR"}  # noqa: E501  # fmt: skip
    assert (await refused(shared, f"SELECT Id FROM Account WHERE {'(' * 700}Name = 'x'{')' * 700}"))[
        0
    ] == "MALFORMED_QUERY"
    step = {"method": "GET", "referenceId": "q"}
    for soql in (f"{NOBODY} OR {' OR '.join(['Name = null'] * 5_000)}", f"{NOBODY} AND {' AND '.join(['Name != null'] * 5_000)}"):  # noqa: E501  # fmt: skip
        url = f"{BASE}/query?q={quote(soql)}"
        _, body = await shared.call("POST", "composite", {"compositeRequest": [{**step, "url": url}]})
        assert body["compositeResponse"][0]["httpStatusCode"] == 200


async def test_grouped_query_beyond_2000_rows_is_rejected(shared: Caller) -> None:
    """C2."""
    await many(shared, "groups", 2_001)
    what = "SELECT Name, COUNT(Id) FROM Account WHERE Site = 'groups' GROUP BY Name"
    code, message = await refused(shared, what)
    assert code == "EXCEEDED_ID_LIMIT"
    assert message.startswith("Aggregate query does not support queryMore(), use LIMIT")
    assert (await ask(shared, f"{what} LIMIT 2000"))["totalSize"] == 2_000
