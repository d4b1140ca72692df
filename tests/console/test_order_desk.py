"""What an order desk does in the console, in a real browser."""

from __future__ import annotations

from decimal import Decimal

from playwright.async_api import Browser, expect

from connector.model.events import Allocate, Confirm, PlaceHold, Verify
from connector.model.holds import Hold
from connector.model.role import Role
from connector.orders.command import OrderCommand
from connector.orders.policy.rules import standard
from connector.orders.service import OrderService
from connector.store import orders, stock, tokens
from tests.console.conftest import Console, press, signed_in, until_ready
from tests.org.conftest import SHARED

pytestmark = SHARED


async def test_order_is_acted_on_and_a_draft_outlives_a_reload(browser: Browser, console: Console) -> None:
    page = await signed_in(browser, console)
    await page.goto(f"{console.url}/orders/N-1")
    await page.get_by_role("link", name="Cancel goods").click()
    await expect(page.get_by_label("Quantity of line 1")).to_be_visible()
    await until_ready(page)
    await page.get_by_label("Quantity of line 1").fill("99")
    await page.get_by_label("Quantity of line 2").fill("")
    await page.get_by_label("Note for the history").fill("changed her mind")
    await page.reload()
    await expect(page.get_by_label("Quantity of line 1")).to_have_value("99")
    await page.get_by_label("I am sure").check()
    await page.get_by_role("button", name="Cancel goods").click()
    await expect(page.get_by_role("alert")).to_contain_text("Order N-1 cannot cancel 99 of line 1")
    await until_ready(page)
    await expect(page.get_by_label("Note for the history")).to_have_value("changed her mind")
    await page.get_by_label("Quantity of line 1").fill("1")
    await page.get_by_label("I am sure").check()
    await page.get_by_role("button", name="Cancel goods").dblclick()
    await expect(page.get_by_role("status")).to_contain_text("Canceled 1 of line 1")
    await page.get_by_role("link", name="Cancel goods").click()
    await expect(page.get_by_label("Note for the history")).to_have_value("")  # what was sent is no draft
    async with console.store.reader() as connection:
        [order] = await orders.load(connection, ["N-1"])
    assert order.state.sum("canceled") == 1


async def test_draft_is_of_the_person_who_typed_it_and_goes_when_somebody_signs_out(
    browser: Browser, console: Console
) -> None:
    async with console.store.transaction() as uow:
        secret = await tokens.create(uow, "Vic", Role.OPS)
    page = await signed_in(browser, console)
    address = f"{console.url}/orders/N-1/actions/cancel"
    note = page.get_by_label("Note for the history")
    await page.goto(address)
    await note.fill("of Kim")
    await page.reload()
    await expect(note).to_have_value("of Kim")
    await page.context.clear_cookies()  # the session ends, and another person goes on in this tab
    await page.goto(address)
    await page.get_by_label("Token").fill(secret)
    await page.get_by_role("button", name="Sign in").click()
    await expect(note).to_have_value("")
    await until_ready(page)
    assert "of Kim" not in await page.evaluate("JSON.stringify(sessionStorage)")
    await note.fill("of Vic")
    assert "of Vic" in await page.evaluate("JSON.stringify(sessionStorage)")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Token")).to_be_visible()
    assert "of Vic" not in await page.evaluate("JSON.stringify(sessionStorage)")


async def test_order_desk_releases_picks_and_ships_with_the_keyboard_at_hand(
    browser: Browser, console: Console
) -> None:
    service = OrderService(console.store, standard)
    for number in ("N-1", "N-2"):
        await service.execute(OrderCommand(number=number, event=PlaceHold(hold=Hold.FRAUD)), actor="ann")
    page = await signed_in(browser, console)
    await press(page, "g", "l")
    await page.get_by_label("Order N-1, fraud").check()
    await page.get_by_label("Order N-2, fraud").check()
    await page.get_by_label("Note for the history").fill("both are known")
    await page.get_by_role("button", name="Release the chosen").click()
    await expect(page.get_by_role("status")).to_contain_text("2 holds released.")
    async with console.store.transaction() as uow:
        await stock.count(uow, {("CHAI", "EAST"): Decimal(50), ("TOFU", "EAST"): Decimal(50)})
    async with console.store.reader() as connection:
        [order] = await orders.load(connection, ["N-1"])
    allocate = Allocate(lines={line.number: line.quantity for line in order.lines})
    events = (Verify(), Confirm(), allocate)  # as they are, whatever the rules say of this order
    await service.execute_all([OrderCommand(number="N-1", event=event) for event in events], actor="ann")
    await press(page, "g", "k")
    await expect(page.get_by_role("button", name="Picked")).to_be_visible()
    await page.emulate_media(media="print")
    assert await page.get_by_role("button", name="Picked").count() == 0  # what is printed has no buttons
    await expect(page.get_by_text("EAST 1 order")).to_be_visible()
    await page.emulate_media(media="screen")
    await page.get_by_role("button", name="Picked").click()
    await page.get_by_label("Carrier").fill("Swift Post")
    await page.get_by_label("Tracking number").fill("SP-1")
    await page.get_by_role("button", name="Shipped").click()
    await expect(page.get_by_role("status")).to_contain_text("Order N-1 is shipped.")
    await expect(page.get_by_text("Nothing waits to be picked.")).to_be_visible()


async def test_bar_of_a_chart_leads_to_its_orders(browser: Browser, console: Console) -> None:
    page = await signed_in(browser, console)
    await press(page, "g", "n")
    await page.get_by_label("Orders placed from").fill("2026-02-01")
    await page.get_by_role("button", name="Show").click()
    await expect(page.locator("rect.bar")).to_have_count(1)
    await page.get_by_role("link", name="placed", exact=True).click()
    await expect(page.get_by_role("heading", name="Orders")).to_be_visible()
    await expect(page.locator("tbody tr")).to_have_count(3)
    await expect(page.get_by_label("Placed from")).to_have_value("2026-02-01")
