"""Install components: check one against what is there by then, and put it into the org's metadata.

What a component refers to must exist when its turn comes. An invalid one raises MetadataError and changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from connector.localorg import standard_objects
from connector.localorg.events.channels import MAX_ENRICHED_FIELDS, ChannelMember
from connector.localorg.metadata import analytics_metadata
from connector.localorg.metadata.component import Component
from connector.localorg.metadata.custom_fields import build_field
from connector.localorg.metadata.deployed import DeployedMetadata, PermissionSet, SubscriptionDefinition
from connector.localorg.metadata.xml import Element, MetadataError
from connector.localorg.schema import Field, SObject
from connector.localorg.soql.condition_evaluator import filter_fields
from connector.localorg.soql.errors import SoqlError

MAX_NAME_LENGTH = 80
MAX_TRACKED_FIELDS = 20
"""Of one object (Salesforce Help, "Field History Tracking")."""
_NAME = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9])*")
EVENT_FIELDS = (
    Field(name="ReplayId", label="Replay ID", type="string", length=1000, createable=False, updateable=False),
    Field(
        name="CreatedDate", label="Created Date", type="datetime", nillable=False, createable=False, updateable=False
    ),
    Field(name="CreatedById", label="Created By ID", type="string", length=18, createable=False, updateable=False),
    Field(name="EventUuid", label="Event UUID", type="string", length=36, createable=False, updateable=False),
)


def install(deployed: DeployedMetadata, component: Component) -> bool:
    """Put a component in. Returns whether it is new. MetadataError says what is wrong with it."""
    _INSTALLERS[component.type](deployed, component)
    return deployed.register(component)


def refuse(component: Component, problem: str, element: Element | None = None) -> MetadataError:
    return MetadataError(component.file, (element or component.source).line, problem)


def _require_tags(component: Component, *tags: str) -> None:
    for tag in tags:
        if not component.source.get(tag):
            raise refuse(component, f"Required field is missing: {tag}")


# -- objects and fields ------------------------------------------------------------------------------------------------


def _install_object(deployed: DeployedMetadata, component: Component) -> None:
    name = component.name
    if not name.endswith(("__e", "__c")):
        standard = deployed.schema.get(name)
        if standard is None:
            raise refuse(component, f"Entity of type '{name}' is not available in this organization")
        if enabled := component.source.get("enableHistory"):
            standard.history_enabled = enabled == "true"
        return
    base = name[:-3]
    if not _NAME.fullmatch(base) or len(base) > 40:
        raise refuse(component, f"The object name '{name}' can only contain alphanumeric characters")
    _require_tags(component, "label", "pluralLabel")
    old = deployed.schema.get(name)
    fresh = _build_event(deployed, component) if name.endswith("__e") else _build_custom_object(deployed, component)
    if old is not None:
        fresh.key_prefix = old.key_prefix
        for item in old.all_fields.values():
            if item.name.lower() not in fresh.all_fields:
                fresh.add(item)
    deployed.schema.add(fresh)


def _build_event(deployed: DeployedMetadata, component: Component) -> SObject:
    source = component.source
    if source.get("eventType") != "HighVolume":
        raise refuse(component, "eventType must be HighVolume", source.child("eventType"))
    events = sum(item.event for item in deployed.schema)
    event = SObject(
        name=component.name,
        label=source.get("label"),
        label_plural=source.get("pluralLabel"),
        key_prefix=f"e{events:02d}",
        custom=True,
        updateable=False,
        deletable=False,
        queryable=False,
        event=True,
        immediate=source.get("publishBehavior", "PublishImmediately") == "PublishImmediately",
    )
    for item in EVENT_FIELDS:
        event.add(item)
    return event


def _build_custom_object(deployed: DeployedMetadata, component: Component) -> SObject:
    source = component.source
    name_field = source.child("nameField")
    if name_field is None or not name_field.get("label"):
        raise refuse(component, "Required field is missing: nameField")
    _require_tags(component, "deploymentStatus", "sharingModel")
    number = sum(item.custom and not item.event for item in deployed.schema)
    custom = SObject(
        name=component.name,
        label=source.get("label"),
        label_plural=source.get("pluralLabel"),
        key_prefix=f"a{number:02d}",
        custom=True,
    )
    automatic = name_field.get("type") == "AutoNumber"
    for item in standard_objects.read_fields("Custom__c"):
        custom.add(item)
    custom.add(
        replace(
            custom.all_fields["name"],
            label=name_field.get("label"),
            auto_number=automatic,
            createable=not automatic,
            updateable=not automatic,
            nillable=not automatic,
        )
    )
    return custom


def _install_field(deployed: DeployedMetadata, component: Component) -> None:
    owner, _, name = component.name.partition(".")
    sobject = deployed.schema.get(owner)
    if sobject is None:
        raise refuse(component, f"Entity of type '{owner}' is not available in this organization")
    present = sobject.all_fields.get(name.lower())
    if not name.endswith("__c") and present is not None:
        tracked = component.source.get("trackHistory")
        if tracked:
            _require_room_for_tracking(component, sobject, name)
            sobject.replace_field(replace(present, history_tracked=tracked == "true"))
        return
    built = build_field(component.source, sobject, component.file)
    for target in built.reference_to:
        if deployed.schema.get(target) is None:
            raise refuse(component, f"referenceTo value of '{target}' does not resolve to a valid sObject type")
    _require_room_for_tracking(component, sobject, name)
    sobject.add(built)


def _require_room_for_tracking(component: Component, sobject: SObject, name: str) -> None:
    if component.source.get("trackHistory") != "true":
        return
    others = [item for item in sobject.all_fields.values() if item.history_tracked and item.name != name]
    if len(others) >= MAX_TRACKED_FIELDS:
        problem = f"History of at most {MAX_TRACKED_FIELDS} fields of {sobject.name} can be tracked"
        raise refuse(component, problem, component.source.child("trackHistory"))


# -- events ------------------------------------------------------------------------------------------------------------


def _install_channel(deployed: DeployedMetadata, component: Component) -> None:
    kind = component.source.get("channelType")
    if not component.name.endswith("__chn"):
        raise refuse(component, "The name of a channel must end with __chn")
    if kind not in {"data", "event"}:
        raise refuse(component, "channelType must be data or event", component.source.child("channelType"))
    _require_tags(component, "label")
    deployed.channels.setdefault(f"/{kind}/{component.name}", {})


def _install_member(deployed: DeployedMetadata, component: Component) -> None:
    _require_tags(component, "eventChannel", "selectedEntity")
    channel, entity = component.source.get("eventChannel"), component.source.get("selectedEntity")
    names = {"/data/ChangeEvents"} if channel == "ChangeEvents" else {f"/data/{channel}", f"/event/{channel}"}
    channel_name = next((name for name in names if name == "/data/ChangeEvents" or name in deployed.channels), None)
    if channel_name is None:
        raise refuse(component, f"There is no channel {channel}", component.source.child("eventChannel"))
    kind = channel_name.split("/")[1]
    sobject = deployed.schema.get(entity) if kind == "event" else deployed.schema.get(_captured_object(entity))
    if sobject is None or (kind == "data" and sobject.event):
        raise refuse(component, f"{entity} cannot be selected", component.source.child("selectedEntity"))
    topic = f"/{kind}/{entity}"
    enriched = _enriched_fields(component, sobject)
    condition, filtered = _parse_filter(deployed, component, sobject, with_header=kind == "data")
    deployed.channels.setdefault(channel_name, {})[topic] = ChannelMember(
        topic=topic, enriched=tuple(dict.fromkeys([*enriched, *filtered])), condition=condition
    )


def _enriched_fields(component: Component, sobject: SObject) -> tuple[str, ...]:
    listed = list(component.source.children_named("enrichedFields"))
    if len(listed) > MAX_ENRICHED_FIELDS:
        raise refuse(
            component, f"A member can have at most {MAX_ENRICHED_FIELDS} enriched fields", listed[MAX_ENRICHED_FIELDS]
        )
    names = []
    for item in listed:
        field = sobject.all_fields.get(item.get("name").lower())
        if field is None or not field.stored:
            raise refuse(component, f"{sobject.name} has no field {item.get('name')} to enrich events with", item)
        names.append(field.name)
    return tuple(names)


def _parse_filter(
    deployed: DeployedMetadata, component: Component, sobject: SObject, *, with_header: bool
) -> tuple[str, list[str]]:
    """Return the filter, and its fields: change events are enriched with these automatically."""
    condition = component.source.get("filterExpression")
    if not condition:
        return "", []
    try:
        field_names = filter_fields(deployed.schema, sobject, condition, with_header=with_header)
    except SoqlError as error:
        message = " ".join(error.message.split())
        raise refuse(component, f"filterExpression: {message}", component.source.child("filterExpression")) from None
    return condition, sorted(field_names) if with_header else []


def _captured_object(entity: str) -> str:
    """Return `Order` for `OrderChangeEvent`, `My__c` for `My__ChangeEvent`."""
    if entity.endswith("__ChangeEvent"):
        return entity.removesuffix("__ChangeEvent") + "__c"
    return entity.removesuffix("ChangeEvent") if entity.endswith("ChangeEvent") else ""


def _install_subscription(deployed: DeployedMetadata, component: Component) -> None:
    _require_tags(component, "label", "topicName", "defaultReplay", "state")
    source = component.source
    recovers = source.get("errorRecoveryReplay", "LATEST")
    for tag in ("defaultReplay", "errorRecoveryReplay"):
        if source.get(tag, "LATEST") not in {"LATEST", "EARLIEST"}:
            raise refuse(component, f"{tag} must be LATEST or EARLIEST", source.child(tag))
    if source.get("state") not in {"RUN", "PAUSE", "STOP"}:
        raise refuse(component, "state must be RUN, PAUSE or STOP", source.child("state"))
    deployed.subscriptions[component.name] = SubscriptionDefinition(
        topic=source.get("topicName"), starts=source.get("defaultReplay"), recovers=recovers, state=source.get("state")
    )


# -- permission sets ---------------------------------------------------------------------------------------------------


def _install_permission_set(deployed: DeployedMetadata, component: Component) -> None:
    _require_tags(component, "label")
    fields: dict[str, tuple[bool, bool]] = {}
    for item in component.source.children_named("fieldPermissions"):
        full = item.get("field")
        owner, _, name = full.partition(".")
        sobject = deployed.schema.get(owner)
        field = sobject.all_fields.get(name.lower()) if sobject else None
        if field is None:
            raise refuse(component, f"In field: field - no CustomField named {full} found", item.child("field"))
        if field.custom and not field.nillable and field.type != "boolean":
            raise refuse(component, f"You cannot deploy to a required field: {full}", item.child("field"))
        if item.is_true("editable") and not item.is_true("readable"):
            raise refuse(component, f"{full} cannot be edited without being read", item)
        fields[full.lower()] = (item.is_true("readable"), item.is_true("editable"))
    for item in component.source.children_named("objectPermissions"):
        name = item.get("object")
        if deployed.schema.get(name) is None:
            raise refuse(component, f"In field: field - no CustomObject named {name} found", item.child("object"))
        for needs, other in (("allowDelete", "allowEdit"), ("allowEdit", "allowRead"), ("allowCreate", "allowRead")):
            if item.is_true(needs) and not item.is_true(other):
                raise refuse(component, f"Permission {needs} on {name} depends on permission(s): {other}", item)
    deployed.grants[component.name] = PermissionSet(
        name=component.name,
        label=component.source.get("label"),
        description=component.source.get("description"),
        fields=fields,
        permissions=frozenset(
            item.get("name") for item in component.source.children_named("userPermissions") if item.is_true("enabled")
        ),
    )


Installer = Callable[[DeployedMetadata, Component], None]
_INSTALLERS: dict[str, Installer] = {
    "CustomObject": _install_object,
    "CustomField": _install_field,
    "PlatformEventChannel": _install_channel,
    "PlatformEventChannelMember": _install_member,
    "ManagedEventSubscription": _install_subscription,
    "PermissionSet": _install_permission_set,
    "ListView": analytics_metadata.check_list_view,
    "Layout": analytics_metadata.check_layout,
    "ReportType": analytics_metadata.add_report_type,
    "ReportFolder": analytics_metadata.check_folder,
    "Report": analytics_metadata.check_report,
    "DashboardFolder": analytics_metadata.check_folder,
    "Dashboard": analytics_metadata.check_dashboard,
}
