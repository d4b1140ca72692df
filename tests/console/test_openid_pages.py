"""Signing in by OpenID Connect in a real browser, at a provider that nobody here wrote."""

from __future__ import annotations

import asyncio
import re

from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, expect

from connector.clock import SystemClock
from connector.openid.provider import OpenIdProvider
from connector.settings.oidc import OidcSettings
from tests.console.conftest import Console
from tests.org.conftest import SHARED
from tests.web.conftest import app_on
from tests.web.openid_providers import GROUPS, SECRET, oidc_provider_mock

pytestmark = SHARED


async def test_person_signs_in_at_the_provider_and_out_of_both(browser: Browser, console: Console) -> None:
    running = oidc_provider_mock()
    issuer = await asyncio.to_thread(running.__enter__)
    try:
        settings = {"issuer": issuer, "client_id": "console", "name": "Example Ltd", **GROUPS, **SECRET}
        provider = OpenIdProvider(OidcSettings.model_validate(settings), clock=SystemClock())
        async with TestServer(app_on(console.store, openid=provider)) as server:
            page = await (await browser.new_context()).new_page()
            await page.goto(str(server.make_url("/orders?stage=placed")))
            await page.get_by_role("link", name="Sign in with Example Ltd").click()
            await page.locator("input[name=sub]").first.fill("1")
            await page.get_by_role("button", name="Authorize").first.click()
            await expect(page.get_by_role("heading", name="Orders")).to_be_visible()
            assert page.url.endswith("/orders?stage=placed")
            await expect(page.get_by_text("kim@example.com")).to_be_visible()
            await page.get_by_role("button", name="Sign out").click()
            await page.get_by_role("link", name=re.compile("Sign out of Example Ltd")).click()
            await expect(page).to_have_url(re.compile(f"^{issuer}/oauth2/end_session"))
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)
