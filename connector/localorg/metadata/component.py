"""One deployable component, the kinds of components, and where each lies in a package."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from connector.localorg.metadata.xml import Element, parse_xml


@dataclass(frozen=True, kw_only=True)
class Component:
    """A component. `source` is its own element; `content` is the whole file, which is stored."""

    type: str
    name: str
    file: str
    source: Element
    content: bytes

    @property
    def line(self) -> int:
        return self.source.line


@dataclass(frozen=True, slots=True)
class ComponentKind:
    """A kind of component: `folder` and `suffix` of its files; `foldered` kinds have a folder in their full name."""

    type: str
    folder: str
    suffix: str
    foldered: bool = False


KINDS = (  # in the order in which they can depend on each other
    ComponentKind("CustomObject", "objects", "object"),
    ComponentKind("PlatformEventChannel", "platformEventChannels", "platformEventChannel"),
    ComponentKind("PlatformEventChannelMember", "platformEventChannelMembers", "platformEventChannelMember"),
    ComponentKind("ManagedEventSubscription", "managedEventSubscriptions", "managedEventSubscription"),
    ComponentKind("PermissionSet", "permissionsets", "permissionset"),
    ComponentKind("Layout", "layouts", "layout"),
    ComponentKind("ReportType", "reportTypes", "reportType"),
    ComponentKind("ReportFolder", "reports", "reportFolder"),
    ComponentKind("Report", "reports", "report", foldered=True),
    ComponentKind("DashboardFolder", "dashboards", "dashboardFolder"),
    ComponentKind("Dashboard", "dashboards", "dashboard", foldered=True),
)
NESTED_KINDS = {"fields": "CustomField", "listViews": "ListView"}  # elements of an object's file that are components
DEPENDENCY_ORDER = [
    "CustomObject",
    "CustomField",
    *(kind.type for kind in KINDS[1:4]),
    "ListView",
    *(k.type for k in KINDS[4:]),
]


def parse_file(path: str, content: bytes) -> Iterator[Component]:
    """Yield the components of one file of a package (`objects/Order.object`) or of a source project."""
    parts = path.split("/")
    name = parts[-1].removesuffix("-meta.xml")
    stem, _, suffix = name.rpartition(".")
    if suffix in {"field", "listView"} and "objects" in parts:  # source format: a file a field
        owner = parts[parts.index("objects") + 1]
        source = parse_xml(content, parts[-1])
        kind = "CustomField" if suffix == "field" else "ListView"
        yield Component(type=kind, name=f"{owner}.{source.get('fullName')}", file=path, source=source, content=content)
        return
    kind_ = next((item for item in KINDS if item.suffix == suffix and item.folder in parts), None)
    if kind_ is None and parts[-1].endswith("-meta.xml") and len(parts) == 2:
        kind_ = next((item for item in KINDS if item.folder == parts[0] and item.type.endswith("Folder")), None)
        stem = name
    if kind_ is None:
        return
    source = parse_xml(content, parts[-1])
    if kind_.foldered:
        stem = "/".join([*parts[parts.index(kind_.folder) + 1 : -1], stem])
    yield Component(type=kind_.type, name=stem, file=path, source=source, content=content)
    for child in source.children if kind_.type == "CustomObject" else ():
        if child.name in NESTED_KINDS:
            yield Component(
                type=NESTED_KINDS[child.name],
                name=f"{stem}.{child.get('fullName')}",
                file=path,
                source=child,
                content=content,
            )
