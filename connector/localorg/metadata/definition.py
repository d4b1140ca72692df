"""A component's definition as JSON (Tooling API) and as XML (packages and the stored form)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any

from connector.localorg.metadata.component import KINDS, NESTED_KINDS
from connector.localorg.metadata.xml import Element

NAMESPACE = "http://soap.sforce.com/2006/04/metadata"
_LISTS = {
    "enrichedFields", "value", "fieldPermissions", "objectPermissions", "userPermissions", "members", "types",
    "fields", "listViews", "columns", "filters",
}  # fmt: skip
_NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)
_NUMBERS = {"length", "precision", "scale", "visibleLines", "startingNumber", "relationshipOrder"}
_VALUE_NAME_LISTS = {"value"}  # lists whose items say valueName in JSON, fullName in XML


def definition_as_dict(source: Element) -> dict[str, Any]:
    """Return the JSON of a definition, without its name."""
    body: dict[str, Any] = {}
    for child in source.children:
        if child.name == "fullName" and source.name not in _VALUE_NAME_LISTS:
            continue
        value = _value(child)
        if child.name in _LISTS or child.name in body:
            earlier = body.setdefault(child.name, [])
            body[child.name] = [*(earlier if isinstance(earlier, list) else [earlier]), value]
        else:
            body[child.name] = value
    if source.name in _VALUE_NAME_LISTS and "fullName" in body:
        body["valueName"] = body.pop("fullName")
    return body


def _value(source: Element) -> Any:
    text = source.text.strip()
    if source.children:
        return definition_as_dict(source)
    if source.nil or not text:
        return None
    if text in {"true", "false"}:
        return text == "true"
    return int(text) if source.name in _NUMBERS and text.isdigit() else text


def xml_from_dict(root: str, metadata: Mapping[str, Any]) -> bytes:
    """Render a definition that came as JSON as a file of its own."""
    body = "".join(_tag(name, value) for name, value in metadata.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{NAMESPACE}">{body}\n</{root}>\n'.encode()


def _tag(name: str, value: Any) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"unknown name {name[:80]!r}")
    if value is None:
        return ""
    if isinstance(value, list):
        return "".join(_tag(name, item) for item in value)
    if isinstance(value, Mapping):
        items = {
            "fullName" if key == "valueName" and name in _VALUE_NAME_LISTS else key: item for key, item in value.items()
        }
        return f"\n<{name}>{''.join(_tag(key, item) for key, item in items.items())}</{name}>"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"\n<{name}>{escape(text, quote=False)}</{name}>"


def xml_from_element(root: str, source: Element) -> bytes:
    """Render a definition that was part of a larger XML as a file of its own."""
    body = "".join(_copy(child) for child in source.children)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{NAMESPACE}">{body}\n</{root}>\n'.encode()


def _copy(source: Element) -> str:
    if source.nil:
        return ""
    if source.children:
        return f"\n<{source.name}>{''.join(_copy(child) for child in source.children)}</{source.name}>"
    return f"\n<{source.name}>{escape(source.text.strip(), quote=False)}</{source.name}>"


def element_xml(source: Element) -> str:
    """Render an element of a definition as XML."""
    return _copy(source).strip()


def package_path(kind: str, name: str) -> str:
    """Return the path of a component in a package."""
    if kind in NESTED_KINDS.values():
        kind = "CustomObject"
    component_kind = next((item for item in KINDS if item.type == kind), None)
    return f"{component_kind.folder}/{name}.{component_kind.suffix}" if component_kind else f"{kind}/{name}"
