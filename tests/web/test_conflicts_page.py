"""The page of conflicts: what helps to decide, and what a decision has come to."""

from __future__ import annotations

import re
from dataclasses import replace

from sqlalchemy import delete, insert, select

from connector.model.change import ChangeState
from connector.model.conflict import Conflict
from connector.model.role import Role
from connector.store import conflicts, order_history, orgs
from connector.store.queries.conflict_context import load_context
from connector.store.tables import outbox
from tests.web.conftest import Api
from tests.web.test_api import placed
from tests.web.test_conflicts import ORG, linked_customer_in_conflict, phone_of
from tests.web.test_console import HOSTILE, open_page, send, sign_in


async def test_conflict_is_resolved_only_as_it_was_shown(api: Api) -> None:
    conflict = await linked_customer_in_conflict(api, "K-1")
    async with api.store.transaction() as uow:
        await orgs.put(uow, ORG, login_url="", instance_url="https://org.example", is_active=True)
    await sign_in(api)
    _, text = await open_page(api, "/conflicts")
    found = re.search(r'name="version" value="(\d+)"', text)
    assert found is not None
    status, text = await send(api, "/conflicts/resolve", id=conflict, version=1, take="local")
    assert (status, "<h1>Conflicts</h1>" in text, "Keep ours" in text) == (409, True, True)  # said where it is decided
    assert 'role="alert"' in text
    assert 'hx-trigger="changed' not in text  # what was sent, and what is wrong with it, stays until it is sent again
    assert 'hx-trigger="changed' in (await open_page(api, "/conflicts"))[1]
    assert (await send(api, "/conflicts/resolve", id=conflict, version=found[1], take="both"))[0] == 422
    status, text = await send(api, "/conflicts/resolve", id=conflict, version=found[1], take="salesforce")
    sentence = "Phone of customer K-1: “3”, the value of Salesforce, stands here too, in place of “2”."
    assert (status, sentence in text, "Both sides agree" in text) == (303, True, True)
    assert await phone_of(api, "K-1") == "3"
    other = await linked_customer_in_conflict(api, "K-2")
    _, text = await open_page(api, "/conflicts")
    version = re.findall(r'name="version" value="(\d+)"', text)[0]
    status, text = await send(api, "/conflicts/resolve", id=other, version=version, take="local", always="yes")
    assert "Phone of customer K-2: “2”, our value, stands and is sent to Salesforce in place of “3”." in text
    assert ("it is on its way to Salesforce" in text, "taken over here" in text) == (True, True)
    assert 'href="/customers/K-2"' in text
    async with api.store.transaction() as uow:
        await uow.connection.execute(delete(outbox))
    _, text = await open_page(api, "/conflicts")
    assert ("Salesforce has it" in text, 'href="https://org.example/001' in text) == (True, True)
    assert '<span class="code">Account.Phone</span>: ours stands' in text
    form = {"org": ORG, "sobject": "Account", "field": "Phone"}
    assert (
        "You are asked again when both sides change Account.Phone."
        in (await send(api, "/conflicts/ask-again", **form))[1]
    )
    assert "Always decided so" not in (await open_page(api, "/conflicts"))[1]
    assert (await send(api, "/conflicts/ask-again", **form | {"org": "x"}))[0] == 404


async def test_sentence_about_values_does_not_outlive_the_session(api: Api) -> None:
    conflict = await linked_customer_in_conflict(api, "K-1")
    await sign_in(api)
    _, text = await open_page(api, "/conflicts")
    [version, proof] = [re.findall(rf'name="{name}" value="(\w+)"', text)[0] for name in ("version", "form_proof")]
    form = {"form_proof": proof, "id": str(conflict), "version": version, "take": "salesforce"}
    https = {"X-Forwarded-Proto": "https"}
    async with api.client.post("/conflicts/resolve", data=form, headers=https, allow_redirects=False) as answer:
        [cookie] = [value for value in answer.headers.getall("Set-Cookie") if value.startswith("told=")]
    assert ("Secure" in cookie, "HttpOnly" in cookie) == (True, True)
    for path, more in (("/signout", {}), ("/signin", {"token": api.secrets[Role.OPS]})):
        async with api.client.post(path, data={"form_proof": proof, **more}, allow_redirects=False) as answer:
            [cookie] = [value for value in answer.headers.getall("Set-Cookie") if value.startswith("told=")]
        assert (answer.status, "Max-Age=0" in cookie) == (303, True)


async def test_conflict_of_an_order_names_its_customer_and_who_wrote_our_value(api: Api) -> None:
    await placed(api)
    order = (await api("GET", "/orders/W-1")).body
    async with api.store.reader() as connection:
        [event, *_] = await order_history.read(connection, "W-1")
    item = Conflict(
        id=0, org_id=ORG, entity="order", key="W-1", field="Description", sobject="Order", record_id="8011", base=None,
        local="ours", remote=HOSTILE, opened_at=event.at, local_changed_at=event.at,
    )  # fmt: skip
    async with api.store.transaction() as uow:
        await orgs.put(uow, ORG, login_url="", instance_url="", is_active=True)
        await conflicts.open_or_update(uow, [item, replace(item, field="PoNumber")])
        there = {"org": "emea", "state": "dead"}  # another org has refused the same key
        row = dict((await uow.connection.execute(select(outbox))).mappings().one())
        await uow.connection.execute(insert(outbox).values({**row, **there}))
    async with api.store.reader() as connection:
        both = await conflicts.list_page(connection, limit=9)
        context = await load_context(connection, both)
    assert context.authors == {item.id: event.actor for item in both}
    assert context.unsent == {(ORG, "order", "W-1"): ChangeState.DUE}
    await sign_in(api)
    _, text = await open_page(api, "/conflicts")
    assert f"{event.actor}</span></span><b>ours</b>" in text
    assert f", {order['customer']}</span>" in text
    assert "<script>document" not in text
