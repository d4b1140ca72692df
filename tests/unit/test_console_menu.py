"""The menu of the console."""

from __future__ import annotations

from collections import Counter

from connector.cli.demo_live import LOOK_FIRST
from connector.web.console.menu import MENU


def test_each_key_and_path_of_the_menu_leads_to_one_page() -> None:
    links = [link for group in MENU for link in group.links]
    counts = Counter([*(link.key for link in links), *(link.path for link in links)])
    assert {name for name, count in counts.items() if count > 1} == set()


def test_demo_names_entries_of_the_menu() -> None:
    assert LOOK_FIRST.keys() <= {link.title for group in MENU for link in group.links}
