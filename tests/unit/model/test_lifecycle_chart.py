"""The flow chart of the documentation and the API is drawn from the transition table."""

from __future__ import annotations

from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import pytest

from connector.model.lifecycle_chart import draw_text, main_line
from connector.model.stage import Stage
from connector.model.transitions import TRANSITIONS
from connector.web.api.lifecycle import draw_svg

GUIDE = Path(__file__).parents[3] / "docs" / "lifecycle.md"


def test_chart_in_the_guide_equals_the_transition_table() -> None:
    assert f"```text\n{draw_text()}\n```" in GUIDE.read_text(encoding="utf-8")


def test_svg_shows_the_same_chart() -> None:
    root = ElementTree.fromstring(draw_svg())  # noqa: S314 - made here
    rows = [unescape(item.text or "") for item in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "\n".join(rows) == draw_text()


@pytest.mark.parametrize("way", TRANSITIONS, ids=str)
def test_chart_changes_with_every_removed_transition(way: tuple[Stage, Stage]) -> None:
    others = [other for other in TRANSITIONS if other != way]
    try:
        assert draw_text(others) != draw_text()
    except ValueError:
        assert way[0] in main_line()
        assert way[1] in main_line()


def test_transition_from_a_stage_outside_the_main_line_is_rejected() -> None:
    with pytest.raises(ValueError, match="cannot be drawn"):
        draw_text([*TRANSITIONS, (Stage.CANCELED, Stage.PLACED)])
