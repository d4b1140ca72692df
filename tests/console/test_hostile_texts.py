"""Scripts and markup in data do not run: a corpus in every text of the database, on every page, in a browser."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest_asyncio
from playwright.async_api import Browser, Page
from sqlalchemy import update

from connector.store import dead_letters, mapping_plans
from connector.store.engine import Store
from connector.store.tables import orders as orders_table
from connector.web.console.pages import PAGES
from tests.console.addresses import ADDRESSES
from tests.console.bad_data import put_orders, replace_texts
from tests.console.conftest import DATABASE, Console, running_console
from tests.console.hostile_texts import HOSTILE_TEXTS
from tests.console.org_scene import running_shop
from tests.databases import Databases
from tests.org.conftest import SHARED
from tests.unit.store import samples

pytestmark = SHARED

KEY = "N-<b data-owned>'\"/?#%00"
"""The number of an order."""
WATCH = """
window.violations = [];
const note = event => violations.push(`${event.violatedDirective}: ${event.sample}`);
document.addEventListener("securitypolicyviolation", note);
"""
EXAMINE = """
() => {
  const names = /^on|^hx-on|^data-owned|^srcdoc$|^formaction$/;
  const elements = "iframe, object, embed, base, marquee, math, style:not(head > style), script:not([src^='/static/'])";
  const isOurs = to => ["https://org.example", location.origin].includes(new URL(to, document.baseURI).origin);
  const found = [...violations];
  if (window.ran || document.title === "ran" || document.cookie.includes("owned=")) found.push("a text has run");
  if (document.body.textContent.includes("1337owned")) found.push("a text was a template");
  for (const item of document.querySelectorAll("*")) {
    const say = what => found.push(`${what}: ${item.outerHTML.slice(0, 200)}`);
    if (item.getAttributeNames().some(name => names.test(name))) say("attribute");
    if (item.matches(elements)) say("element");
    for (const name of ["href", "action", "src", "hx-get"]) {
      const to = item.getAttribute(name);
      if (to && !isOurs(to)) say("address");
    }
  }
  return found;
}
"""


class Corpus:
    """Gives the texts in turn."""

    def __init__(self) -> None:
        self._texts = itertools.cycle(HOSTILE_TEXTS)

    def __call__(self) -> str:
        return next(self._texts)


async def _fill(store: Store) -> None:
    await put_orders(store)
    await samples.place(store, samples.order(KEY))
    await replace_texts(store, Corpus())


@pytest_asyncio.fixture(loop_scope="session")
async def hostile(sqlite_databases: Databases, tmp_path: Path) -> AsyncIterator[Console]:
    sqlite_databases.copy_template(tmp_path / DATABASE)
    async with running_console(tmp_path, _fill) as running:
        yield running


async def test_no_text_runs_on_any_page(browser: Browser, hostile: Console) -> None:
    """A new page is visited by its address, a new text column is filled by itself."""
    async with hostile.store.reader() as connection:
        groups = await dead_letters.group_by_cause(connection)
        [plan] = await mapping_plans.list_latest(connection, 2)
    async with hostile.store.transaction() as uow:
        await uow.connection.execute(
            update(orders_table).where(orders_table.c.number == "B-3").values(tracking_key="k")
        )
    shown = [path for page in PAGES if page.template for path in ADDRESSES[page.path]]
    key = quote(KEY, safe="")
    paths = [path.format(cause=groups[0].fingerprint, plan=plan.id) for path in shown]
    paths += [f"/orders/B-{number}{end}" for number in (1, 3, 4, 6) for end in ("", "/sides")]
    paths += [f"/orders/{key}", f"/orders/{key}/sides", f"/orders/{key}/actions/change", f"/orders?q={key}"]
    paths += [
        "/track/k",
        "/track/<b data-owned>",
        f"/signin?next=//evil.example/{key}",
        "/orders/B-3/invoices/INV-000001",
    ]
    watched = await Watched.open(browser, hostile.url)
    await watched.sign_in(hostile)
    for path in paths:
        await watched.visit(path)
    assert watched.found == []
    assert len(watched.seen) > 40  # the texts were there, as texts
    for page in PAGES:
        if not page.template and "{" not in page.path:
            sheet = await watched.page.request.get(hostile.url + page.path)
            named = sheet.headers.get("content-disposition", "")
            assert (sheet.ok, "owned" in named, sheet.headers["content-type"].partition(";")[0]) == (
                True,
                False,
                "text/csv",
            )
            assert not [line for line in (await sheet.text()).splitlines() if ",=HYPERLINK" in line]


async def test_page_that_loads_itself_again_runs_no_text(browser: Browser, hostile: Console) -> None:
    watched = await Watched.open(browser, hostile.url)
    await watched.sign_in(hostile)
    for path in ("/", "/orders", "/orders/B-3", "/errors", "/desk/returns"):
        await watched.visit(path)
        await watched.page.locator("main[data-htmx-powered]").wait_for()  # htmx begins after the page is loaded
        await watched.page.evaluate("document.querySelector('main').textContent = ''")
        async with watched.page.expect_response(lambda answer: answer.request.headers.get("hx-request") == "true"):
            await watched.page.evaluate("document.body.dispatchEvent(new CustomEvent('changed'))")
        await watched.page.wait_for_function("document.querySelector('main').textContent !== ''")
        await watched.examine(path)
    assert watched.found == []


async def test_no_text_runs_on_the_pages_of_the_local_org(browser: Browser) -> None:
    async with running_shop(Corpus()) as shop:
        watched = await Watched.open(browser, shop.org.url)
        await watched.page.goto(shop.org.page_url)
        for place in shop.places:
            await watched.visit(place)
        assert watched.found == []
        assert len(watched.seen) > 8


class Watched:
    """A page of a browser in which nothing may run but what is ours. `seen` are the texts that stood in it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.found: list[tuple[str, str]] = []
        self.seen: set[str] = set()
        self._url = url
        self._at = ""
        page.on("dialog", lambda dialog: self._note(f"dialog: {dialog.message}"))
        page.on("popup", lambda popup: self._note(f"popup: {popup.url}"))
        page.on("request", lambda request: self._check_request(request.url))

    @classmethod
    async def open(cls, browser: Browser, url: str) -> Watched:
        context = await browser.new_context()
        await context.add_init_script(WATCH)
        return cls(await context.new_page(), url)

    async def sign_in(self, console: Console) -> None:
        await self.page.goto(f"{console.url}/signin")
        await self.page.get_by_label("Token").fill(console.secret)
        await self.page.get_by_role("button", name="Sign in").click()
        await self.page.wait_for_url(f"{console.url}/")

    async def visit(self, path: str) -> None:
        self._at = path
        answer = await self.page.goto(self._url + path)
        if answer is None or answer.status >= 500:
            self._note(f"answer: {answer and answer.status}")
        await self.examine(path)

    async def examine(self, path: str) -> None:
        self.found += [(path, fault) for fault in await self.page.evaluate(EXAMINE)]
        shown = " ".join((await self.page.locator("body").text_content() or "").split())
        self.seen |= {text for text in HOSTILE_TEXTS if " ".join(text.split()) in shown}

    def _note(self, what: str) -> None:
        self.found.append((self._at, what))

    def _check_request(self, url: str) -> None:
        if not url.startswith((self._url, "data:")):
            self._note(f"request: {url}")
