"""The page of conflicts: what helps to decide, and what a decision has come to."""

from __future__ import annotations

import re

from sqlalchemy import delete

from connector.model.conflict import Conflict
from connector.store import conflicts, order_history, orgs
from connector.store.tables import outbox
from tests.web.conftest import Api
from tests.web.test_api import placed
from tests.web.test_conflicts import ORG, linked_customer_in_conflict, phone_of
from tests.web.test_console import HOSTILE, open_page, send, sign_in


async def test_conflict_is_resolved_only_as_it_was_shown(api: Api) -> None:
    conflict = await linked_customer_in_conflict(api, "K-1")
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
    assert 'href="/orders?customer=K-2"' in text
    async with api.store.transaction() as uow:
        await orgs.put(uow, ORG, login_url="", instance_url="https://org.example", is_active=True)
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
        await conflicts.open_or_update(uow, [item])
    await sign_in(api)
    _, text = await open_page(api, "/conflicts")
    assert f"{event.actor}</span></span><b>ours</b>" in text
    assert f", {order['customer']}</span>" in text
    assert "<script>document" not in text
