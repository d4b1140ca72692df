"""Why an order has its status in Salesforce: the rule of the mapping, the stages to come, and what keeps it."""

from __future__ import annotations

import re
from html import unescape

from aiohttp.test_utils import TestClient, TestServer

from connector.mapping.field_rule import explain_field
from connector.mapping.version import load_texts, read_texts
from connector.model.change import EntityKind
from connector.model.record import Link
from connector.model.role import Role
from connector.model.stage import Stage
from connector.store import dead_letters, job_schedules, links, orders, orgs
from tests.web.conftest import Api, app_on, report_process
from tests.web.test_api import placed
from tests.web.test_console import open_page, sign_in
from tests.web.test_dead_letters import TOO_LONG, refuse

ORG = "00D"


async def link_order(api: Api, status: str, number: str = "W-1") -> None:
    async with api.store.transaction() as uow:
        await orgs.put(uow, ORG, login_url="", instance_url="https://org.example", is_active=True)
        link = Link(
            entity="order",
            key=number,
            sobject="Order",
            salesforce_id=f"80100000000{number[2:]:0>4}AAA",
            snapshot={"Status": status},
        )
        await links.put(uow, ORG, [link])


async def reason(api: Api, number: str = "W-1") -> str:
    """What the page says of the status, as text."""
    answer, text = await open_page(api, f"/orders/{number}")
    assert answer.status == 200
    found = re.search(r'<section class="card reason".*?</section>', text, re.DOTALL)
    assert found is not None
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", found[0])).split())


async def test_page_says_which_rule_makes_the_status_and_what_keeps_it(api: Api) -> None:
    await placed(api)
    await link_order(api, "Draft")
    await sign_in(api)
    text = await reason(api)
    assert text.startswith("Draft in Salesforce The mapping makes Draft of the stage placed.")
    assert "values/order_status.yaml , line 3" in text
    assert "It becomes Activated when the order is confirmed." in text
    assert "Nobody has verified it yet. Verify" in text
    assert "is off in the settings of the service. It needs the setting CONNECTOR_ORDERS__AUTOMATION_SECONDS." in text

    await api.move("W-1", action="verify")
    assert "Draft of the stage verified." in await reason(api)
    assert "Nobody has confirmed it yet." in await reason(api)
    await api.move("W-1", action="hold", hold="manual", note="Ring <b>Ann</b>")
    text = await reason(api)
    assert "The manual hold by ops of tests keeps it verified." in text
    assert "Ring <b>Ann</b> Release" in text
    assert "Nobody has confirmed" not in text
    _, page = await open_page(api, "/orders/W-1")
    assert page.count('href="/orders/W-1/actions/release"') > 1

    api.client.session.cookie_jar.clear()
    await sign_in(api, Role.VIEWER)
    text = await reason(api)
    assert "CONNECTOR_" not in text
    assert "The manual hold by ops of tests keeps it verified." in text
    assert "Ring" not in text
    assert "Release" not in text


async def test_page_says_that_an_order_is_verified_by_a_job_only_if_the_job_runs(api: Api) -> None:
    await placed(api)
    await link_order(api, "Draft")
    async with TestClient(TestServer(app_on(api.store, automation_seconds=5))) as client:
        service = Api(client, api.store, api.secrets)
        await sign_in(service)
        text = await reason(service)
        assert "Nobody has verified it yet. Verify No process of the service is a scheduler now." in text
        await report_process(api.store, "api", "scheduler")
        assert "The job order_automation verifies it: it runs every 5 s. Verify" in await reason(service)
        async with api.store.transaction() as uow:
            await job_schedules.set_paused(uow, "order_automation", True, actor="kim")
        text = await reason(service)
        assert "Nobody has verified it yet. Verify The job order_automation is paused by kim." in text


async def test_page_says_what_keeps_a_change_of_the_status(api: Api) -> None:
    await placed(api)
    await api.move("W-1", action="verify")
    await api.move("W-1", action="confirm")
    await link_order(api, "Draft")
    await sign_in(api)
    text = await reason(api)
    assert "The mapping makes Activated of the stage confirmed." in text
    assert "The change waits to be sent." in text
    assert "It becomes" not in text
    assert "No process of the service is a worker now." in text
    await report_process(api.store, "worker")
    assert "No process" not in await reason(api)

    async with api.store.transaction() as uow:
        await job_schedules.set_paused(uow, "push", True, actor="kim")
    assert "The job push is paused by kim." in await reason(api)

    await refuse(api, "W-1", TOO_LONG)
    text = await reason(api)
    assert "Salesforce refused the latest change of this order: Activated is sent with it." in text
    assert "Correct" in text

    await link_order(api, "Activated")
    assert "Salesforce refused the latest change of this order: Activated" not in await reason(api)

    await api("POST", "/dead-letters/discard", {"entity": "order", "keys": ["W-1"]})
    await link_order(api, "Draft")
    assert "The latest change was given up after Salesforce had refused it." in await reason(api)
    async with api.store.transaction() as uow:
        await dead_letters.journal_resync(uow, EntityKind.ORDER, ["W-1"])
    assert "Both sides agreed on Draft last; by now the mapping makes Activated of it." in await reason(api)


async def test_rule_of_any_mapping_is_found_with_the_stage_that_brings_another_value(api: Api) -> None:
    await placed(api)
    async with api.store.reader() as connection:
        [order] = await orders.load(connection, ["W-1"])
    texts = dict(read_texts())
    for line, table, expected in (
        ("{path: stage, values: order_status}", "placed: Open\n'*': Closed\n", ("Open", "stage", Stage.VERIFIED)),
        ("{path: channel, values: order_status}", "web: Online\n'*': Other\n", ("Online", "channel", None)),
        ('{expr: \'"New" if stage == "placed" else "Sold"\'}', None, ("New", None, Stage.VERIFIED)),
        ("{const: Draft}", None, ("Draft", None, None)),
        ("{path: stage, values: order_status}", "placed: null\n'*': Late\n", (None, "stage", Stage.VERIFIED)),
    ):
        changed = texts["order.yaml"].replace("{path: stage, values: order_status}", line)
        assert changed != texts["order.yaml"] or table is not None
        version = load_texts(texts | {"order.yaml": changed} | ({"values/order_status.yaml": table} if table else {}))
        rule = explain_field(version.mappings.order.spec.record, "Status", order)
        assert rule is not None, line
        assert (rule.value, rule.origin, rule.next_stage) == expected, line
        assert rule.keeps is (rule.value is None)
        where = "values/order_status.yaml" if table else "order.yaml"
        assert rule.position.file.endswith(where), line
    assert explain_field(version.mappings.order.spec.record, "Nothing__c", order) is None
