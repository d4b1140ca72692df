"""The JSON Schema of mapping files, for editors: keys, paths, transforms, owners and lookups, by entity.

It is derived from the same tables that the parser uses. What depends on several places (types, value tables that answer
for every value, owners that need a way back) only `connector mappings check` finds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connector.mapping.entries import LOOKUPS
from connector.mapping.parser import CHILDREN, MODELS
from connector.mapping.paths import list_paths
from connector.mapping.spec import Owner
from connector.mapping.transforms import TRANSFORMS
from connector.model.change import EntityKind

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NAME = r"^[A-Za-z][A-Za-z0-9_]{0,79}$"
_SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}
_OWNERS: Mapping[Owner, str] = {
    Owner.LOCAL: "Our value is used; edits in Salesforce are overwritten.",
    Owner.SALESFORCE: "The org's value is used; it is never sent.",
    Owner.NEWEST: "A change on either side goes to the other; if both changed, the later one.",
    Owner.ASK: "A change on either side goes to the other; if both changed, a person decides.",
}


def build_schema() -> Schema:
    """The schema of all files: of an entity by its key `entity`, else of a value table."""
    files = [{"$ref": f"#/$defs/{kind.value}"} for kind in EntityKind]
    return {
        "$schema": DIALECT,
        "title": "Field mapping of the connector",
        "if": {"type": "object", "required": ["entity", "fields"]},
        "then": {"oneOf": files},
        "else": {"$ref": "#/$defs/values"},
        "$defs": {
            **{kind.value: _file(kind) for kind in EntityKind},
            "values": {
                "description": "A value table: our value, and what it becomes in the org; null keeps the org's value.",
                "type": "object",
                "minProperties": 1,
                "additionalProperties": _SCALAR,
            },
            "transform": _transform(),
            "owner": {
                "oneOf": [{"const": owner.value, "description": about} for owner, about in _OWNERS.items()],
            },
        },
    }


def _file(kind: EntityKind) -> Schema:
    children = {
        name: _record(model, f"The {name} of the {kind.value}.") for name, (_, model) in CHILDREN.get(kind, {}).items()
    }
    record = _record(MODELS[kind], "")
    properties = {
        "entity": {"const": kind.value, "description": "As the file is named."},
        **record["properties"],
        "when": {"type": ["string", "boolean"], "description": "An expression: which entities are synced."},
    }
    if children:
        properties["children"] = {"type": "object", "properties": children, "additionalProperties": False}
    return {
        "type": "object",
        "required": ["entity", "sobject", "external_id", "fields"],
        "properties": properties,
        "additionalProperties": False,
    }


def _record(model: type, about: str) -> Schema:
    return {
        **({"description": about} if about else {}),
        "type": "object",
        "required": ["sobject", "external_id", "fields"],
        "properties": {
            "sobject": {"type": "string", "pattern": _NAME, "description": "The Salesforce object."},
            "external_id": {
                "type": "string",
                "pattern": _NAME,
                "description": "The field that holds our key; it must be mapped to the unchanged key.",
            },
            "fields": {
                "type": "object",
                "minProperties": 1,
                "description": "Salesforce fields, and where each value comes from.",
                "propertyNames": {"pattern": _NAME},
                "additionalProperties": _entry(list(list_paths(model))),
            },
        },
        "additionalProperties": False,
    }


def _entry(paths: list[str]) -> Schema:
    path = {"enum": paths, "description": "A path to our value."}
    field: Schema = {
        "type": "object",
        "properties": {
            "path": path,
            "const": _SCALAR,
            "expr": {"type": ["string", "number", "boolean"], "maxLength": 500},
            "transform": {
                "oneOf": [
                    {"$ref": "#/$defs/transform"},
                    {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/transform"}},
                ]
            },
            "values": {"type": "string", "description": "A value table: a file in values/, without `.yaml`."},
            "default": _SCALAR,
            "owner": {"$ref": "#/$defs/owner"},
        },
        "oneOf": [{"required": [source]} for source in ("path", "const", "expr")],
        "additionalProperties": False,
    }
    lookup: Schema = {
        "type": "object",
        "required": ["lookup"],
        "properties": {
            "lookup": {"enum": list(LOOKUPS), "description": "The entity that the reference points to."},
            "path": path,
            "const": {"type": "string"},
        },
        "oneOf": [{"required": ["path"]}, {"required": ["const"]}],
        "additionalProperties": False,
    }
    return {"oneOf": [path, field, lookup]}


def _transform() -> Schema:
    plain = [{"const": name, "description": transform.about} for name, transform in TRANSFORMS.items()]
    in_zone = {"type": "string", "pattern": "^date in [A-Za-z_]+(/[A-Za-z0-9_+-]+)*$"}
    return {"oneOf": [*plain, in_zone]}
