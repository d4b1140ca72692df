"""What is wrong with a page in the browser, wide and narrow, light and dark: axe-core, keys, cut-off tables."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import Page

from tests.conftest import require

_AXE = Path(__file__).parents[1] / "clients/node_modules/axe-core/axe.min.js"
_CUT = "[...document.querySelectorAll('.scroll')].some(item => item.scrollWidth > item.clientWidth + 1)"
_KEYBOARD = """
() => {
  const found = [];
  const usable = "a[href], button, input:not([type=hidden]), select, textarea, summary";
  for (const item of document.querySelectorAll(usable)) {
    const hidden = !item.checkVisibility({visibilityProperty: true}) || item.closest("[aria-hidden=true]");
    if (hidden || item.disabled) continue;
    const say = what => found.push(`${what}: ${item.outerHTML.slice(0, 120)}`);
    item.focus({focusVisible: true, preventScroll: true});
    if (item.tabIndex < 0 || document.activeElement !== item) say("No key reaches it");
    else if (![item, item.closest(".find")].some(shown => shown && getComputedStyle(shown).outlineStyle !== "none"))
      say("It does not show its focus");
  }
  document.activeElement.blur();
  return found;
}
"""
_EXAMINE = """
() => axe.run({resultTypes: ["violations"]}).then(result => result.violations.map(rule =>
  `${rule.id}: ${rule.help}: ${rule.nodes.map(node => node.html.slice(0, 200)).slice(0, 3).join("  ")}`))
"""


async def load_axe(page: Page) -> None:
    """Let each page that is opened from now on begin with axe-core: the browser compiles such a script only once."""
    require(_AXE.exists(), "axe-core (`make clients` installs it)")
    await page.add_init_script(path=_AXE)


async def faults_of(page: Page, url: str, turn: int) -> list[tuple[str, int, str, object]]:
    """What is wrong with a page, by width and color scheme; after `load_axe`."""
    schemes = ("light", "dark") if turn % 2 else ("dark", "light")
    await page.goto(url)
    found: list[tuple[str, int, str, object]] = []
    for width, scheme in zip((1440, 390), schemes, strict=True):
        await page.set_viewport_size({"width": width, "height": 844})
        await page.emulate_media(color_scheme=scheme)
        if not await page.evaluate("document.documentElement.scrollWidth <= innerWidth"):
            found.append((url, width, scheme, "It is wider than the screen."))
        if width < 500 and await page.evaluate(_CUT):
            found.append((url, width, scheme, "A table of it is wider than the screen: does it become cards?"))
        found += [(url, width, scheme, fault) for fault in await page.evaluate(_EXAMINE)]
        found += [(url, width, scheme, fault) for fault in await page.evaluate(_KEYBOARD)]
    return found
