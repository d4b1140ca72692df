"""The pictures of README and of the documentation, from the demo's own data.

`python -m tests.pictures [NAME…]` runs the demo, opens its pages in Debian's Chromium, 1440 pixels wide and light, and
writes `docs/pictures/NAME.webp`. Order numbers, names and amounts are the same each time; times are those of the run.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.async_api import BrowserContext, Page, async_playwright

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
CHROMIUM = "/usr/bin/chromium"
ORDER = "SO-000001"
WIDTH, HEIGHT = 1440, 1000
QUALITY = 82
MOST_BYTES = 120_000


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A page of the demo. `path` follows the address of the console, of the org's page, or of the mails; `heading` is
    the heading at which the picture begins, if it is not the top."""

    name: str
    place: str = "console"
    path: str
    height: int = HEIGHT
    heading: str = ""


PICTURES = (
    Picture(name="console-home", path="/", height=800),
    Picture(name="console-order", path=f"/orders/{ORDER}", height=1400),
    Picture(name="console-journey", path=f"/orders/{ORDER}", heading="Journey"),
    Picture(name="console-errors", path="/errors", height=500),
    Picture(name="console-reconcile", path="/reconcile", height=800),
    Picture(name="console-mapping", path="/mappings/files/order.yaml", height=1200),
    Picture(name="org-order", place="org", path=f"/orders/{ORDER}"),
    Picture(name="tracking-page", place="mails", path=f"/tracking/{ORDER}"),
)


@dataclass(frozen=True)
class Demo:
    """The addresses that the demo prints."""

    sign_in: str
    org: str
    mails: str


async def main(names: Sequence[str]) -> None:
    chosen = [picture for picture in PICTURES if not names or picture.name in names]
    FOLDER.mkdir(exist_ok=True)
    async with running_demo() as demo, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        context = await browser.new_context(
            viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light", locale="en-US", timezone_id="UTC"
        )
        page = await context.new_page()
        await page.goto(demo.sign_in)
        await page.get_by_role("button", name="Sign in as").click()
        await page.goto(demo.org)
        for picture in chosen:
            await open_page(page, picture, demo)
            await page.set_viewport_size({"width": WIDTH, "height": picture.height})
            if picture.heading:
                heading = page.get_by_role("heading", name=picture.heading, exact=True)
                await heading.evaluate("item => scrollTo(0, item.getBoundingClientRect().top + scrollY - 90)")
            await page.wait_for_timeout(500)  # fonts, and the first live update
            write(picture, await page.screenshot(animations="disabled"))
        await browser.close()


async def open_page(page: Page, picture: Picture, demo: Demo) -> None:
    match picture.place:
        case "console":
            await page.goto(origin(demo.sign_in) + picture.path)
        case "org":
            await page.goto(origin(demo.org) + "/orders")
            await page.get_by_role("link", name=ORDER).first.click()
        case _:
            await page.goto(await tracking_link(page.context, demo))
    await page.wait_for_load_state("networkidle" if picture.place != "console" else "load")


async def tracking_link(context: BrowserContext, demo: Demo) -> str:
    """The link to the tracking page of the order, from the first mail that has one."""
    number = 1
    while True:
        answer = await context.request.get(f"{demo.mails}/mails/{number}/text")
        if not answer.ok:
            raise SystemExit(f"No mail has a link to the tracking page of {ORDER}.")
        text = await answer.text()
        if ORDER in text and (found := re.search(r"https?://\S+/track/\S+", text)):
            return found[0]
        number += 1


def origin(url: str) -> str:
    return "/".join(url.split("/")[:3])


def write(picture: Picture, png: bytes) -> None:
    file = FOLDER / f"{picture.name}.webp"
    image = Image.open(BytesIO(png))
    for quality in range(QUALITY, 30, -8):
        image.save(file, quality=quality, method=6)
        if file.stat().st_size <= MOST_BYTES:
            break
    print(f"{file.relative_to(FOLDER.parents[1])}: {file.stat().st_size:,} bytes")


@asynccontextmanager
async def running_demo() -> AsyncIterator[Demo]:
    """The demo, until its orders are completed and the service goes on."""
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "connector", "demo", "--port", "0", "--console-port", "0", "--rate", "0.1",
            "--data", folder, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            yield read_addresses(await read_until(process, "From now on"))
        finally:
            process.terminate()
            await process.wait()


async def read_until(process: asyncio.subprocess.Process, sign: str) -> str:
    assert process.stdout is not None
    text = ""
    while sign not in text:
        line = await process.stdout.readline()
        if not line:
            raise SystemExit(f"The demo ended early.\n{text}")
        text += line.decode()
    return text


def read_addresses(text: str) -> Demo:
    def find(pattern: str) -> str:
        found = re.search(pattern, text)
        if found is None:
            raise SystemExit(f"The demo prints no address like {pattern}.")
        return found[1]

    return Demo(
        sign_in=find(r"(http://\S+/signin\?link=\S+)"),
        org=find(r"(http://\S+/\?key=[\w-]+)"),
        mails=find(r"Mails\s+(http://[^\s:]+:\d+)"),
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
