"""Pages of operations in a real browser."""

from __future__ import annotations

from datetime import timedelta

from playwright.async_api import Browser, expect
from sqlalchemy import update

from connector.store import job_runs, resyncs
from connector.store.tables import outbox
from tests.console.conftest import Console, signed_in
from tests.org.conftest import SHARED

pytestmark = SHARED


async def test_person_sends_again_what_failed_yesterday_from_home(browser: Browser, console: Console) -> None:
    async with console.store.transaction() as uow:
        await uow.connection.execute(
            update(outbox).where(outbox.c.key == "N-3").values(refused_at=uow.now - timedelta(days=1))
        )
    page = await signed_in(browser, console, timezone_id="UTC")
    await page.goto(console.url)
    await page.get_by_role("link", name="Send again the 1 refused yesterday").click()
    await expect(page.get_by_role("link", name="N-3")).to_be_visible()
    await page.get_by_label("Orders of the customer").fill("nobody")
    await page.get_by_role("button", name="Preview").click()  # one kind of entity only
    await expect(page.locator("#wrong-customer")).to_contain_text("choose one kind")
    await expect(page.get_by_label("Orders of the customer")).to_have_value("nobody")
    await page.get_by_label("Orders of the customer").fill("")
    await page.get_by_role("button", name="Preview").click()
    await page.get_by_role("button", name="Send 1").click()
    await expect(page.get_by_role("status")).to_contain_text("A worker begins within a second or two: 1 order.")
    await page.get_by_role("button", name="Pause").click()
    await expect(page.locator("h1")).to_contain_text("paused")
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator("h1")).to_contain_text("canceled")
    async with console.store.reader() as connection:
        [latest, *_] = await resyncs.list_page(connection, limit=1)
    assert (latest.actor, latest.total) == ("Kim", 1)


async def test_person_sees_what_differs_and_has_it_healed(browser: Browser, console: Console) -> None:
    page = await signed_in(browser, console)
    await page.get_by_role("link", name="Reconcile").click()
    await expect(page.locator(".figure")).to_have_text("1 of 6")
    await page.get_by_role("link", name="3 differ").click()
    await expect(page.get_by_role("heading", name="What healing would do")).to_be_visible()
    await page.get_by_role("button", name="Compare again, and heal 3").click()
    await expect(page.get_by_role("status")).to_contain_text("what differs is healed")
    await expect(page.get_by_role("button", name="Compare now")).to_be_disabled()  # one waits already
    await page.get_by_role("link", name="Jobs", exact=True).first.click()
    await page.get_by_role("link", name="prune").first.click()
    await page.get_by_text("Run it at other times").click()
    await page.get_by_label("Or by a cron expression").fill("soon")
    await page.get_by_label("Every so many seconds").fill("")
    await page.get_by_role("button", name="Change").click()
    await expect(page.locator("#wrong-cron")).to_contain_text("cannot be read")
    await page.get_by_label("Or by a cron expression").fill("30 2 * * *")
    await page.get_by_role("button", name="Change").click()
    await expect(page.get_by_role("status")).to_contain_text("prune runs cron 30 2 * * * (UTC).")
    async with console.store.reader() as connection:
        [run] = (await job_runs.latest(connection, ["heal"])).values()
    assert run.actor == "Kim"


async def test_person_applies_a_parked_record_again_and_finds_it_in_the_audit(
    browser: Browser, console: Console
) -> None:
    page = await signed_in(browser, console)
    await page.get_by_role("link", name="Inbox").click()
    await page.get_by_role("button", name="Apply again").click(timeout=4000)
    await expect(page.get_by_role("status")).to_contain_text("1 record is read and applied again")
    await expect(page.get_by_text("Everything that Salesforce changed")).to_be_visible()
    await page.get_by_role("link", name="Audit").click()
    await page.get_by_label("To a").fill("inbox")
    await page.get_by_role("button", name="Show").click()
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(page.locator("tbody tr")).to_contain_text("replayed")


async def test_person_is_led_through_the_set_up(browser: Browser, console: Console) -> None:
    page = await signed_in(browser, console)
    await page.get_by_role("link", name="Set-up").click()
    await expect(page.get_by_text("The org itself is not checked yet")).to_be_visible()
    await page.get_by_role("link", name="Check now").click()
    await expect(page.get_by_role("heading", name="All checks")).to_be_visible()
    await expect(page.get_by_text("No org is configured, so nothing is sent.").first).to_be_visible()
