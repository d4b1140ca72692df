"""The design of every page: the console's, the local org's, the customer's and the mail catcher's.

`theme.css` has colors, type and space, for light and dark; `components.css` the frame of a page and what pages are made
of; `icons.svg` the icons. A page that sends its styles inside allows them by their digest: nothing else can style it.
"""

from __future__ import annotations

import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files

SHARED = ("theme.css", "components.css")
"""The styles of a page with a frame, a menu and tables."""


@cache
def read(name: str) -> str:
    """Return a file of the design."""
    return (files("connector.design") / name).read_text(encoding="utf-8")


def style_source(style: str) -> str:
    """Return the source of a content policy that allows this style inside a page."""
    return f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'"


@cache
def color(name: str) -> tuple[str, str]:
    """Return a color of the theme for what is no page: the light one and the dark one."""
    found = re.search(rf"{re.escape(name)}: light-dark\((#\w+), (#\w+)\)", read("theme.css"))
    assert found is not None, name
    return found[1], found[2]


@cache
def icon(name: str, css_class: str = "") -> str:
    """Return an icon to be put into a page. It is decoration: a screen reader skips it."""
    found = re.search(rf'<symbol id="{re.escape(name)}" ([^>]*)>(.*?)</symbol>', read("icons.svg"), re.DOTALL)
    assert found is not None, name
    return f'<svg class="{f"icon {css_class}".strip()}" aria-hidden="true" {found[1]}>{found[2]}</svg>'


@cache
def mark() -> str:
    """Return the mark of the product to be put into a page."""
    found = re.search(r"<symbol [^>]*>(.*?)</symbol>", read("mark.svg"), re.DOTALL)
    assert found is not None
    return f'<svg class="logo" viewBox="0 0 32 32" aria-hidden="true">{found[1]}</svg>'
