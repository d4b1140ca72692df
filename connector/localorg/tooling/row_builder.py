"""Build the rows of the Tooling objects from the org's schema and the deployed components."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any

from connector.localorg import ids
from connector.localorg.field_values import format_timestamp
from connector.localorg.metadata.component import Component
from connector.localorg.metadata.definition import definition_as_dict
from connector.localorg.metadata.deployed import DeployedMetadata
from connector.localorg.schema import Field, SObject
from connector.localorg.tooling.data_types import data_type
from connector.localorg.tooling.objects import ENTITY, FIELD, OWNER, PARTICLE

Row = dict[str, Any]
_KEY_PREFIXES = {"CustomField": "00N", "PlatformEventChannel": "0YL", "PlatformEventChannelMember": "0v8",
                 "ManagedEventSubscription": "18x"}  # fmt: skip


@lru_cache(maxsize=8192)  # each field has two, which every change of the schema asks for again
def stable_id(prefix: str, name: str) -> str:
    """Return an ID derived from a component's name, which is the same after every start."""
    return ids.make(prefix, int.from_bytes(hashlib.sha256(name.lower().encode()).digest()[:6], "big"))


def developer_name(name: str) -> str:
    for suffix in ("__c", "__e", "__chn"):
        name = name.removesuffix(suffix)
    return name


def durable_id(sobject: SObject) -> str:
    return stable_id("01I", sobject.name) if sobject.custom else sobject.name


def build_rows(deployed: DeployedMetadata, user_id: str, changed: datetime) -> Iterator[tuple[str, Row]]:
    """Yield object and row of everything in the org."""
    stamps = dict.fromkeys(("CreatedDate", "LastModifiedDate", "SystemModstamp"), format_timestamp(changed))
    stamps |= dict.fromkeys(("CreatedById", "LastModifiedById"), user_id)
    for sobject in deployed.schema:
        yield ENTITY, stamps | _entity(sobject)
        if sobject.custom:
            yield "CustomObject", stamps | _object(sobject)
        for field in sobject.all_fields.values():
            yield FIELD, stamps | _field(sobject, field)
            yield PARTICLE, _particle(sobject, field)
            if field.custom:
                component = deployed.names.get(("CustomField", f"{sobject.name}.{field.name}"))
                yield "CustomField", stamps | _custom_field(sobject, field, component)
    for (kind, name), component in deployed.names.items():
        if kind in {"PlatformEventChannel", "PlatformEventChannelMember", "ManagedEventSubscription"}:
            yield kind, stamps | _channel(kind, name, component)


def _entity(item: SObject) -> Row:
    row = not item.event
    return {
        "Id": stable_id("4ie", item.name),
        "DurableId": durable_id(item),
        "QualifiedApiName": item.name,
        "DeveloperName": developer_name(item.name),
        "MasterLabel": item.label,
        "Label": item.label,
        "PluralLabel": item.label_plural,
        "KeyPrefix": item.key_prefix or None,
        "PublisherId": "<local>" if item.custom else "System",
        "InternalSharingModel": "ReadWrite",
        "ExternalSharingModel": "Private",
        "DeploymentStatus": "Deployed" if item.custom else None,
        "DetailUrl": f"/{item.key_prefix}/{{ID}}" if row else None,
        "IsCustomizable": True,
        "IsApexTriggerable": True,
        "IsWorkflowEnabled": row,
        "IsProcessEnabled": row,
        "IsCompactLayoutable": row,
        "IsReplicateable": row,
        "IsRetrieveable": row,
        "IsSearchLayoutable": row,
        "IsSearchable": row,
        "IsTriggerable": True,
        "IsIdEnabled": row,
        "IsEverCreatable": item.createable,
        "IsEverUpdatable": item.updateable and row,
        "IsEverDeletable": item.deletable and row,
        "IsQueryable": item.queryable,
        "IsMruEnabled": row,
        "IsLayoutable": row,
        "IsFlsEnabled": row,
    }


