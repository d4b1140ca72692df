"""Remove components from the org, unless something still needs them."""

from __future__ import annotations

from connector.localorg.metadata.deployed import DeployedMetadata
from connector.localorg.metadata.xml import MetadataError

_WITHOUT_STATE = {"ListView", "Layout", "Report", "ReportFolder", "Dashboard", "DashboardFolder"}


class ComponentMissingError(Exception):
    """There is no such component. A deployment reports it as a warning."""


def remove_component(deployed: DeployedMetadata, kind: str, name: str, file: str) -> None:
    """Remove a component. MetadataError if something still needs it."""

    def refuse(problem: str) -> MetadataError:
        return MetadataError(file, 1, problem)

    if kind in {"CustomObject", "CustomField"} and not name.endswith(("__c", "__e")):
        raise refuse(f"Cannot delete standard {'object' if kind == 'CustomObject' else 'field'}: {name}")
    if not deployed.has(kind, name):
        raise ComponentMissingError(f"No {kind} named: {name} found")

    match kind:
        case "CustomField":
            owner, _, field = name.partition(".")
            sobject = deployed.schema.get(owner)
            custom_field = sobject.all_fields.get(field.lower()) if sobject else None
            if sobject is not None and custom_field is not None:
                sobject.remove(custom_field)
        case "CustomObject":
            if deployed.schema.children_of(name):
                raise refuse(f"{name} is referenced elsewhere: remove the fields that refer to it first")
            deployed.schema.remove(name)
            for key in [key for key in deployed.names if key[1].startswith(f"{name}.")]:
                del deployed.names[key]
        case "PlatformEventChannel":
            for path in (f"/data/{name}", f"/event/{name}"):
                if deployed.channels.get(path):
                    raise refuse(f"The channel {name} has members: remove them first")
                deployed.channels.pop(path, None)
        case "PlatformEventChannelMember":
            source = deployed.names[kind, name].source
            channel, entity = source.get("eventChannel"), source.get("selectedEntity")
            for side in ("data", "event"):
                deployed.channels.get(f"/{side}/{channel}", {}).pop(f"/{side}/{entity}", None)
        case "ManagedEventSubscription":
            deployed.subscriptions.pop(name, None)
        case "PermissionSet":
            deployed.grants.pop(name, None)
        case "ReportType":
            deployed.report_types.pop(name.lower(), None)
        case _ if kind not in _WITHOUT_STATE:
            raise refuse(f"A {kind} cannot be deleted here")
    del deployed.names[kind, name]
