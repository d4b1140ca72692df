"""The design of pages: what it has is said once."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from connector import design
from connector.localmail.page import STYLE as MAIL_STYLE

ROOMS = {"connector.web.console": "static/console.css", "connector.localorg.page": "page.css"}


def rules(style: str) -> set[tuple[str, str]]:
    """The declarations of a style outside of media queries, each with its selector."""
    plain = re.sub(r"/\*.*?\*/|@[^{]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}", "", style, flags=re.DOTALL)
    return {
        (" ".join(selector.split()), " ".join(declaration.split()))
        for selector, body in re.findall(r"([^{}]+)\{([^{}]*)\}", plain)
        for declaration in body.split(";")
        if declaration.strip()
    }


@pytest.mark.parametrize("room", ROOMS)
def test_style_of_a_page_repeats_nothing_of_the_design(room: str) -> None:
    shared = set().union(*(rules(design.read(name)) for name in design.SHARED))
    assert len(shared) > 200
    assert rules((files(room) / ROOMS[room]).read_text(encoding="utf-8")) & shared == set()


def test_only_the_theme_knows_colors_of_text_and_ground() -> None:
    for name in ("--ground", "--surface", "--text", "--quiet", "--line", "--accent"):
        assert design.read("theme.css").count(f"{name}: light-dark(") == 1
        assert f"var({name})" in MAIL_STYLE + design.read("components.css")


def test_icon_is_put_into_a_page_as_decoration() -> None:
    drawn = design.icon("truck", "logo")
    assert drawn.startswith('<svg class="icon logo" aria-hidden="true" viewBox=')
    assert drawn.endswith("</svg>")
