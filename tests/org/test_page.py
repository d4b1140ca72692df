"""The org's pages over plain HTTP: access, what a rep sees, and escaping of stored values."""

from __future__ import annotations

import re
from http.cookies import SimpleCookie
from urllib.parse import quote, urlsplit

import aiohttp
import pytest
from yarl import URL

from connector.cli.localorg import our_metadata
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from connector.localorg.settings import OrgSettings
from tests.org.conftest import Caller
from tests.org.pages import Reader, heads, plain

SCRIPT = "<script>alert(1)</script>"

# -- who may look -----------------------------------------------------------------------------------------------------


async def test_printed_link_sets_a_cookie_and_drops_the_key(caller: Caller, stranger: Reader) -> None:
    async with stranger.http.get(caller.org.page_url, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/")
        [morsel] = SimpleCookie(answer.headers["Set-Cookie"]).values()
    assert (morsel["httponly"], morsel["samesite"], morsel["path"]) == (True, "Strict", "/")
    assert caller.org.org.auth.page_key not in morsel.value
    assert "What the org holds" in await stranger.get("/")


async def test_key_opens_inner_pages_on_this_host_only(caller: Caller, stranger: Reader) -> None:
    key = caller.org.org.auth.page_key
    for path, to in ((f"/orders?key={key}&held=1", "/orders?held=1"), (f"//elsewhere.example/?key={key}", None)):
        address = URL(caller.org.url + path, encoded=True)
        async with stranger.http.get(address, allow_redirects=False, headers={"Accept": "text/html"}) as answer:
            assert answer.status == 303
            assert urlsplit(answer.headers["Location"]).netloc == ""
            assert to is None or answer.headers["Location"] == to


@pytest.mark.parametrize("path", ["/", "/?key=", "/?key=wrong", "/?key=%C3%A9", "/orders", "/calls", "/search?q=x"])
async def test_page_without_key_or_cookie_is_locked(caller: Caller, stranger: Reader, path: str) -> None:
    await caller.draft(External_Key__c="N-1")
    page = await stranger.get(path, 403)
    assert "Open the link that the org printed" in page
    assert "<nav" not in page
    assert "N-1" not in page


async def test_forged_cookie_is_rejected(caller: Caller, stranger: Reader) -> None:
    name = f"page_{caller.org.org.auth.identity.organization_id[:15]}"
    for value in ("", "0" * 64, "%C3%A9", caller.org.org.auth.page_key):
        async with stranger.http.get(f"{caller.org.url}/orders", headers={"Cookie": f"{name}={value}"}) as answer:
            assert answer.status == 403


async def test_pages_have_strict_security_headers(reader: Reader) -> None:
    for path in ("/", "/orders", "/nowhere"):
        async with reader.http.get(reader.caller.org.url + path, headers={"Accept": "text/html"}) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "script" not in policy
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert "<script" not in await answer.text()


async def test_pages_are_read_only_and_the_api_is_unchanged(reader: Reader) -> None:
    assert "Only for looking" in await reader.get("/orders", 405, method="POST")
    async with reader.http.get(f"{reader.caller.org.url}/nowhere") as answer:
        assert (answer.status, (await answer.json())[0]["errorCode"]) == (404, "NOT_FOUND")
    async with reader.http.get(f"{reader.caller.org.url}/services/nowhere", headers={"Accept": "text/html"}) as answer:
        assert (answer.status, (await answer.json())[0]["errorCode"]) == (404, "NOT_FOUND")
    before = reader.caller.org.org.usage.calls
    await reader.get("/")
    assert reader.caller.org.org.usage.calls == before


@pytest.mark.parametrize(
    "path",
    [
        "/orders/801Lo0000000099", "/accounts/x", "/record/nothing", "/record/00Q000000000001", "/orders/a/b",
        "/products/x", "/record/801Lo0000000099/Order/AccountId",
    ],
)  # fmt: skip
async def test_unknown_page_is_reported_inside_the_frame(reader: Reader, path: str) -> None:
    page = await reader.get(path, 404)
    assert "Not found" in page
    assert 'role="search"' in page


# -- what is stored is only ever text ---------------------------------------------------------------------------------


async def test_markup_in_values_is_escaped_everywhere(reader: Reader) -> None:
    caller = reader.caller
    account = await caller.create("Account", Name=SCRIPT, Website='javascript:"><b>', BillingCity="<i>")
    product, entry = await caller.priced_product(name=SCRIPT)
    fields = {"External_Key__c": SCRIPT, "Hold_Reason__c": SCRIPT, "Tracking_Number__c": SCRIPT, "Carrier__c": SCRIPT}
    order = await caller.draft(AccountId=account, **fields)
    await caller.create("OrderItem", OrderId=order, PricebookEntryId=entry, Quantity=1, UnitPrice=1)
    await caller.call("GET", f"sobjects/{quote(SCRIPT, safe='')}")
    typed = quote(SCRIPT, safe="")
    for path in (
        "/", "/orders", f"/orders/{order}", "/accounts", f"/accounts/{account}", "/products", f"/record/{product}",
        "/calls", f"/search?q={typed}", f"/orders?stage={typed}", f"/orders?account={typed}", f"/calls?fault={typed}",
        f"/calls?method={typed}", f"/accounts?name={typed}&after=0",
    ):  # fmt: skip
        page = await reader.get(path)
        assert "<script" not in page.lower(), path
        assert 'href="javascript:' not in page, path
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in await reader.get(f"/accounts/{account}")


@pytest.mark.parametrize(
    "query",
    [
        "before=abc",
        "before=-1",
        "before=99999999999999999999",
        "stage=' OR 1=1 --",
        "held=2",
        "account=%00",
        "status=%ff",
    ],
)
async def test_malformed_address_shows_a_page(reader: Reader, query: str) -> None:
    await reader.caller.draft()
    assert "<h1" in await reader.get(f"/orders?{quote(query, safe='=%')}")


async def test_related_list_of_unknown_object_or_field_is_not_found(reader: Reader) -> None:
    account = await reader.caller.create("Account", Name="Acme")
    for child, field in (
        ("sqlite_master", "name"),
        ("Order", 'AccountId" OR 1=1'),
        ("_meta", "key"),
        ("User", "OwnerId"),
    ):
        page = await reader.get(f"/record/{account}/{quote(child, safe='')}/{quote(field, safe='')}", 404)
        assert "<table" not in page


# -- what a rep sees --------------------------------------------------------------------------------------------------


async def test_order_page_shows_stage_hold_tracking_lines_and_totals(reader: Reader) -> None:
    caller = reader.caller
    account = await caller.create("Account", Name="Ernst Handel")
    _, entry = await caller.priced_product(name="Chai")
    order = await caller.draft(
        AccountId=account, External_Key__c="N-10248", Lifecycle_Stage__c="shipped", Hold_Reason__c="Card refused",
        Carrier__c="DHL", Tracking_Number__c="JD014", Payment_Status__c="partially_paid", Exact_Total__c=1234.5678,
    )  # fmt: skip
    line = {"OrderId": order, "PricebookEntryId": entry, "Quantity": 3, "UnitPrice": 411.5, "Line_Number__c": 1}
    await caller.create("OrderItem", **line)
    text = plain(await reader.get(f"/orders/{order}"))
    for said in ("N-10248", "Stage: Shipped", "Status: Draft", "On hold: Card refused", "DHL JD014", "Partially paid"):
        assert said in text
    assert "1,234.50 USD" in text
    assert "1,234.5678 USD" in text
    assert heads(await reader.get(f"/orders/{order}"))[0] == "1 Chai"
    assert f'href="/accounts/{account}"' in await reader.get(f"/orders/{order}")


async def test_column_that_repeats_another_is_left_out(reader: Reader) -> None:
    caller = reader.caller
    _, entry = await caller.priced_product(name="Chai")
    order = await caller.draft()
    line = {"OrderId": order, "PricebookEntryId": entry, "Quantity": 2, "UnitPrice": 9.5, "Exact_Total__c": 19}
    same = {"List_Unit_Price__c": 9.5, "Discount_Percent__c": 0}

    async def columns() -> list[str]:
        page = await reader.get(f"/orders/{order}")
        return re.findall(r'<th scope="col"[^>]*>([^<]*)</th>', page)[:8]

    await caller.create("OrderItem", **line, **same)
    assert await columns() == ["Product", "SKU", "Quantity", "Unit price", "Total"]
    await caller.create("OrderItem", **line | {"Exact_Total__c": 18.9525}, **same)
    assert await columns() == ["Product", "SKU", "Quantity", "Unit price", "Total", "Exact total"]
    await caller.create("OrderItem", **line, List_Unit_Price__c=10, Discount_Percent__c=5)
    assert await columns() == [
        "Product", "SKU", "Quantity", "Unit price", "List price", "Discount", "Total", "Exact total",
    ]  # fmt: skip


async def test_order_of_a_bare_org_is_shown_without_connector_fields() -> None:
    async with LocalOrg() as org, aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        reader = Reader(Caller(org, http), http)
        async with http.get(org.page_url) as answer:
            assert "On hold" not in await answer.text()
        order = await reader.caller.draft()
        page = await reader.get(f"/orders/{order}")
        assert "Status: Draft" in plain(page)
        assert "Tracking" not in page
        assert await reader.rows("/orders?held=1&stage=placed") == ["00000100"]


async def test_reduction_orders_are_listed_under_their_order() -> None:
    settings = OrgSettings(reduction_orders=True)
    async with (
        LocalOrg(OrgOptions(metadata_root=our_metadata(), settings=settings)) as org,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
    ):
        reader = Reader(Caller(org, http), http)
        await http.get(org.page_url)
        order, _ = await reader.caller.active_order()
        [row] = await reader.caller.query(f"SELECT AccountId FROM Order WHERE Id = '{order}'")
        less = await reader.caller.draft(
            AccountId=row["AccountId"], IsReductionOrder=True, OriginalOrderId=order, External_Key__c="R-1"
        )
        assert f'href="/orders/{less}"' in await reader.get(f"/orders/{order}")
        reduced = await reader.get(f"/orders/{less}")
        assert "Reduction order" in reduced
        assert f'href="/orders/{order}"' in reduced


async def test_account_page_shows_fields_orders_and_contacts(reader: Reader) -> None:
    account = await reader.caller.create("Account", Name="Acme", BillingStreet="1 High St", BillingCity="Leeds")
    await reader.caller.create("Contact", LastName="Brown", FirstName="Ann", AccountId=account)
    await reader.caller.draft(AccountId=account, External_Key__c="N-7")
    page = await reader.get(f"/accounts/{account}")
    assert heads(page)[:2] == ["N-7", "Ann Brown"]
    assert "1 High St\nLeeds" in plain(page)
    assert await reader.rows(f"/record/{account}") == heads(page)


async def test_any_record_has_a_page_by_its_id(reader: Reader) -> None:
    product, entry = await reader.caller.priced_product(name="Chai")
    page = await reader.get(f"/record/{product[:15]}")
    assert f'href="/record/{entry}"' in page
    assert "Standard Price Book" in page
    assert await reader.get(f"/{product}") == page
    user = reader.caller.org.org.auth.identity.user_id
    assert "Local Administrator" in await reader.get(f"/{user}")


async def test_hidden_field_is_shown_nowhere(reader: Reader) -> None:
    caller = reader.caller
    order = await caller.draft(
        External_Key__c="N-1", Hold_Reason__c="Secret reason", Lifecycle_Stage__c="placed", Tracking_Number__c="HIDDEN7"
    )
    [held] = await caller.query("SELECT Id FROM PermissionSetAssignment")
    assert "Secret reason" in await reader.get(f"/orders/{order}")
    assert (await caller.call("DELETE", f"sobjects/PermissionSetAssignment/{held['Id']}"))[0] == 204
    for path in (
        "/",
        "/orders",
        f"/orders/{order}",
        f"/record/{order}",
        "/search?q=N-1",
        "/orders?held=1&stage=canceled",
    ):
        page = await reader.get(path)
        for hidden in ("Secret reason", "HIDDEN7", "Hold Reason", "Lifecycle", "On hold"):
            assert hidden not in page, path
    assert await reader.rows("/search?q=N-1") == []
