"""Orders and customers are found by what people have at hand, and orders by their status in Salesforce."""

from __future__ import annotations

import re

import pytest

from connector.model.record import Link
from connector.model.role import Role
from connector.store import links, orgs
from connector.store.queries import typed_text
from connector.store.queries.order_list import OrderFilter, list_latest_orders
from connector.store.queries.typed_text import read_text
from tests.web.conftest import Api
from tests.web.test_api import placed
from tests.web.test_console import open_page, sign_in
from tests.web.test_order_status_page import ORG, link_order


async def numbers_at(api: Api, path: str) -> set[str]:
    answer, text = await open_page(api, path)
    assert answer.status == 200, path
    return set(re.findall(r'href="/orders/(W-\d)"', text))


async def test_orders_are_filtered_by_their_status_in_salesforce(api: Api) -> None:
    await placed(api)
    await placed(api, number="W-2")
    await placed(api, number="W-3")
    await link_order(api, "Draft")
    await link_order(api, "Activated", "W-2")
    await sign_in(api, Role.VIEWER)
    assert await numbers_at(api, "/orders?status=Draft") == {"W-1"}
    assert await numbers_at(api, "/orders?status=Activated&stage=placed") == {"W-2"}
    assert await numbers_at(api, "/orders?status=Lost") == set()
    _, text = await open_page(api, "/orders?status=Draft")
    assert re.findall(r"<option( selected)?>(Activated|Draft)<", text) == [("", "Activated"), (" selected", "Draft")]
    _, text = await open_page(api, "/orders.csv?status=Draft")
    header, row = text.strip().split("\r\n")
    cells = dict(zip(header.split(","), row.split(","), strict=True))
    assert (cells["number"], cells["status"], cells["total"], cells["due"]) == ("W-1", "Draft", "65.64375", "70.54")

    await link_order(api, "Activated")
    assert await numbers_at(api, "/orders?status=Draft") == set()


async def leads_to(api: Api, text: str) -> str | None:
    """The page that opens at once; None if there is none."""
    answer, page = await open_page(api, "/search", params={"q": text})
    assert answer.status in {200, 303}, (text, page[-500:])
    return answer.headers.get("Location")


async def test_one_box_finds_whatever_a_person_has_at_hand(api: Api) -> None:
    await placed(api, po_number="PO-77/a")
    await placed(api, number="W-2")
    await link_order(api, "Draft")
    number = "C-2002"
    person = {"name": "Zoë Quist", "email": "Zoe@Example.com", "phone": "+49 170 555-123"}
    assert (await api("PUT", f"/customers/{number}", person)).status == 201
    await give_parcel_and_return(api)
    [invoice] = (await api("GET", "/orders/W-2/invoices")).body["invoices"]
    await sign_in(api)
    for text, address in (
        ("W-1", "/orders/W-1"), (" w-1 ", "/orders/W-1"), ("PO-77/a", "/orders/W-1"), ("po-77/A", None),
        (invoice["number"], "/orders/W-2"), ("TRK-1", "/orders/W-2"), ("W-2-RMA1", "/orders/W-2#return-1"),
        ("BACK-1", "/orders/W-2"), ("80100000000001AAA", None),
        ("801000000000001", "/orders/W-1"), ("801000000000001AAA", "/orders/W-1"), ("801000000000002AAA", None),
        ("C-2002", "/customers/C-2002"), ("zoe@example.COM", "/customers/C-2002"), ("0170 555123", "/customers/C-2002"),
        ("zoe@example", None), ("Quist", None), ("", None), ("%", None), ("'; --", None),
    ):  # fmt: skip
        assert await leads_to(api, text) == address, text
    _, text = await open_page(api, "/search?q=quist")
    assert 'href="/customers/C-2002"' in text
    assert "Zoe@Example.com" in text
    _, text = await open_page(api, "/search?q=W-")
    assert set(re.findall(r'href="/orders/(W-\d)"', text)) == {"W-1", "W-2"}
    _, text = await open_page(api, "/search?q=nobody")
    assert "Nothing is found." in text
    await placed(api, number="PO-77/a")
    _, text = await open_page(api, "/search?q=PO-77/a")
    assert 'href="/orders/PO-77%2Fa"' in text
    assert 'href="/orders/W-1"' in text

    api.client.session.cookie_jar.clear()
    await sign_in(api, Role.VIEWER)
    for text in ("zoe@example.com", "0170 555123", "+49 170 555-123"):
        answer, page = await open_page(api, "/search", params={"q": text})
        assert (answer.status, "Nothing is found." in page) == (200, True), text
    _, text = await open_page(api, "/search?q=quist")
    assert "C-2002" in text
    assert "example.com" not in text.lower()


