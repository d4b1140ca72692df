"""The state that deployments make: objects, channels, permission sets, subscriptions, report types.

`installer` fills it and `removal` takes from it; this module checks nothing.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from connector.localorg.events.channels import Channels
from connector.localorg.metadata.component import Component
from connector.localorg.schema import Schema


@dataclass(frozen=True, kw_only=True)
class PermissionSet:
    """A permission set: (readable, editable) by `object.field` in lower case, and the user permissions it grants."""

    name: str
    label: str
    description: str
    fields: dict[str, tuple[bool, bool]]
    permissions: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class SubscriptionDefinition:
    topic: str
    starts: str
    recovers: str
    state: str


@dataclass
class DeployedMetadata:
    """The deployed metadata of the org. `snapshot` and `restore` undo a failed deployment."""

    schema: Schema
    names: dict[tuple[str, str], Component] = field(default_factory=dict)
    channels: Channels = field(default_factory=dict)
    grants: dict[str, PermissionSet] = field(default_factory=dict)
    subscriptions: dict[str, SubscriptionDefinition] = field(default_factory=dict)
    report_types: dict[str, set[str]] = field(default_factory=dict)  # `table$field` by name, lower case

    def register(self, component: Component) -> bool:
        """Keep a component that was installed. Returns whether it is new."""
        key = (component.type, component.name)
        new = key not in self.names
        self.names[key] = component
        return new

    def has(self, type_: str, name: str) -> bool:
        return (type_, name) in self.names

    def snapshot(self) -> dict[str, object]:
        state = {name: copy.copy(value) for name, value in vars(self).items() if name != "schema"}
        state["channels"] = {name: dict(members) for name, members in self.channels.items()}
        return {**state, "objects": self.schema.snapshot()}

    def restore(self, snapshot: dict[str, object]) -> None:
        self.schema.restore(snapshot.pop("objects"))  # type: ignore[arg-type]
        vars(self).update(snapshot)
