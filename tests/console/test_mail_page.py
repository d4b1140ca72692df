"""The page of caught mails: it shows everything, runs nothing, drops the oldest, and is local to this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import aiosmtplib
import pytest
import pytest_asyncio
from aiohttp import ClientSession
from playwright.async_api import Browser

from connector.localmail.catcher import MailCatcher
from connector.localmail.mailbox import Mailbox
from connector.notifications.transport.email import Attachment, Email, build_message
from tests.org.conftest import SHARED

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVIL = '<script>document.title="ran"</script><b onclick="x">'


def a_mail(**changes: str) -> bytes:
    values = {"name": "Ann", "subject": "Hello", "text": "Text\n", "html": "<h1>Page</h1>"} | changes
    attached = (Attachment(name="a <b>.pdf", content_type="text/html", content=EVIL.encode()),)
    mail = Email(key="k", kind="invoice", about="1", recipient="a@b.example", attachments=attached, **values)
    return build_message(mail, "Shop <orders@shop.example>", NOW).as_bytes()


@pytest_asyncio.fixture(loop_scope="session")
async def catcher() -> AsyncIterator[MailCatcher]:
    async with MailCatcher() as running:
        yield running


async def put(catcher: MailCatcher, content: bytes) -> None:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=catcher.smtp_port, start_tls=False) as line:
        await line.sendmail("orders@shop.example", ["a@b.example"], content)


@SHARED
async def test_mail_is_listed_and_shown_in_all_its_forms(catcher: MailCatcher) -> None:
    await put(catcher, a_mail())
    async with ClientSession(catcher.url) as http:
        for path, kind, says in (
            ("/", "text/html", "Hello"),
            ("/mails/1", "text/html", "a@b.example"),
            ("/mails/1/html", "text/html", "<h1>Page</h1>"),
            ("/mails/1/text", "text/plain", "Text"),
            ("/mails/1/raw", "text/plain", "Message-ID: <k@shop.example>"),
        ):
            async with http.get(path) as answer:
                assert (answer.status, answer.content_type) == (200, kind)
                assert says in await answer.text()
                assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        async with http.get("/mails/1/parts/1") as answer:
            assert answer.content_type == "application/octet-stream"
            assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''a%20%3Cb%3E.pdf"
            assert (await answer.read()).decode() == EVIL
        for path in ("/mails/2", "/mails/1/parts/2", "/mails/1/parts/0", "/mails/x"):
            async with http.get(path) as answer:
                assert answer.status == 404


@SHARED
async def test_content_of_a_mail_is_escaped(catcher: MailCatcher) -> None:
    await put(catcher, a_mail(subject=EVIL, name=EVIL))
    await put(catcher, f"Subject: {EVIL}\r\n\r\n{EVIL}\r\n".encode())
    async with ClientSession(catcher.url) as http:
        for path in ("/", "/mails/1", "/mails/2"):
            async with http.get(path) as answer:
                page = await answer.text()
            assert "<script" not in page
            assert "&lt;script" in page


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no header at all",
        b"Subject: =?x-unknown?Q?=FF?=\r\nContent-Type: text/html; charset=x-unknown\r\n\r\n\xff",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Disposition: attachment\r\n\r\n",
        b"From: <<<\r\nTo: ,,@\r\nDate: never\r\nMessage-ID: <\r\n\r\nx",
    ],
)
@SHARED
async def test_malformed_mail_is_shown_as_far_as_possible(catcher: MailCatcher, content: bytes) -> None:
    catcher.mailbox.add("a@b.example", ("c@d.example",), content)
    async with ClientSession(catcher.url) as http:
        for path in ("/", "/mails/1", "/mails/1/html", "/mails/1/text", "/mails/1/raw"):
            async with http.get(path) as answer:
                assert answer.status == 200


@SHARED
async def test_request_under_another_host_name_is_rejected(catcher: MailCatcher) -> None:
    async with (
        ClientSession() as http,
        http.get(catcher.url, headers={"Host": "evil.example"}) as answer,
    ):
        assert answer.status == 403


@SHARED
async def test_too_large_mail_is_rejected(catcher: MailCatcher) -> None:
    with pytest.raises(aiosmtplib.SMTPException):
        await put(catcher, b"Subject: x\r\n\r\n" + b"x" * 80 * 70_000)
    assert len(catcher.mailbox) == 0


def test_mailbox_keeps_the_newest_mails_within_its_limits() -> None:
    box = Mailbox(newest=3, room=1000)
    for number in range(5):
        box.add("a", ("b",), str(number).encode())
    assert [mail.raw for mail in box] == [b"4", b"3", b"2"]
    box.add("a", ("b",), b"x" * 999)
    assert [len(mail.raw) for mail in box] == [999, 1]
    assert (box.caught, box.find(1), len(box)) == (6, None, 2)


@SHARED
async def test_mail_in_a_browser_runs_no_script_and_opens_links_in_new_tabs(
    catcher: MailCatcher, browser: Browser
) -> None:
    link = f'<a href="{catcher.url}/">Follow</a>'
    await put(catcher, a_mail(html=f"<html><head></head><body>{EVIL}{link}</body></html>"))
    page = await browser.new_page()
    await page.goto(f"{catcher.url}/mails/1")
    frame = page.frame_locator("iframe")
    async with page.expect_popup() as opened:
        await frame.get_by_text("Follow").click()
    assert await (await opened.value).title() == "Mails"
    assert await page.title() == "Hello"
    assert await frame.locator("html").evaluate("() => document.title") != "ran"
    await page.close()


@SHARED
async def test_long_mail_in_a_browser_scrolls_alone(catcher: MailCatcher, browser: Browser) -> None:
    await put(catcher, a_mail(html="<html><head></head><body>" + "<p>Line</p>" * 300 + "</body></html>"))
    for width, height in ((1280, 800), (360, 740)):
        page = await browser.new_page(viewport={"width": width, "height": height})
        await page.goto(f"{catcher.url}/mails/1")
        over = "document.documentElement.scrollHeight - document.documentElement.clientHeight"
        assert await page.evaluate(over) == 0
        result = await page.locator("iframe").bounding_box()
        assert result is not None
        assert result["height"] > height / 2
        await page.close()