async def test_names_are_found_without_accents_and_orders_without_their_prefix(api: Api) -> None:
    for number, name in (("C-7", "Épicerie du Marché"), ("C-8", "Henrik Sørensen"), ("C-9", "Henrik O’Neill-Łuk")):
        assert (await api("PUT", f"/customers/{number}", {"name": name, "city": "Ort"})).status == 201
    for number, customer in (("SO-000002", "C-7"), ("SO-000102", "C-8"), ("W-000102", "C-9"), ("77000102", "C-9")):
        await placed(api, number=number, customer=customer)
    await sign_in(api, Role.VIEWER)
    for text, customers in (
        ("sorensen", {"C-8"}), ("SORENSEN henrik", {"C-8"}), ("henr sör", {"C-8"}), ("Sørensen", {"C-8"}),
        ("epicerie", {"C-7"}), ("marche", {"C-7"}), ("henrik", {"C-8", "C-9"}), ("oneill luk", {"C-9"}),
        ("henrik epicerie", set()), ("ort", set()), ("%", set()), ("_", set()),
    ):  # fmt: skip
        _, page = await open_page(api, "/search", params={"q": text})
        assert set(re.findall(r'href="/customers/(C-\d)"><b>', page)) == customers, text
        _, page = await open_page(api, "/orders", params={"q": text})
        owners = {"SO-000002": "C-7", "SO-000102": "C-8", "W-000102": "C-9", "77000102": "C-9"}
        assert {owners[number] for number in re.findall(r'href="/orders/([\w-]+)"', page)} == customers, text
    assert await leads_to(api, "000002") == "/orders/SO-000002"
    assert await leads_to(api, "CHAI") == "/orders?sku=CHAI"
    for path in ("/search?q=000102", "/orders?q=000102"):
        _, page = await open_page(api, path)
        assert set(re.findall(r'href="/orders/([\w-]+)"', page)) == {"SO-000102", "W-000102"}, path
    _, rows = await open_page(api, "/orders.csv?q=sorensen")
    assert [row.split(",")[0] for row in rows.splitlines()] == ["number", "SO-000102"]
    renamed = {"name": "Henrik Smith"}
    assert (await api("PUT", "/customers/C-8", renamed)).status == 200
    assert await numbers_found(api, "sorensen") == set()
    assert await numbers_found(api, "smith") == {"SO-000102"}


async def numbers_found(api: Api, text: str) -> set[str]:
    async with api.store.reader() as connection:
        chosen = OrderFilter(text=await read_text(connection, text))
        return {number for number, _ in await list_latest_orders(connection, chosen, before=None, limit=9)}


async def test_frequent_names_find_the_latest_orders(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 5):
        name = "Ann Ångström" if number % 2 else "Ann Lee"
        assert (await api("PUT", f"/customers/C-{number}", {"name": name})).status == 201
        await placed(api, number=f"W-{number}", customer=f"C-{number}")
    wanted = {"ann": "1234", "ann angstrom": "13", "w-": "1234", "W-3": "3", "C-2": "2", "lee nobody": ""}
    for named, numbered in ((200, 1000), (1, 1000), (1, 1), (200, 1)):
        monkeypatch.setattr(typed_text, "MOST_NAMED", named)
        monkeypatch.setattr(typed_text, "MOST_NUMBERED", numbered)
        for text, numbers in wanted.items():
            assert await numbers_found(api, text) == {f"W-{number}" for number in numbers}, (text, named, numbered)


async def give_parcel_and_return(api: Api) -> None:
    """Lead W-2 to a parcel, an invoice, and a return with a parcel of its own."""
    await api(
        "PUT", "/stock", {"levels": [{"sku": sku, "warehouse": "MAIN", "on_hand": 9} for sku in ("CHAI", "TOFU")]}
    )
    for body in (
        {"action": "verify"}, {"action": "confirm"}, {"action": "allocate"}, {"action": "pick"},
        {"action": "ship", "carrier": "DHL", "tracking_number": "TRK-1"}, {"action": "invoice"},
        {"action": "deliver"}, {"action": "request_return", "lines": {"1": 1}, "reason": "damaged"},
        {"action": "approve_return"}, {"action": "label_return", "carrier": "DHL", "tracking_number": "BACK-1"},
    ):  # fmt: skip
        answer = await api.move("W-2", **body)
        assert answer.status == 200, (body, answer.body)


async def test_page_of_a_customer_says_who_it_is_on_both_sides(api: Api) -> None:
    customer = {"name": "Zoë <b>Quist</b>", "email": "zoe@example.com", "phone": "+49 170 555-123", "city": "Köln"}
    assert (await api("PUT", "/customers/C-9", customer)).status == 201
    await sign_in(api)
    answer, text = await open_page(api, "/customers/C-9")
    assert answer.status == 200
    assert "This customer has no orders." in text
    assert "not in Salesforce yet" in text
    assert "<b>Quist" not in text
    await placed(api, number="W-2", customer="C-9")
    async with api.store.transaction() as uow:
        await orgs.put(uow, ORG, login_url="", instance_url="https://org.example", is_active=True)
        snapshot = {"Name": "Zoe Quist", "Phone": "old"}
        link = Link(entity="customer", key="C-9", sobject="Account", salesforce_id="001A", snapshot=snapshot)
        await links.put(uow, ORG, [link])
    _, text = await open_page(api, "/customers/C-9")
    assert 'href="https://org.example/001A" rel="noreferrer"' in text
    assert 'href="/orders/W-2"' in text
    assert "not sent" in text
    assert "old" in text
    found = re.search(r'name="form_proof" value="(\w+)"', text)
    assert found is not None
    for action, mode in (("push", "push"), ("pull", "pull"), ("compare", "compare")):
        path = f"/customers/C-9/{action}"
        async with api.client.post(path, data={"form_proof": found[1]}, allow_redirects=False) as done:
            assert (done.status, done.headers["Location"]) == (303, "/customers/C-9")
        [asked, *_] = (await api("GET", "/scheduler/resyncs", role=Role.ADMIN)).body["resyncs"]
        assert (asked["entity"], asked["mode"]) == ("customer", mode)
    assert (await open_page(api, "/customers/C-10"))[0].status == 404

    api.client.session.cookie_jar.clear()
    await sign_in(api, Role.VIEWER)
    _, text = await open_page(api, "/customers/C-9")
    assert "Values are for the role ops." in text
    for personal in ("zoe@example.com", "555-123", "Köln", "Push now"):
        assert personal not in text, personal
