"""The console in a real browser: signing in, following changes, keys, small screens, contrast, hostile text."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Browser, expect

from connector.store import dead_letters, mapping_plans, tokens
from connector.web.console.pages import PAGES
from tests.console.addresses import ADDRESSES
from tests.console.axe import faults_of, load_axe
from tests.console.conftest import Console, press, sign_in_by_hand, signed_in, until_ready
from tests.org.conftest import SHARED
from tests.unit.store import samples

pytestmark = SHARED

SHIFTS = """
window.shifts = 0;
new PerformanceObserver(list => list.getEntries().forEach(entry => (shifts += entry.value)))
  .observe({type: "layout-shift", buffered: true});
"""
PARTS = 4
"""The pages are examined in parts, which run beside each other."""


async def test_person_signs_in_finds_an_order_by_keys_and_signs_out(browser: Browser, console: Console) -> None:
    page = await sign_in_by_hand(browser, console)
    assert await page.title() == "Orders · Connector"  # no script of an order's text has run
    await press(page, "/")
    await page.keyboard.type("N-2")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Order N-2")).to_be_visible()
    assert await page.title() == "Order N-2 · Connector"
    await press(page, "/")
    await page.keyboard.type("N-")
    await page.keyboard.press("Enter")
    await expect(page.locator("tbody tr")).to_have_count(3)
    await page.locator("h1").click()
    await press(page, "j")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Order N-")
    await press(page, "g", "h")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("wait for a person")
    await until_ready(page)
    await page.get_by_role("button", name="Light or dark").click()
    theme = await page.evaluate("document.documentElement.dataset.theme")
    await page.reload()
    assert await page.evaluate("document.documentElement.dataset.theme") == theme
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Token")).to_be_visible()


async def test_page_follows_what_happens_but_not_under_somebody_who_types(browser: Browser, console: Console) -> None:
    page = await signed_in(browser, console)
    await expect(page.locator("tbody tr")).to_have_count(3)
    await page.wait_for_timeout(1500)  # until the stream is open, and has looked once
    await samples.place(console.store, samples.order("N-4"))
    await expect(page.locator("tbody tr")).to_have_count(4, timeout=15_000)
    field = page.get_by_label("Order or customer")
    await field.last.fill("N-1")
    await samples.place(console.store, samples.order("N-5"))
    await page.wait_for_timeout(2500)
    assert await page.locator("tbody tr").count() == 4
    assert await field.last.input_value() == "N-1"


@pytest.mark.parametrize("part", range(PARTS))
async def test_pages_fit_each_screen_and_axe_finds_no_violation(browser: Browser, console: Console, part: int) -> None:
    """Every page, on a large screen and a phone, one of them light and the other dark, in turn from page to page; a new
    page needs an address in `ADDRESSES`."""
    shown = [page.path for page in PAGES if page.template]
    assert [path for path in shown if path not in ADDRESSES] == [], "Add an address to tests/console/addresses.py."
    async with console.store.reader() as connection:
        [group] = await dead_letters.group_by_cause(connection)
        [plan] = await mapping_plans.list_latest(connection, 2)
    paths = [path.format(cause=group.fingerprint, plan=plan.id) for name in shown for path in ADDRESSES[name]]
    page = await signed_in(browser, console, reduced_motion="reduce")  # no color is on its way to another
    await load_axe(page)
    chosen = list(enumerate(paths))[part::PARTS]
    found = [fault for place, path in chosen for fault in await faults_of(page, console.url + path, place // PARTS)]
    if part < 2:  # each width in each color scheme is enough
        await page.get_by_role("button", name="Sign out").click()
        found += await faults_of(page, f"{console.url}/signin", part)
    assert not found, "\n".join(map(str, found))


async def test_page_is_left_when_its_session_ends(browser: Browser, console: Console) -> None:
    page = await signed_in(browser, console, timezone_id="Asia/Tokyo")
    await page.reload()  # with the time zone that the first page has kept
    hour = await page.locator("tbody time").first.get_attribute("title")
    async with console.store.transaction() as uow:
        await tokens.revoke(uow, "Kim", actor="chief")
    await expect(page.get_by_label("Token")).to_be_visible(timeout=15_000)
    await expect(page.get_by_role("navigation")).to_have_count(0)
    assert hour is not None
    placed = datetime.strptime(hour.replace("\u202f", " "), "%b %d, %Y, %I:%M:%S %p").replace(
        tzinfo=ZoneInfo("Asia/Tokyo")
    )
    assert placed == samples.order().header.placed_at


async def test_refused_change_is_sent_again_from_the_first_page(browser: Browser, console: Console) -> None:
    page = await signed_in(browser, console)
    await page.goto(console.url)
    await page.get_by_role("link", name="1 order").click()
    assert await page.title() == "Refused changes · Connector"
    await page.get_by_role("button", name="Replay").click()
    await expect(page.get_by_role("status")).to_contain_text("1 change is sent again.")
    await press(page, "g", "c")
    await expect(page.get_by_role("heading", name="Conflicts")).to_be_visible()
    assert await page.title() == "Conflicts · Connector"


async def test_pages_can_be_read_without_scripts(browser: Browser, console: Console) -> None:
    page = await sign_in_by_hand(browser, console, java_script_enabled=False)
    await page.get_by_role("link", name="N-3").click()
    await expect(page.get_by_role("heading", name="Order N-3")).to_be_visible()


async def test_live_update_moves_nothing_and_keeps_the_focus(browser: Browser, console: Console) -> None:
    """The layout shifts of Chromium (0.1 is called poor) while pages load themselves again."""
    page = await signed_in(browser, console)
    await page.add_init_script(SHIFTS)
    for path in ("/", "/orders", "/orders/N-1", "/errors"):
        await page.goto(console.url + path)
        await page.locator("main a").first.focus()
        await page.evaluate("document.activeElement.kept = document.querySelector('main').kept = true")
        await samples.place(console.store, samples.order(f"Z-{len(path)}"))
        async with page.expect_response(lambda answer: answer.request.headers.get("hx-request") == "true"):
            await page.evaluate("document.body.dispatchEvent(new CustomEvent('changed'))")
        await page.wait_for_timeout(300)  # until it is drawn
        assert await page.evaluate("shifts") < 0.05, path
        assert await page.evaluate("document.activeElement.kept && document.querySelector('main').kept"), path
    await page.goto(console.url)
    health = page.locator(".health[aria-live=polite]")
    before = await health.text_content()
    await samples.place(console.store, samples.order("Z-9"))
    await page.evaluate("document.querySelector('.health').kept = true")
    await page.evaluate("document.body.dispatchEvent(new CustomEvent('changed'))")
    await expect(health).not_to_have_text(before or "")
    assert await page.evaluate("document.querySelector('.health').kept")  # the same element: its new text is announced


async def test_keys_are_listed_and_results_announced(browser: Browser, console: Console) -> None:
    page = await signed_in(browser, console)
    await press(page, "?")
    listed = page.get_by_role("dialog", name="Keys")
    await expect(listed).to_be_focused()
    keys = await page.locator(".menu a[data-key]").evaluate_all("all => all.map(item => item.dataset.key)")
    assert len(keys) == len(set(keys)) > 10
    for key in keys:
        await expect(listed.locator("kbd", has_text=key).first).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(listed).to_be_hidden()
    await page.goto(f"{console.url}/errors")
    await page.get_by_role("button", name="Replay").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("[aria-live=polite][data-announce]")).to_have_text("1 change is sent again.")
