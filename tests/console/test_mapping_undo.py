"""A new field and its value table are mapped on screen, gone back from, and undone, with a real org."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from playwright.async_api import Browser, expect

from tests.console.test_mapping_change import ORDERS, open_services, order, sign_in
from tests.flow.conftest import quiet_log  # noqa: F401
from tests.order_builders import changed
from tests.org.conftest import SHARED

pytestmark = SHARED
FIELD = "OrderReferenceNumber"


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
async def test_new_field_with_a_new_table_is_mapped_and_what_it_sent_is_put_back(
    browser: Browser, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as stack:
        services = await open_services(stack, database_url, monkeypatch, number=1)
        world = services.world
        await world.save([changed(order(number), channel="web" if number else "phone") for number in range(ORDERS)])

        async def until_referenced(*values: str | None) -> None:
            async with asyncio.timeout(60):
                while {row[FIELD] for row in await world.query(f"SELECT {FIELD} FROM Order")} != set(values):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)

        await until_referenced(None)
        person = await sign_in(browser, services.urls[0], world.service.store)
        page = person.page
        await person.follow("order.yaml")
        await person.click(page.get_by_role("button", name="Map another field").first)
        await page.get_by_label("Field of Salesforce").fill(FIELD)
        await page.get_by_label("Field, expression or constant").fill("channel")
        await person.choose("Value table", "+")
        await page.get_by_label("Name of the new table").fill("our channels")
        await person.press("Add field")
        await expect(page.locator("#wrong-new_table")).to_be_visible()
        await page.get_by_label("Name of the new table").fill("channels")
        await person.press("Add field")
        await page.get_by_label("Ours, row 1 of channels").fill("web")
        await page.get_by_label("Salesforce, row 1 of channels").fill("Web shop")
        await person.press("Use these rows, and add one")
        await page.get_by_label("Ours, row 2 of channels").fill("*")
        await page.get_by_label("Salesforce, row 2 of channels").fill("Other")
        await person.press("Preview what changes")
        await expect(page.get_by_text(f"{ORDERS} of {ORDERS}", exact=True)).to_be_visible()
        await page.get_by_label("Why").fill("Reps ask where orders come from")
        await person.press("Make it live")
        await until_referenced("Web shop", "Other")

        await page.goto(f"{services.urls[0]}/mappings/versions/2")
        await person.press("Preview going back to version 1")
        await page.get_by_label("Why").fill("Not wanted after all")
        await person.press("Go back to version 1")
        await page.goto(f"{services.urls[0]}/runs/resync-1")
        await person.follow("Undo…")
        await person.press(f"Put {ORDERS} fields back")
        await until_referenced(None)
        await page.goto(f"{services.urls[0]}/runs/resync-1")
        await expect(page.get_by_text("It was undone by undo-1.")).to_be_visible()
        assert await world.dead_letters() == []
