"""Correcting a refused value in the console: what the org takes stands beside it, and the org gets it afterwards."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import insert, select, update

from connector.jobs.correctable_values import find_correctable_values
from connector.mapping import load_mappings
from connector.model.role import Role
from connector.store import orgs, tokens
from connector.store.dead_letters import list_dead_letters
from connector.store.tables import org_catalog, outbox
from tests.flow.conftest import CUSTOMERS, World
from tests.flow.test_push import an_order

PATH = "/errors/correct"


@dataclass
class Screen:
    client: TestClient[Any, Any]

    async def open(self, **query: str) -> str:
        async with self.client.get(PATH, params=query) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.text()

    async def send(self, page: str, changes: Mapping[str, str], **query: str) -> tuple[int, str]:
        """Send the form of a page as a browser does, with changes; the status, and the page or what was done."""
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page))
        address = f"{PATH}?{urlencode(query)}"
        async with self.client.post(address, data={**hidden, **changes}, allow_redirects=False) as answer:
            status, text = answer.status, await answer.text()
        if status == 303:
            async with self.client.get(answer.headers["Location"]) as shown:
                [text] = re.findall(r'role="status">.*?</svg><span>(.*?)</span></p>', await shown.text())
        return status, text


@pytest.fixture
async def screen(world: World) -> AsyncIterator[Screen]:
    async with world.service.store.transaction() as uow:
        secret = await tokens.create(uow, "Kim", Role.OPS)
    async with TestClient(TestServer(world.service.web_app())) as client:
        async with client.post("/signin", data={"token": secret, "next": "/errors"}) as answer:
            assert answer.status == 200
        yield Screen(client)


async def test_refused_values_are_corrected_where_they_belong_and_reach_the_org(world: World, screen: Screen) -> None:
    long_phone = "0" * 45
    customer = replace(CUSTOMERS[0], phone=long_phone)
    await world.save([an_order("A-1")], some_customers=[customer, *CUSTOMERS[1:]])
    await world.push()
    [letter] = [item for item in await world.dead_letters() if item.refusal.code == "STRING_TOO_LONG"]
    chosen = {"entity": letter.entity.value, "key": letter.key}

    page = await screen.open(**chosen)
    assert 'name="set.phone"' in page
    assert long_phone in page
    assert "at most 40 characters; this has 45." in page
    status, text = await screen.send(page, {"set.phone": "1" * 41}, **chosen)
    assert (status, "takes 40 characters in Salesforce; this has 41." in text) == (422, True)
    assert f'value="{"1" * 41}"' in text  # as it was filled in
    status, text = await screen.send(page, {}, **chosen)
    assert (status, "Nothing is changed yet" in text) == (422, True)
    status, text = await screen.send(page, {"set.phone": "030 123", "version": "99"}, **chosen)
    assert (status, "has changed: it is at version" in text) == (422, True)
    status, text = await screen.send(page, {"set.phone": "030 123", "set.credit_limit": "much"}, **chosen)
    assert (status, 'id="wrong-set.credit_limit"' in text) == (422, True)

    status, text = await screen.send(page, {"set.phone": "030 123"}, **chosen)
    assert (status, text) == (
        303,
        f"Customer {customer.number} is corrected: 1 change is sent again. No process of the service is a worker now.",
    )
    assert await world.dead_letters() == []
    await world.push()
    [account] = await world.query(f"SELECT Phone FROM Account WHERE External_Key__c = '{customer.number}'")
    assert account["Phone"] == "030 123"
    assert "It is not refused any more" in await screen.open(**chosen)
    status, text = await screen.send(page, {"set.phone": "1"}, **chosen)
    assert (status, "is not refused any more." in text) == (404, True)


async def test_limits_are_those_of_the_org_that_refused_and_of_the_file_that_made_the_field(
    world: World, tmp_path: Path
) -> None:
    await world.save([an_order("A-1")], some_customers=[replace(CUSTOMERS[0], phone="0" * 45), *CUSTOMERS[1:]])
    await world.push()
    store = world.service.store
    async with store.for_org("emea").transaction() as uow:
        await orgs.put(uow, "00DEMEA", login_url="x", instance_url="x", is_active=True)
        own = (await uow.connection.execute(select(org_catalog))).mappings().one()
        body = own["body"].replace('"length":40', '"length":20')
        await uow.connection.execute(insert(org_catalog).values({**own, "org_id": "00DEMEA", "body": body}))
        await uow.connection.execute(update(outbox).where(outbox.c.state == "dead").values(org="emea"))
    shutil.copytree(Path(__file__).parents[2] / "mappings", folder := tmp_path / "mappings")
    person = folder / "person.yaml"
    person.write_text(person.read_text().replace("Phone: {path: phone,", "Phone: {path: street,"))
    mappings = load_mappings(folder)
    async with store.for_org(None).reader() as connection:
        [letter] = await list_dead_letters(connection)
        company = await find_correctable_values(connection, letter, mappings)
        refusal = replace(letter.refusal, source="person.yaml:1")  # the line has moved since
        individual = await find_correctable_values(connection, replace(letter, refusal=refusal), mappings)
    assert company is not None
    assert individual is not None
    assert [(value.name, value.limit and value.limit.length) for value in company.values if value.is_refused] == [
        ("phone", 20)
    ]
    assert [value.name for value in individual.values if value.is_refused] == ["street"]
