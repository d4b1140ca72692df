"""Parses one mapping file into an EntitySpec, and notes every problem on the way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ruamel.yaml.nodes import MappingNode, Node

from connector.mapping.entries import EntryReader, read_expression
from connector.mapping.expression import Expression
from connector.mapping.problems import Position, Problems
from connector.mapping.spec import EntitySpec, FieldSpec, LookupSpec, Owner, RecordSpec, ValueTable
from connector.mapping.types import Kind
from connector.mapping.yaml_nodes import at, compose, pairs, text_of
from connector.model.change import EntityKind
from connector.model.customer import Customer
from connector.model.order import Line, Order
from connector.model.order_return import OrderReturn, ReturnedLine
from connector.model.product import Product
from connector.suggestions import listed, suggestion

MODELS: Mapping[EntityKind, type] = {
    EntityKind.CUSTOMER: Customer,
    EntityKind.PRODUCT: Product,
    EntityKind.ORDER: Order,
    EntityKind.RETURN: OrderReturn,
}
CHILDREN: Mapping[EntityKind, Mapping[str, tuple[str, type]]] = {
    EntityKind.ORDER: {"lines": ("line", Line)},
    EntityKind.RETURN: {"lines": ("return_line", ReturnedLine), "credited": ("return_line", ReturnedLine)},
}
"""The attribute with the children, their entity name, and their model."""

KEYS: Mapping[str, frozenset[str]] = {
    "customer": frozenset({"key", "number"}),
    "product": frozenset({"key", "sku"}),
    "order": frozenset({"key", "number"}),
    "line": frozenset({"key"}),
    "return": frozenset({"key"}),
    "return_line": frozenset({"key"}),
}
"""Paths that are an entity's key, and so may fill the external ID."""

_TOP = ("entity", "sobject", "external_id", "when", "fields", "children")
_CHILD = ("sobject", "external_id", "fields")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}", re.ASCII)

_Parts = dict[str, tuple[Position, Node]]


def read_entity(
    kind: EntityKind, file: str, content: bytes, tables: Mapping[str, ValueTable | None], problems: Problems
) -> EntitySpec | None:
    """The spec in `file`; None if it cannot be used, with the reasons noted in `problems`."""
    top = compose(file, content, problems)
    return None if top is None else _FileReader(kind=kind, file=file, tables=tables, problems=problems).read(top)


