"""A real browser: Debian's Chromium, which `.ci/run` installs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.conftest import require

CHROMIUM = Path("/usr/bin/chromium")
_INSTALLED = CHROMIUM.exists()
_QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_browser() -> AsyncIterator[Browser]:
    require(_INSTALLED, f"{CHROMIUM} (package chromium)")
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(_QUIET))
        yield running
        await running.close()


@pytest_asyncio.fixture(loop_scope="session")
async def browser(shared_browser: Browser) -> AsyncIterator[Browser]:
    """The same browser for all tests of a worker. What one test opens is closed before the next."""
    yield shared_browser
    for context in shared_browser.contexts:
        await context.close()
