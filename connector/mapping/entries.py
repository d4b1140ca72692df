"""Parses one entry under `fields` into a FieldSpec or LookupSpec, and notes the problems it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ruamel.yaml.nodes import MappingNode, Node

from connector.mapping.backward import inverse_rows
from connector.mapping.expression import Expression, ExpressionError
from connector.mapping.paths import Path, PathError, resolve
from connector.mapping.problems import Position, Problems
from connector.mapping.spec import FieldSpec, LookupSpec, Owner, ValueTable
from connector.mapping.tables import check_rows, unknown_table
from connector.mapping.transforms import TRANSFORMS, Transform, find_transform
from connector.mapping.types import NUMBERS, Kind
from connector.mapping.yaml_nodes import BadValueError, at, pairs, text_of, texts_of, value_of
from connector.model.record import FieldValue
from connector.model.writable import is_writable
from connector.suggestions import listed, suggestion

LOOKUPS = ("customer", "product", "order", "line", "price", "price_book", "record_type")
CUSTOM, CUSTOM_RELATIONSHIP = "__c", "__r"

_FIELD_KEYS = ("path", "const", "expr", "transform", "values", "default", "owner")
_LOOKUP_KEYS = ("lookup", "path", "const")
_SOURCES = ("path", "const", "expr")


@dataclass(frozen=True, kw_only=True)
class EntryReader:
    """Reads the entries of one object. `prefix` is empty, or `lines.` for the lines of an order."""

    file: str
    model: type
    tables: Mapping[str, ValueTable | None]  # None: there, but unusable, and noted already
    problems: Problems
    prefix: str = ""

    def read(self, name: str, position: Position, node: Node) -> FieldSpec | LookupSpec | None:
        """The parsed entry, or None if it cannot be used."""
        label = f"{self.prefix}{name}"
        short = text_of(node)
        if short is not None:
            path = self._resolve_path(label, at(self.file, node), short)
            return None if path is None else FieldSpec(name=name, position=position, kind=path.kind, path=path)
        if not isinstance(node, MappingNode):
            self.problems.add(
                at(self.file, node),
                label,
                "is neither a path nor a mapping: write `Field: path` or `Field: {path: …}`.",
            )
            return None
        parts = {key: (where, value) for key, where, value in pairs(self.file, node, self.problems, label)}
        allowed = _LOOKUP_KEYS if "lookup" in parts else _FIELD_KEYS
        for key, (where, _) in parts.items():
            if key not in allowed:
                hint = suggestion(key, {*_FIELD_KEYS, "lookup"} if key not in _FIELD_KEYS else allowed)
                self.problems.add(where, label, f"has the key `{key}`, which does not belong here.{hint}")
        if "lookup" in parts:
            return self._read_lookup(name, label, position, parts)
        return self._read_field(name, label, position, parts)

    def _read_field(
        self, name: str, label: str, position: Position, parts: dict[str, tuple[Position, Node]]
    ) -> FieldSpec | None:
        sources = [key for key in _SOURCES if key in parts]
        if len(sources) != 1:
            problem = f"has {' and '.join(sources)}" if sources else "has no source"
            self.problems.add(position, label, f"{problem}: give exactly one of `path`, `const` and `expr`.")
            return None
        owner = self._read_owner(label, parts)
        default = self._read_value(label, parts, "default")
        transforms = self._read_transforms(label, parts)
        table, is_usable = self._find_table(label, parts)
        if sources == ["const"]:
            for key in ("transform", "values", "default"):
                if key in parts:
                    self.problems.add(
                        parts[key][0], label, f"has `{key}` beside `const`, which is sent as it is: drop it."
                    )
            const = self._read_value(label, parts, "const")
            self._check_reversible(label, position, owner, None, (), None)
            return FieldSpec(name=name, position=position, kind=kind_of_value(const), const=const, owner=owner)
        path: Path | None = None
        expression: Expression | None = None
        choices: tuple[str, ...] = ()
        if sources == ["path"]:
            path = self._read_path(label, parts)
            if path is None:
                return None
            kind, choices = path.kind, path.choices
        else:
            expression = self._read_expression(label, *parts["expr"])
            if expression is None:
                return None
            kind = expression.kind
        if transforms is None or not is_usable:
            return None
        kind = self._apply_transforms(label, parts, kind, transforms)
        if table is not None:
            check_rows(table, kind, () if transforms else choices, parts["values"][0], label, self.problems)
            kind = table.kind
        if default is not None and not _kinds_match(kind_of_value(default), kind):
            self.problems.add(
                parts["default"][0],
                label,
                f"has a default that is {kind_of_value(default)}, but sends {kind}: match them.",
            )
        self._check_reversible(label, position, owner, path, transforms, table)
        return FieldSpec(
            name=name,
            position=position,
            kind=kind,
            path=path,
            expression=expression,
            transforms=transforms,
            values=table,
            default=default,
            owner=owner,
        )

    def _read_lookup(
        self, name: str, label: str, position: Position, parts: dict[str, tuple[Position, Node]]
    ) -> LookupSpec | None:
        where, node = parts["lookup"]
        entity = text_of(node) or ""
        if entity not in LOOKUPS:
            self.problems.add(
                where, label, f"looks up `{entity}`, which is not an entity.{suggestion(entity, LOOKUPS)}"
            )
        field = reference_field(name)
        if field is None:
            self.problems.add(
                position, label, "is a reference field: write its relationship (`Account`, not `AccountId`; `X__r`)."
            )
        sources = [key for key in ("path", "const") if key in parts]
        if len(sources) != 1:
            self.problems.add(position, label, "needs exactly one of `path` and `const` to say which record.")
            return None
        path: Path | None = None
        const: str | None = None
        if sources == ["path"]:
            path = self._read_path(label, parts)
            if path is None:
                return None
            if path.kind is not Kind.TEXT:
                self.problems.add(parts["path"][0], label, f"has a path to a {path.kind}: a key is text.")
        else:
            const = text_of(parts["const"][1])
            if not const:
                self.problems.add(parts["const"][0], label, "has a `const` that is no text: write the key, in quotes.")
                return None
        if entity not in LOOKUPS or field is None:
            return None
        return LookupSpec(relationship=name, name=field, position=position, entity=entity, path=path, const=const)

    def _read_path(self, label: str, parts: dict[str, tuple[Position, Node]]) -> Path | None:
        where, node = parts["path"]
        text = text_of(node)
        if text is None:
            self.problems.add(where, label, "has a path that is no text: write it like `customer.name`.")
            return None
        return self._resolve_path(label, at(self.file, node), text)

    def _resolve_path(self, label: str, where: Position, text: str) -> Path | None:
        try:
            return resolve(self.model, text)
        except PathError as error:
            self.problems.add(where, label, f"has the wrong path `{text[:80]}`: {error}")
            return None

    def _read_expression(self, label: str, where: Position, node: Node) -> Expression | None:
        return read_expression(self.file, label, where, node, self.model, self.problems)

    def _read_owner(self, label: str, parts: dict[str, tuple[Position, Node]]) -> Owner:
        if "owner" not in parts:
            return Owner.LOCAL
        where, node = parts["owner"]
        text = text_of(node) or ""
        if text not in set(Owner):
            self.problems.add(where, label, f"has the owner `{text}`, which does not exist.{suggestion(text, Owner)}")
            return Owner.LOCAL
        return Owner(text)

    def _read_value(self, label: str, parts: dict[str, tuple[Position, Node]], key: str) -> FieldValue:
        if key not in parts:
            return None
        where, node = parts[key]
        try:
            return value_of(node)
        except BadValueError as error:
            self.problems.add(where, label, f"has a `{key}` that {error}.")
            return None

    def _read_transforms(self, label: str, parts: dict[str, tuple[Position, Node]]) -> tuple[Transform, ...] | None:
        if "transform" not in parts:
            return ()
        where, node = parts["transform"]
        names = texts_of(node)
        if not names:
            self.problems.add(where, label, "has a `transform` that is no name: write `transform: date`, or a list.")
            return None
        transforms_by_name = {name: find_transform(name) for name in names}
        for name in [name for name, transform in transforms_by_name.items() if transform is None]:
            self.problems.add(
                where, label, f"has the transform `{name}`, which does not exist.{suggestion(name, TRANSFORMS)}"
            )
        chosen = tuple(transform for name in names if (transform := transforms_by_name[name]) is not None)
        return chosen if len(chosen) == len(names) else None

    def _find_table(self, label: str, parts: dict[str, tuple[Position, Node]]) -> tuple[ValueTable | None, bool]:
        """The value table, and whether the entry can be checked further."""
        if "values" not in parts:
            return None, True
        where, node = parts["values"]
        name = text_of(node)
        if name is None:
            self.problems.add(where, label, "has `values` that is no name: name a file in values/, without `.yaml`.")
            return None, False
        if name not in self.tables:
            self.problems.add(where, label, unknown_table(name, self.tables))
        return self.tables.get(name), self.tables.get(name) is not None

    def _apply_transforms(
        self, label: str, parts: dict[str, tuple[Position, Node]], kind: Kind, transforms: tuple[Transform, ...]
    ) -> Kind:
        for transform in transforms:
            if kind is not Kind.ANY and kind not in transform.takes:
                self.problems.add(
                    parts["transform"][0],
                    label,
                    f"gives the transform `{transform.name}` a {kind}; it takes {listed(transform.takes)}.",
                )
            kind = transform.yields
        return kind

    def _check_reversible(
        self,
        label: str,
        position: Position,
        owner: Owner,
        path: Path | None,
        transforms: tuple[Transform, ...],
        table: ValueTable | None,
    ) -> None:
        """A field that the org may change needs a way back to one stored attribute."""
        if owner is Owner.LOCAL:
            return
        why = None
        if path is None:
            why = "it does not come from a path"
        elif not path.is_own_attribute:
            why = f"`{path.text}` is derived, or belongs to another entity"
        elif not is_writable(self.model, path.text):
            why = f"`{path.text}` changes by commands on the order, or never"
        elif table is not None and (shared := _no_way_back(table)) is not None:
            why = f"the value table `{table.name}` has no way back: {shared}"
        else:
            oneway = [transform.name for transform in transforms if transform.backward is None]
            why = f"the transform `{oneway[0]}` has no way back" if oneway else None
        if why is not None:
            self.problems.add(position, label, f"cannot have the owner `{owner}`, because {why}: use `owner: local`.")


def _no_way_back(table: ValueTable) -> str | None:
    try:
        inverse_rows(table)
    except ValueError as error:
        return str(error)
    return None


def read_expression(
    file: str, label: str, where: Position, node: Node, model: type, problems: Problems
) -> Expression | None:
    """The expression in `node`; what is wrong with it is noted."""
    text = text_of(node)
    if text is None:
        problems.add(where, label, "has an expression that is no text: put it in quotes.")
        return None
    try:
        return Expression(text, model)
    except ExpressionError as error:
        problems.add(at(file, node), label, f"has an expression that {error}")
        return None


def reference_field(relationship: str) -> str | None:
    """`Account` -> `AccountId`, `Payer__r` -> `Payer__c`; None for what is a field name already."""
    if relationship.endswith(CUSTOM_RELATIONSHIP):
        return relationship.removesuffix(CUSTOM_RELATIONSHIP) + CUSTOM
    if relationship.endswith((CUSTOM, "Id")):
        return None
    return f"{relationship}Id"


def kind_of_value(value: FieldValue) -> Kind:
    """The kind of a constant. Text may also be a date; the org's field decides that."""
    if value is None:
        return Kind.ANY
    if isinstance(value, bool):
        return Kind.BOOLEAN
    if isinstance(value, str):
        return Kind.TEXT
    return Kind.INTEGER if isinstance(value, int) else Kind.DECIMAL


def _kinds_match(default: Kind, kind: Kind) -> bool:
    if Kind.ANY in (default, kind) or default is kind:
        return True
    if kind in NUMBERS:
        return default in NUMBERS
    return kind in {Kind.DATE, Kind.DATETIME} and default is Kind.TEXT