@dataclass(frozen=True, kw_only=True)
class _FileReader:
    kind: EntityKind
    file: str
    tables: Mapping[str, ValueTable | None]
    problems: Problems

    def read(self, top: MappingNode) -> EntitySpec | None:
        parts = self._read_keys(top, _TOP, "")
        if "entity" in parts:
            node = parts["entity"][1]
            if text_of(node) != self.kind:
                self.problems.add(
                    at(self.file, node),
                    "entity",
                    f"is not `{self.kind}`, as the file's name says: write `entity: {self.kind}`.",
                )
        else:
            self.problems.add(at(self.file, top), "entity", f"is missing: write `entity: {self.kind}`.")
        record = self._read_record(self.kind.value, MODELS[self.kind], parts, at(self.file, top), "")
        children = self._read_children(parts)
        when = self._read_when(parts)
        if record is None:
            return None
        when_position = parts["when"][0] if "when" in parts else None
        return EntitySpec(kind=self.kind, record=record, when=when, when_position=when_position, children=children)

    def _read_children(self, parts: _Parts) -> dict[str, RecordSpec]:
        child_models = CHILDREN.get(self.kind, {})
        children: dict[str, RecordSpec] = {}
        if "children" not in parts:
            return children
        where, node = parts["children"]
        if not isinstance(node, MappingNode):
            self.problems.add(where, "children", "is not a mapping: write `lines:` under it.")
            return children
        for name, position, value in pairs(self.file, node, self.problems, "children"):
            if name not in child_models:
                hint = suggestion(name, child_models) if child_models else " Remove it."
                self.problems.add(position, f"children.{name}", f"is no list that `{self.kind}` has.{hint}")
            elif not isinstance(value, MappingNode):
                self.problems.add(
                    position, f"children.{name}", "is not a mapping: write `sobject:` and `fields:` in it."
                )
            else:
                entity, model = child_models[name]
                record = self._read_record(
                    entity, model, self._read_keys(value, _CHILD, f"{name}."), position, f"{name}."
                )
                if record is not None:
                    children[name] = record
        return children

    def _read_when(self, parts: _Parts) -> Expression | None:
        if "when" not in parts:
            return None
        where, node = parts["when"]
        expression = read_expression(self.file, "when", where, node, MODELS[self.kind], self.problems)
        if expression is not None and expression.kind not in {Kind.BOOLEAN, Kind.ANY}:
            self.problems.add(at(self.file, node), "when", f"yields {expression.kind}: compare it with something.")
        return expression

    def _read_keys(self, node: MappingNode, allowed: tuple[str, ...], prefix: str) -> _Parts:
        parts: _Parts = {}
        for key, position, value in pairs(self.file, node, self.problems, prefix.rstrip(".")):
            if key in allowed:
                parts[key] = (position, value)
            else:
                hint = suggestion(key, allowed)
                self.problems.add(position, f"{prefix}{key}", f"is a key that does not belong here.{hint}")
        return parts

    def _read_name(self, parts: _Parts, key: str, place: Position, prefix: str) -> tuple[str, Position] | None:
        example = {"sobject": "Order", "external_id": "External_Key__c"}[key]
        if key not in parts:
            self.problems.add(place, f"{prefix}{key}", f"is missing: write `{key}: {example}` or the like.")
            return None
        node = parts[key][1]
        where = at(self.file, node)
        text = text_of(node)
        if text is None or not _NAME.fullmatch(text):
            self.problems.add(where, f"{prefix}{key}", f"is no Salesforce API name: write it like `{example}`.")
            return None
        return text, where

    def _read_record(self, entity: str, model: type, parts: _Parts, place: Position, prefix: str) -> RecordSpec | None:
        sobject = self._read_name(parts, "sobject", place, prefix)
        external_id = self._read_name(parts, "external_id", place, prefix)
        if "fields" not in parts:
            self.problems.add(place, f"{prefix}fields", "is missing: list `Salesforce_Field: path` lines under it.")
            return None
        where, node = parts["fields"]
        if not isinstance(node, MappingNode):
            self.problems.add(
                where, f"{prefix}fields", "is not a mapping: list `Salesforce_Field: path` lines under it."
            )
            return None
        fields, lookups = self._read_fields(node, model, prefix)
        if sobject is None or external_id is None:
            return None
        self._check_key(entity, external_id, fields, node, prefix)
        return RecordSpec(
            entity=entity,
            sobject=sobject[0],
            external_id=external_id[0],
            position=place,
            sobject_position=sobject[1],
            external_id_position=external_id[1],
            fields=tuple(fields),
            lookups=tuple(lookups),
        )

    def _read_fields(self, node: MappingNode, model: type, prefix: str) -> tuple[list[FieldSpec], list[LookupSpec]]:
        entries = EntryReader(file=self.file, model=model, tables=self.tables, problems=self.problems, prefix=prefix)
        fields: list[FieldSpec] = []
        lookups: list[LookupSpec] = []
        first_use: dict[str, tuple[str, Position]] = {}
        for name, position, value in pairs(self.file, node, self.problems, f"{prefix}fields"):
            if not _NAME.fullmatch(name):
                self.problems.add(
                    position, f"{prefix}{name[:80]}", "is no Salesforce API name: write it like `Ship_To__c`."
                )
                continue
            entry = entries.read(name, position, value)
            field = name if entry is None else entry.name
            if field.lower() in first_use:
                other, line = first_use[field.lower()]
                self.problems.add(
                    position,
                    f"{prefix}{name}",
                    f"is the same field as `{other}` on line {line.line} (Salesforce ignores case): remove one.",
                )
            first_use.setdefault(field.lower(), (name, position))
            if isinstance(entry, FieldSpec):
                fields.append(entry)
            elif entry is not None:
                lookups.append(entry)
        return fields, lookups

    def _check_key(
        self, entity: str, external_id: tuple[str, Position], fields: list[FieldSpec], node: MappingNode, prefix: str
    ) -> None:
        """Check that the external ID field is mapped to the entity's own key without changes: every write is repeated
        by it."""
        name, where = external_id
        keys = KEYS[entity]
        spec = next((field for field in fields if field.name == name), None)
        if spec is None:
            if name not in {text_of(key) for key, _ in node.value}:
                fill = min(keys - {"key"}, default="key")
                self.problems.add(
                    where, f"{prefix}external_id", f"is not among the fields: add `{name}: {fill}` to them."
                )
        elif (
            spec.path is None
            or spec.path.text not in keys
            or spec.transforms
            or spec.values is not None
            or spec.owner is not Owner.LOCAL
        ):
            self.problems.add(
                spec.position,
                f"{prefix}{name}",
                f"is the external ID, so it must be the {entity}'s key as it is: map it to {listed(keys)} alone.",
            )