def _common_columns(sobject: SObject, field: Field) -> Row:
    full_name = f"{sobject.name}.{field.name}"
    mark = stable_id("00N", full_name) if field.custom else field.name
    return {
        "DurableId": f"{durable_id(sobject)}.{mark[:15] if field.custom else mark}",
        "QualifiedApiName": field.name,
        "EntityDefinitionId": durable_id(sobject),
        "DeveloperName": developer_name(field.name),
        "MasterLabel": field.label,
        "Label": field.label,
        "RelationshipName": field.relationship_name,
        "ReferenceTo": json.dumps({"referenceTo": list(field.reference_to) or None}),
        "ValueTypeId": field.type,
        "ServiceDataTypeId": field.type,
        "ExtraTypeInfo": "plaintextarea" if field.type == "textarea" else None,
        "Length": field.length,
        "Precision": field.precision,
        "Scale": field.scale,
        "IsCalculated": field.calculated,
        "IsNameField": field.name_field,
        "IsNillable": field.nillable,
        "IsApiFilterable": field.filterable,
        "IsApiSortable": field.sortable,
        "IsApiGroupable": field.groupable,
        "IsCompound": not field.stored,
        OWNER: stable_id("4ie", sobject.name),
    }


def _field(sobject: SObject, field: Field) -> Row:
    return _common_columns(sobject, field) | {
        "Id": stable_id("4if", f"{sobject.name}.{field.name}"),
        "DataType": data_type(field),
        "IsIndexed": field.unique or field.external_id or field.type in {"id", "reference"},
        "IsListVisible": field.stored,
        "IsListFilterable": field.filterable,
        "IsListSortable": field.sortable,
        "IsWorkflowFilterable": field.filterable,
        "IsFieldHistoryTracked": field.history_tracked and sobject.history_enabled,
        "IsCompactLayoutable": field.stored,
        "IsPolymorphicForeignKey": len(field.reference_to) > 1,
    }


def _particle(sobject: SObject, field: Field) -> Row:
    columns = _common_columns(sobject, field)
    return columns | {
        "Id": stable_id("4im", f"{sobject.name}.{field.name}"),
        "Name": field.name,
        "FieldDefinitionId": columns["DurableId"],
        "DataType": field.type,
        "InlineHelpText": field.help_text,
        "ByteLength": field.length * 3,
        "Digits": field.digits,
        "IsAutonumber": field.auto_number,
        "IsCaseSensitive": field.case_sensitive,
        "IsUnique": field.unique,
        "IsCreatable": field.createable,
        "IsUpdatable": field.updateable,
        "IsDefaultedOnCreate": field.defaulted_on_create,
        "IsIdLookup": field.id_lookup or field.external_id,
        "IsPermissionable": field.createable and field.nillable,
        "IsComponent": field.compound_field_name is not None,
        "IsNamePointing": len(field.reference_to) > 1,
    }


def _custom_field(sobject: SObject, field: Field, component: Component | None) -> Row:
    full_name = f"{sobject.name}.{field.name}"
    return {
        "Id": stable_id("00N", full_name),
        "DeveloperName": developer_name(field.name),
        "TableEnumOrId": durable_id(sobject),
        "EntityDefinitionId": durable_id(sobject),
        "InlineHelpText": field.help_text,
        "Description": component.source.get("description") or None if component else None,
        "Length": field.length or None,
        "Precision": field.precision or None,
        "Scale": field.scale if field.precision else None,
        "ManageableState": "unmanaged",
        "FullName": full_name,
        "Metadata": json.dumps(definition_as_dict(component.source) if component else {}),
        OWNER: stable_id("4ie", sobject.name),
    }


def _object(item: SObject) -> Row:
    return {
        "Id": stable_id("01I", item.name),
        "DeveloperName": developer_name(item.name),
        "Language": "en_US",
        "SharingModel": "Edit",
        "ManageableState": "unmanaged",
    }


def _channel(kind: str, name: str, component: Component) -> Row:
    source = component.source
    row: Row = {
        "Id": stable_id(_KEY_PREFIXES[kind], name),
        "DeveloperName": developer_name(name),
        "Language": "en_US",
        "MasterLabel": source.get("label") or developer_name(name),
        "ManageableState": "unmanaged",
        "FullName": name,
        "Metadata": json.dumps(definition_as_dict(source)),
    }
    if kind == "PlatformEventChannel":
        return row | {"ChannelType": source.get("channelType"), "EventType": source.get("eventType") or None}
    if kind == "ManagedEventSubscription":
        return row | {
            "TopicName": source.get("topicName"),
            "DefaultReplay": source.get("defaultReplay"),
            "ErrorRecoveryReplay": source.get("errorRecoveryReplay", "LATEST"),
            "State": source.get("state"),
            "Version": source.get("version") or None,
        }
    return row | {
        "EventChannel": source.get("eventChannel"),
        "SelectedEntity": source.get("selectedEntity"),
        "FilterExpression": source.get("filterExpression") or None,
    }
