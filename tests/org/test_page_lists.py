"""The lists of the org's pages: filters, paging, search, history, usage and call log. All of them are bounded."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest

from connector.cli.localorg import our_metadata
from connector.localorg.metadata.deployments import OPTIONS
from connector.localorg.org import OrgOptions
from connector.localorg.page import record_queries
from connector.localorg.server import LocalOrg
from tests.org.packages import history_package
from tests.org.pages import Reader, following, heads, plain

# -- lists ------------------------------------------------------------------------------------------------------------


async def test_orders_are_filtered_by_stage_status_hold_and_account(reader: Reader) -> None:
    caller = reader.caller
    account = await caller.create("Account", Name="Other")
    await caller.draft(External_Key__c="placed", Lifecycle_Stage__c="placed")
    await caller.draft(External_Key__c="held", Lifecycle_Stage__c="placed", Hold_Reason__c="Stock")
    await caller.draft(External_Key__c="other", Lifecycle_Stage__c="shipped", Hold_Reason__c="Stock", AccountId=account)
    gone = await caller.draft(External_Key__c="gone", Lifecycle_Stage__c="placed", Hold_Reason__c="Stock")
    await caller.call("DELETE", f"sobjects/Order/{gone}")
    for query, keys in {
        "": ["other", "held", "placed"],
        "stage=placed": ["held", "placed"],
        "held=1": ["other", "held"],
        "stage=placed&held=1": ["held"],
        "status=Draft": ["other", "held", "placed"],
        "status=Activated": [],
        "stage=shipped&status=Draft&held=1": ["other"],
        f"account={account}": ["other"],
        f"account={account}&stage=placed": [],
    }.items():
        assert await reader.rows(f"/orders?{query}") == keys, query
    assert "No order is like this" in await reader.get("/orders?status=Activated")
    start = plain(await reader.get("/"))
    assert "3 Orders" in start
    assert "2 On hold" in start


async def test_list_pages_follow_without_loss_or_repetition(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    account = await reader.caller.create("Account", Name="Acme")
    names = [f"N-{number}" for number in range(7)]
    for name in names:
        await reader.caller.draft(External_Key__c=name, AccountId=account)
    monkeypatch.setattr(
        record_queries.newest_rows, "__kwdefaults__", {**record_queries.newest_rows.__kwdefaults__, "limit": 3}
    )
    page = await reader.get("/orders?status=Draft")
    seen = heads(page)
    await reader.caller.draft(External_Key__c="later", AccountId=account)
    while "Older" in page:
        page = await reader.get(following(page, "Older"))
        seen += heads(page)
    assert seen == names[::-1]
    assert following(page, "Newest") == "/orders?status=Draft"


async def test_filter_that_matches_little_stops_at_the_search_limit(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await reader.caller.create("Account", Name="Acme")
    for number in range(6):
        held = "Stock" if number == 0 else None
        await reader.caller.draft(
            External_Key__c=f"N-{number}", AccountId=account, Hold_Reason__c=held, Lifecycle_Stage__c="placed"
        )
    monkeypatch.setattr(record_queries, "MAX_ROWS_SEARCHED", 4)
    page = await reader.get("/orders?stage=placed&held=1")
    assert heads(page) == []
    assert "None among the 4 orders looked at" in page
    assert await reader.rows(following(page, "Look further back")) == ["N-0"]


async def test_accounts_and_products_are_listed_by_name(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("beta", "Alpha", "Alpha", "gamma", "Alpha"):
        await reader.caller.create("Account", Name=name)
    monkeypatch.setattr(record_queries.rows_by_name, "__defaults__", (2,))
    page = await reader.get("/accounts")
    seen = heads(page)
    while "Further" in page:
        page = await reader.get(following(page, "Further"))
        seen += heads(page)
    assert seen == ["Alpha", "Alpha", "Alpha", "beta", "gamma"]
    assert "No products yet" in await reader.get("/products")


async def test_long_child_list_is_paged(reader: Reader) -> None:
    account = await reader.caller.create("Account", Name="Acme")
    for number in range(12):
        await reader.caller.create("Contact", LastName=f"B{number}", AccountId=account)
    page = await reader.get(f"/accounts/{account}")
    assert len(heads(page)) == 10
    assert len(await reader.rows(following(page, "All of them"))) == 12


# -- search -----------------------------------------------------------------------------------------------------------


async def test_search_finds_by_the_beginning_of_numbers_keys_names_and_skus(reader: Reader) -> None:
    caller = reader.caller
    account = await caller.create("Account", Name="Ernst Handel", External_Key__c="C-9")
    product = await caller.create("Product2", Name="Chai", StockKeepingUnit="TEA-1", ProductCode="T1", IsActive=True)
    order = await caller.draft(External_Key__c="N-10248", AccountId=account)
    for typed, found in {
        "N-102": ["N-10248"],
        "n-10248": ["N-10248"],
        "00000100": ["N-10248"],
        "100": ["N-10248"],
        "ernst": ["Ernst Handel", "N-10248"],  # with what the account ordered
        "c-9": ["Ernst Handel", "N-10248"],
        "cha": ["Chai"],
        "tea-": ["Chai"],
        "Handel": [],
        "%": [],
        "_": [],
        order: ["N-10248"],
        product[:15]: ["Chai"],
    }.items():
        assert await reader.rows(f"/search?q={quote(typed)}") == found, typed
    assert "Nothing begins with “%”" in plain(await reader.get("/search?q=%25"))
    assert "Type an order number" in await reader.get("/search?q=+")


async def test_search_is_bounded_and_reports_it(reader: Reader) -> None:
    for number in range(12):
        await reader.caller.create("Account", Name=f"Acme {number}")
    page = await reader.get("/search?q=acme")
    assert len(heads(page)) == 10
    assert "The orders of an account are on its page." in page
    assert "type more" in page


# -- history ----------------------------------------------------------------------------------------------------------


def history_lines(page: str) -> list[str]:
    """The entries of a page's history in one line each."""
    [history] = re.findall(r'<ol class="card steps history">(.*?)</ol>', page, re.DOTALL)
    return [re.sub(r"\s+", " ", plain(entry.replace("</dt>", ": "))) for entry in history.split("<li>")[1:]]


