"""The menu of the console: its pages in groups, by whoever uses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from connector.model.role import Role


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """An entry of the menu. `icon` is the name of a symbol in `icons.svg`; `key` opens the page after `g`."""

    path: str
    title: str
    icon: str
    key: str = ""
    role: Role = Role.VIEWER

    def leads_to(self, path: str) -> bool:
        """Whether the page at this path is of this entry."""
        return path == self.path or (self.path != "/" and path.startswith(f"{self.path}/"))


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkGroup:
    """Entries of the menu under a title; without a title, they come first."""

    links: Sequence[Link]
    title: str = ""

    def shown_to(self, role: Role) -> Sequence[Link]:
        """The entries of pages that the role may open."""
        return [link for link in self.links if role.covers(link.role)]


MENU: Sequence[LinkGroup] = (
    LinkGroup(
        links=(
            Link(path="/", title="Home", icon="house", key="h"),
            Link(path="/orders", title="Orders", icon="package-check", key="o"),
        )
    ),
    LinkGroup(
        title="To decide",
        links=(
            Link(path="/errors", title="Refused", icon="triangle-alert", key="e"),
            Link(path="/conflicts", title="Conflicts", icon="git-compare", key="c"),
        ),
    ),
    LinkGroup(
        title="Order desk",
        links=(
            Link(path="/desk/holds", title="Holds", icon="hand", key="l"),
            Link(path="/desk/back-orders", title="Back-orders", icon="boxes", key="b"),
            Link(path="/desk/picks", title="Pick lists", icon="clipboard-list", key="k"),
            Link(path="/desk/returns", title="Returns", icon="package-open", key="t"),
            Link(path="/analytics", title="Analytics", icon="chart-column", key="n"),
        ),
    ),
    LinkGroup(
        title="Synchronization",
        links=(
            Link(path="/resyncs", title="Resyncs", icon="list-restart", key="r"),
            Link(path="/runs", title="Runs", icon="history", key="u"),
            Link(path="/reconcile", title="Reconcile", icon="scale", key="p"),
            Link(path="/inbox", title="Inbox", icon="inbox", key="i"),
            Link(path="/jobs", title="Jobs", icon="calendar-clock", key="j"),
            Link(path="/usage", title="API and events", icon="gauge", key="v"),
            Link(path="/mappings", title="Mappings", icon="arrow-left-right", key="m"),
        ),
    ),
    LinkGroup(
        title="Set-up",
        links=(
            Link(path="/setup", title="Set-up", icon="stethoscope", key="s", role=Role.OPS),
            Link(path="/audit", title="Audit", icon="scroll-text", key="a", role=Role.OPS),
        ),
    ),
)
