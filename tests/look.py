"""Pictures of every page on data in bad shape, to be looked at.

`python -m tests.look FOLDER [--data bad|empty] [TEXT…]` opens each address of `tests/console/addresses.py`, the local
org's pages and the customer's in Debian's Chromium, at 1440 and 390 pixels, light and dark, and writes
`FOLDER/PAGE-WIDTH-SCHEME.webp`; with TEXT only the pages whose name contains one. Names are very long without blanks,
from right to left, or emoji; one order has 500 lines. `--data empty` has nothing at all.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path

from aiohttp.test_utils import TestServer
from PIL import Image
from playwright.async_api import Browser, async_playwright

from connector.clock import SystemClock
from connector.model.role import Role
from connector.store import dead_letters, mapping_plans, schema, tokens
from connector.store.engine import Store
from tests.console.addresses import ADDRESSES
from tests.console.bad_data import put_orders, replace_texts
from tests.console.conftest import CHROMIUM, DATABASE, QUIET, Console, running_console
from tests.console.org_scene import running_shop
from tests.web.conftest import app_on

BAD_TEXTS = (
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 2,
    "شركة التوريدات الغذائية المحدودة للتجارة والاستيراد",
    "👩‍👩‍👧‍👦🍪🥐 Café & Söhne",
    "x",
    "Please call before delivery, ring twice, and leave it with the neighbors if nobody opens the door. " * 3,
    "בע״מ 1948 (Wholesale) — חברה",
)
WIDTHS = (1440, 390)
SCHEMES = ("light", "dark")
MOST_PIXELS = 4_000
"""A picture ends there, however long the page."""


async def main(folder: Path, data: str, wanted: Sequence[str]) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        with tempfile.TemporaryDirectory() as place:
            async with filled_console(Path(place)) if data == "bad" else empty_console(Path(place)) as console:
                await look_at(browser, folder, console.url, await addresses_of(console), wanted, console.secret)
        texts = itertools.cycle(BAD_TEXTS)
        async with running_shop((lambda: next(texts)) if data == "bad" else None) as shop:
            named = {f"org {address}": address for address in shop.places}
            await look_at(browser, folder, shop.org.url, named, wanted, first=shop.org.page_url)
        await browser.close()


async def look_at(
    browser: Browser,
    folder: Path,
    url: str,
    addresses: Mapping[str, str],
    wanted: Sequence[str],
    secret: str = "",
    *,
    first: str = "",
) -> None:
    context = await browser.new_context(locale="en-US", timezone_id="UTC", reduced_motion="reduce")
    page = await context.new_page()
    await page.goto(first or f"{url}/signin")
    if secret:
        await page.get_by_label("Token").fill(secret)
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url(f"{url}/")
    for name, address in addresses.items():
        if wanted and not any(text in name for text in wanted):
            continue
        await page.goto(url + address)
        for width, scheme in itertools.product(WIDTHS, SCHEMES):
            await page.set_viewport_size({"width": width, "height": 900})
            await page.emulate_media(color_scheme=scheme)
            wider = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            if wider:
                print(f"{name}: {wider} pixels wider than {width}")
            image = Image.open(BytesIO(await page.screenshot(full_page=True, animations="disabled")))
            file = "".join(letter if letter.isalnum() else "-" for letter in name).strip("-") or "home"
            image.crop((0, 0, image.width, min(image.height, MOST_PIXELS))).save(
                folder / f"{file}-{width}-{scheme}.webp"
            )


async def addresses_of(console: Console) -> dict[str, str]:
    async with console.store.reader() as connection:
        groups = await dead_letters.group_by_cause(connection)
        plans = await mapping_plans.list_latest(connection, 2)
    known = {"cause": groups[0].fingerprint if groups else "none", "plan": plans[0].id if plans else "none"}
    plain = [address for addresses in ADDRESSES.values() for address in addresses]
    plain += [f"/orders/B-{number}" for number in (1, 4, 6)] + ["/orders/B-3/sides", "/track/none", "/nowhere"]
    return {address: address.format_map(known) for address in plain}


@asynccontextmanager
async def filled_console(folder: Path) -> AsyncIterator[Console]:
    texts = itertools.cycle(BAD_TEXTS)

    async def prepare(store: Store) -> None:
        await put_orders(store, lines=500)
        await replace_texts(store, lambda: next(texts))

    async with running_console(folder, prepare) as console:
        yield console


@asynccontextmanager
async def empty_console(folder: Path) -> AsyncIterator[Console]:
    store = Store.open(f"sqlite:///{folder / DATABASE}", clock=SystemClock())
    await schema.upgrade(store)
    async with store.transaction() as uow:
        secret = await tokens.create(uow, "Kim", Role.ADMIN)
    server = TestServer(app_on(store))
    await server.start_server()
    yield Console(str(server.make_url("/")).rstrip("/"), store, secret)
    await server.close()
    await store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", choices=("bad", "empty"), default="bad")
    parser.add_argument("text", nargs="*")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(chosen.folder, chosen.data, chosen.text))