async def test_record_history_comes_from_change_events(reader: Reader) -> None:
    product = await reader.caller.create("Product2", Name="Chai", IsActive=True)
    await reader.caller.create("Product2", Name="Another", IsActive=True)
    await reader.caller.call("PATCH", f"sobjects/Product2/{product}", {"Name": "Chai, green", "ProductCode": "T1"})
    await reader.caller.call("PATCH", f"sobjects/Product2/{product}", {"ProductCode": None})
    newest, middle, oldest = history_lines(await reader.get(f"/record/{product}"))
    assert newest.startswith("Changed")
    assert "Product Code: empty" in newest
    assert "Product Name: Chai, green" in middle
    assert oldest.startswith("Created")
    assert "values" in oldest
    await reader.caller.call("DELETE", f"sobjects/Product2/{product}")
    page = await reader.get(f"/record/{product}")
    assert history_lines(page)[0].startswith("Deleted")
    assert "This record was deleted" in page


async def test_history_reports_that_older_changes_may_exist(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.localorg.page.history.MAX_EVENTS_SEARCHED", 2)
    product = await reader.caller.create("Product2", Name="Chai", IsActive=True)
    assert "Older changes may exist" not in await reader.get(f"/record/{product}")
    for number in range(2):
        await reader.caller.create("Product2", Name=f"Another {number}", IsActive=True)
    page = await reader.get(f"/record/{product}")
    assert "Older changes may exist" in page
    assert "No changes are known" in page


async def test_field_history_shows_old_and_new_values(reader: Reader) -> None:
    deployments = reader.caller.org.org.deployments
    deployments.run(deployments.start(history_package("Account", "Name", "Industry"), dict(OPTIONS)))
    account = await reader.caller.create("Account", Name="Before", Industry="Here")
    await reader.caller.call("PATCH", f"sobjects/Account/{account}", {"Name": "After & on", "Industry": None})
    await reader.caller.call("PATCH", f"sobjects/Account/{account}", {"Name": "Later", "Industry": "There"})
    newest, both, created = history_lines(await reader.get(f"/accounts/{account}"))
    assert "Industry: empty →became There" in newest
    assert "Account Name: After & on →became Later" in newest
    assert "Industry: Here →became empty" in both
    assert "Account Name: Before →became After & on" in both
    assert created.startswith("Created")


# -- for developers ---------------------------------------------------------------------------------------------------


async def test_usage_shows_calls_by_resource_against_the_limit(reader: Reader) -> None:
    await reader.caller.create("Account", Name="Acme")
    await reader.caller.query("SELECT Id FROM Account")
    page = await reader.get("/usage")
    assert "2 of 1,000,000 calls in the last 24 hours" in page
    assert set(heads(page)) == {"sobjects/rows", "query"}


async def test_calls_are_listed_newest_first_and_filtered(reader: Reader) -> None:
    caller = reader.caller
    await caller.create("Account", Name="Acme")
    await caller.call("GET", "sobjects/Nothing/describe")
    async with caller.http.post(
        f"{caller.org.url}/_org/faults",
        json={"limit": 1},
        headers={"Authorization": f"Bearer {caller.org.access_token}"},
    ) as answer:
        assert answer.status == 200
    await caller.call("GET", "limits")

    async def paths(query: str) -> list[str]:
        page = re.findall(r"<code>/services/data/v66.0/(.*?)</code>", await reader.get(f"/calls?{query}"))
        return [unescape(path) for path in page]

    assert await paths("") == ["limits", "sobjects/Nothing/describe", "sobjects/Account"]
    assert await paths("method=POST") == ["sobjects/Account"]
    assert await paths("failed=1") == ["limits", "sobjects/Nothing/describe"]
    assert await paths("fault=any") == await paths("fault=limit") == ["limits"]
    assert await paths("fault=lost_response") == []
    assert "No such call" in await reader.get("/calls?method=DELETE")


async def test_indexes_follow_the_deployed_schema(tmp_path: Path) -> None:
    async def names(org: LocalOrg) -> set[str]:
        """Those that exist after a page was shown."""
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
            http.get(org.page_url) as answer,
        ):
            assert answer.status == 200
        result = org.org.storage.connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'ix_page_%'")
        return {name for (name,) in result}

    async with LocalOrg(OrgOptions(data=tmp_path / "org.db")) as org:
        assert "ix_page_Order_held" not in await names(org)
    async with LocalOrg(OrgOptions(metadata_root=our_metadata(), data=tmp_path / "org.db")) as org:
        assert {"ix_page_Order_held", "ix_page_Order_Lifecycle_Stage__c", "ix_page_Account_Name"} <= await names(org)


async def test_logged_query_is_shown_decoded(reader: Reader) -> None:
    await reader.caller.call("GET", "query?q=SELECT+Id+FROM+Account+WHERE+Name+%3D+%27A%2BB%27")
    assert "/query?q=SELECT Id FROM Account WHERE Name = 'A+B'" in plain(await reader.get("/calls"))
