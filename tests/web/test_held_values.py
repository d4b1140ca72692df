"""Held values: named on the order, on Home and on their page, and released by whoever may."""

from __future__ import annotations

import re

import pytest

from connector.model.record import Link
from connector.model.role import Role
from connector.store import links, orgs
from connector.store.queries import held_links
from tests.web.conftest import Api
from tests.web.test_console import open_page, placed, send, sign_in


async def put_held(api: Api) -> None:
    """An order with two held fields."""
    await placed(api)
    link = Link(entity="order", key="W-1", sobject="Order", salesforce_id="801", snapshot={"Description": "theirs-1"})
    async with api.store.transaction() as uow:
        await orgs.put(uow, "00D", login_url="", instance_url="https://org.example", is_active=True)
        await links.put(uow, "00D", [link])
        await links.hold(uow, "00D", {("order", "W-1"): {"Description": "ours-1", "Channel__c": "ours-2"}}, {})


async def test_held_values_are_named_to_all_and_released_by_ops(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await put_held(api)
    pages = ("/orders/W-1", "/conflicts/held")
    await sign_in(api, Role.VIEWER)
    assert "fields held since an undo: ours are not sent" in (await open_page(api, "/"))[1]
    with monkeypatch.context() as patched:
        patched.setattr(held_links, "MOST_SKIPPED", 0)  # of many, Home counts records
        assert "records with fields held since an undo: ours is not sent" in (await open_page(api, "/"))[1]
    for path in pages:
        _, text = await open_page(api, path)
        assert ("Description" in text or "2 fields are held" in text, "ours-1" in text, "Send ours" in text) == (
            True, False, False,
        )  # fmt: skip
    hidden = (await api("GET", "/held-values", role=Role.VIEWER)).body["held"]
    assert [(item["key"], item["part"], item["org"]) for item in hidden] == [("W-1", None, "default")]
    assert {(item["ours"], item["hidden"]) for item in hidden[0]["fields"]} == {(None, True)}
    api.client.session.cookie_jar.clear()
    await sign_in(api)
    for path in pages:
        _, text = await open_page(api, path)
        assert all(part in text for part in ("theirs-1", "ours-1", "ours-2", "Send ours now")), path
        assert "Nothing is due" not in text
    shown = (await api("GET", "/held-values?org=default")).body
    assert {(item["ours"], item["in_org"]) for item in shown["held"][0]["fields"]} == {
        ("ours-1", "theirs-1"), ("ours-2", None),
    }  # fmt: skip
    assert (await api("GET", "/held-values?org=emea")).body == {"held": [], "after": None}
    assert (await api("GET", "/held-values?after=x")).status == 400

    body = {"entity": "order", "keys": ["W-1"], "fields": ["Channel__c"]}
    assert (await api("POST", "/held-values/release", body, role=Role.VIEWER)).status == 403
    assert (await api("POST", "/held-values/release", body)).body == {"fields": 1}
    assert (await api("POST", "/held-values/release", body)).status == 409
    assert (await api("GET", "/held-values?limit=1")).body["held"][0]["fields"][0]["field"] == "Description"
    status, text = await send(api, "/conflicts/held/release", entity="order", key="W-1", back="yes")
    assert (status, "Our value of 1 field of order W-1 is sent again." in text) == (303, True)
    assert "Nothing is held" in (await open_page(api, "/conflicts/held"))[1]
    status, text = await send(api, "/conflicts/held/release", entity="order", key="W-1")
    assert "Nothing is held of order W-1." in text
    audited = (await api("GET", "/audit?action=released")).body["actions"]
    assert [(item["key"], item["detail"]["fields"]) for item in audited] == [
        ("W-1", ["Description"]), ("W-1", ["Channel__c"]),
    ]  # fmt: skip


async def test_page_of_values_that_the_org_has_leads_to_the_next_one(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_links, "MOST_SKIPPED", 0)
    monkeypatch.setattr("connector.web.console.held.PAGE_SIZE", 1)
    await put_held(api)
    early = Link(entity="order", key="W-0", sobject="Order", salesforce_id="800", snapshot={"Description": "same-1"})
    async with api.store.transaction() as uow:
        await links.put(uow, "00D", [early])
        await links.hold(uow, "00D", {("order", "W-0"): {"Description": "same-1"}}, {})
    await sign_in(api)
    _, text = await open_page(api, "/conflicts/held")
    [following] = re.findall(r'href="(/conflicts/held\?[^"]+)"', text)
    assert ("same-1" in text, "ours-1" in text, "Nothing is held" in text) == (False, False, False)
    _, text = await open_page(api, following)
    assert ("ours-1" in text, "Next page" in text) == (True, False)
    _, text = await open_page(api, "/conflicts/held?after=00D%7Corder%7CW-1")
    assert "Nothing more is held." in text
