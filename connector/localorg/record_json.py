"""Render a stored row as JSON: canonical field names, JSON types, compound addresses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connector.localorg.errors import Refusal
from connector.localorg.write_plan import Row, WritePlan

_ADDRESS_PARTS = ("City", "Country", "GeocodeAccuracy", "Latitude", "Longitude", "PostalCode", "State", "Street")


def render_record(plan: WritePlan, row: Row, base: str, fields: Sequence[str] | None = None) -> dict[str, Any]:
    """Render all readable fields, or the requested ones in the requested order."""
    body: dict[str, Any] = {
        "attributes": {"type": plan.name, "url": f"{base}/sobjects/{plan.name}/{row['Id']}"},
    }
    for name in _field_names(plan, fields):
        if name in plan.addresses:
            body[name] = _address(plan, name, row)
        else:
            value = row.get(name)
            body[name] = bool(value) if name in plan.booleans else value
    return body


def _field_names(plan: WritePlan, fields: Sequence[str] | None) -> list[str]:
    if fields is None:
        return [entry.name for entry in plan.inputs.values()]
    names = []
    for requested in fields:
        entry = plan.inputs.get(requested.strip().lower())
        if entry is None:
            raise Refusal("INVALID_FIELD", f"No such column '{requested.strip()}' on sobject of type {plan.name}")
        names.append(entry.name)
    return list(dict.fromkeys(["Id", *names]))


def _address(plan: WritePlan, name: str, row: Row) -> dict[str, Any] | None:
    prefix = name.removesuffix("Address")
    parts = {part: row.get(prefix + part) for part in _ADDRESS_PARTS}
    if all(value is None for value in parts.values()):
        return None
    return {part[0].lower() + part[1:]: value for part, value in parts.items()}
