"""A mapping is changed on screen, made live and rolled back, while three services work.

`pytest -q -s -n 0 tests/console/test_mapping_change.py` prints how long it takes, and in how many clicks.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from connector.cli.localorg import our_metadata
from connector.jobs import resync_loop
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from connector.localorg.write_plan import WritePlan
from connector.model.order import OrderInput
from connector.model.record import LAST_SYNCED
from connector.model.role import Role
from connector.process_roles import running_roles
from connector.service import running_service
from connector.store import tokens
from connector.store.engine import Store
from tests.flow.conftest import World, quiet_log, settings_for  # noqa: F401
from tests.flow.test_push import an_order
from tests.order_builders import changed
from tests.org.conftest import SHARED

pytestmark = SHARED
ORDERS = 12
OFFERED = {"OrderReferenceNumber": 1, "Last_Synced__c": 0, "Sync_Message__c": 0, "OriginalOrderId": 0}
"""Fields that can be mapped; the connector's own, and references, are not among them."""


def order(number: int) -> OrderInput:
    return an_order(f"A-{number}", customer=f"C-{number % 8 + 1}")


class Person:
    """Uses a page, and counts the clicks."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.clicks = 0

    async def click(self, target: Locator) -> None:
        self.clicks += 1
        await target.click()

    async def press(self, name: str) -> None:
        await self.click(self.page.get_by_role("button", name=name, exact=True))

    async def choose(self, label: str, option: str) -> None:
        self.clicks += 1
        await self.page.get_by_label(label).select_option(option)

    async def follow(self, name: str) -> None:
        await self.click(self.page.get_by_role("link", name=name, exact=True).first)


class Services:
    """Three services on one database and one org, with a shop that goes on changing orders."""

    def __init__(self, world: World, urls: list[str]) -> None:
        self.world = world
        self.urls = urls
        self.written: list[tuple[str, str, Any]] = []

    async def until_described(self, text: str | None) -> None:
        """Wait until every order of the org has this description, and nothing is due."""
        async with asyncio.timeout(60):
            while await self._descriptions() != {text} or await self.world.due():  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def _descriptions(self) -> set[str | None]:
        return {row["Description"] for row in await self.world.query("SELECT Description FROM Order")}

    async def shop(self) -> None:
        """Give each order a carrier of its own, one after the other."""
        for number in range(ORDERS):
            await self.world.save([changed(order(number), carrier=f"carrier {number}")])
            await asyncio.sleep(0.2)


async def open_services(
    stack: AsyncExitStack, database_url: str, monkeypatch: pytest.MonkeyPatch, *, number: int = 3
) -> Services:
    org = await stack.enter_async_context(LocalOrg(OrgOptions(metadata_root=our_metadata())))
    settings = settings_for(org, database_url)
    monkeypatch.setattr(resync_loop, "LOOK_SECONDS", 0.1)
    world = World(org, await stack.enter_async_context(running_service(settings)))
    await world.save([order(number) for number in range(ORDERS)])
    await world.push()
    urls: list[str] = []
    for _ in range(number):
        own = settings.model_copy(update={"http": settings.http.model_copy(update={"port": free_port()})})
        await stack.enter_async_context(running_roles(own, ["api", "worker"], announce=urls.append))
    services = Services(world, urls)
    update = org.org.dml._update

    def record_update(plan: WritePlan, record_id: str, body: dict[str, Any]) -> Any:
        if plan.name == "Order":
            fields = {name: value for name, value in body.items() if name not in {LAST_SYNCED, "attributes"}}
            services.written += [(record_id, name, value) for name, value in fields.items()]
        return update(plan, record_id, body)

    monkeypatch.setattr(org.org.dml, "_update", record_update)
    return services


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def sign_in(browser: Browser, url: str, store: Store) -> Person:
    async with store.transaction() as uow:
        secret = await tokens.create(uow, "Ann", Role.ADMIN)
    page = await (await browser.new_context()).new_page()
    await page.goto(f"{url}/mappings")
    await page.get_by_label("Token").fill(secret)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Mappings")).to_be_visible()
    return Person(page)


async def test_a_change_is_live_and_rolled_back_in_three_services_within_a_minute(
    browser: Browser, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No service is restarted; the org gets each value of each version once."""
    async with AsyncExitStack() as stack:
        services = await open_services(stack, database_url, monkeypatch)
        person = await sign_in(browser, services.urls[0], services.world.service.store)
        page = person.page
        began = time.monotonic()
        shop = asyncio.create_task(services.shop())

        await person.follow("order.yaml")
        await expect(page.get_by_role("heading", name="order.yaml")).to_be_visible()
        offered = {name: await page.locator(f"datalist option[value='{name}']").count() for name in OFFERED}
        assert offered == OFFERED
        await person.press("Change Description")
        await person.choose("Its value comes from", "a constant")
        await page.get_by_label("Field, expression or constant").fill("Thank you")
        await person.choose("Whose value stands", "ours")
        await person.press("Change field")
        await person.press("Preview what changes")
        await expect(page.get_by_text(f"{ORDERS} of {ORDERS}", exact=True)).to_be_visible()
        await page.get_by_label("Why").fill("Reps asked for it")
        await person.press("Make it live")
        await expect(page.get_by_role("status")).to_contain_text("Version 2 is live for every process.")
        await expect(page.get_by_role("progressbar", name="Resync 1")).to_be_visible()
        await services.until_described("Thank you")
        await expect(page.get_by_text(f"{ORDERS} of {ORDERS}", exact=True)).to_be_visible()  # the page follows
        live, clicks = time.monotonic() - began, person.clicks

        await page.goto(f"{services.urls[1]}/mappings/versions")  # another service, the same session
        began_back = time.monotonic()
        await person.follow("2")
        await person.press("Preview going back to version 1")
        await expect(page.get_by_text("undo what it wrote: resync-1")).to_be_visible()
        await page.get_by_label("Why").fill("They did not like it")
        await person.press("Go back to version 1")
        await expect(page.get_by_role("status")).to_contain_text("Version 3 is live for every process.")
        await services.until_described(None)
        back = time.monotonic() - began_back
        await shop
        await services.until_described(None)

        assert [count for count in Counter(services.written).values() if count > 1] == []
        sent = Counter((name, value) for _, name, value in services.written)
        assert {value: count for (name, value), count in sent.items() if name == "Description"} == {
            "Thank you": ORDERS,
            None: ORDERS,
        }
        assert {value for name, value in sent if name == "Carrier__c"} == {f"carrier {n}" for n in range(ORDERS)}
        assert await services.world.count("Order") == ORDERS
        assert live + back < 60
        print(
            f"\nEdit, preview and live in every service: {live:.1f} s, {clicks} clicks;"
            f" roll-back by plan: {back:.1f} s, {person.clicks - clicks} clicks."
        )
