"""What of an entity can be changed to cure a refusal: our values behind the refused field, and what the org takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import Enum

from connector.mapping.mapper import MappingSet
from connector.mapping.spec import ANY_OTHER_VALUE, FieldSpec
from connector.model.change import DeadLetter, EntityKind
from connector.model.customer import Customer
from connector.model.dead_letter_group import find_correctable
from connector.model.describe import SObjectDescribe
from connector.model.money import plain
from connector.model.order import Line, Order
from connector.model.order_header import ANYTIME, CHANGEABLE, FieldKind
from connector.model.product import Product
from connector.model.stage import EARLY, Stage
from connector.outbound.org_discovery import load_stored_profile
from connector.store import customers, orders, orgs, products
from connector.store.engine import Connection

OF_CUSTOMER = (
    "name", "email", "phone", "street", "city", "state", "postal_code", "country", "first_name", "last_name", "tier",
    "credit_limit", "payment_terms",
)  # fmt: skip
OF_PRODUCT = ("name", "description")
OF_LINE = ("sku", "quantity", "unit_price", "discount")
_TEXT_TYPES = {"string", "textarea", "email", "phone", "url", "picklist", "combobox"}


@dataclass(frozen=True, kw_only=True, slots=True)
class OrgLimit:
    """What the org takes: the field as people there call it, its API name, its type and length. `options`: the only
    values that are sent, empty if any is. `is_sent_as_is`: our value reaches the org unchanged, so its length counts.
    """

    label: str
    name: str
    type: str
    length: int
    options: Sequence[str] = ()
    is_sent_as_is: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class CorrectableValue:
    """One of our values. `line`: of this line of the order. `is_refused`: the refused field is made from it."""

    name: str
    value: str
    line: int | None = None
    is_long: bool = False
    is_flag: bool = False
    is_refused: bool = False
    limit: OrgLimit | None = None

    @property
    def key(self) -> str:
        """As corrections over HTTP name it."""
        return f"set.{self.name}" if self.line is None else f"line_edits.{self.line}.{self.name}"

    def is_set_in(self, given: Mapping[str, str]) -> bool:
        """Whether these values have one for the entity itself, and not for a line of it."""
        return self.line is None and self.key in given


@dataclass(frozen=True, kw_only=True, slots=True)
class CorrectableEntity:
    """Where a refusal is cured. `comes_from`: paths of values of other entities behind the refused field; `final`: the
    values of this one behind it that can no longer be changed, because of its `stage`."""

    entity: EntityKind
    key: str
    version: int
    values: Sequence[CorrectableValue]
    comes_from: Sequence[str] = ()
    final: Sequence[str] = ()
    stage: Stage | None = None
    field: OrgLimit | None = None


async def find_correctable_values(
    connection: Connection, letter: DeadLetter, mappings: MappingSet
) -> CorrectableEntity | None:
    """Return what can be changed to cure a dead letter; None if no value of ours is at fault."""
    place = find_correctable(letter.entity, letter.key, letter.refusal)
    if place is None:
        return None
    loaded = await _load(connection, *place)
    if loaded is None:
        return None
    entity, version = loaded
    record_kind, _, record_key = (letter.refusal.record or f"{letter.entity} {letter.key}").partition(" ")
    number = record_key.rpartition("-")[2]
    line = int(number) if record_kind == "line" and number.isdecimal() else None
    sobject, _, name = (letter.refusal.field or "").rpartition(".")
    spec = _find_spec(mappings, record_kind, name, letter.refusal.source)
    limit = _limit(await _describe(connection, letter.org, sobject), name, spec)
    paths = _paths(spec)
    values = [
        replace(value, is_refused=True, limit=limit) if value.name in paths and value.line == line else value
        for value in _values_of(entity, line)
    ]
    offered = {value.name for value in values if value.line == line}
    return CorrectableEntity(
        entity=place[0],
        key=place[1],
        version=version,
        values=sorted(values, key=lambda value: not value.is_refused),
        comes_from=[path for path in paths if "." in path],
        final=[path for path in paths if path in (*CHANGEABLE, *OF_LINE) and path not in offered],
        stage=entity.stage if isinstance(entity, Order) else None,
        field=limit,
    )


def _find_spec(mappings: MappingSet, record_kind: str, name: str, source: str | None) -> FieldSpec | None:
    """How the refused field is made. Persons and companies have files of their own: `source` is the line that made it
    then, of which the file counts if the line has moved."""
    every = (mappings.customer, mappings.person, mappings.product, mappings.order)
    records = (record for mapping in every if mapping is not None for record in mapping.spec.records)
    fields = [spec for record in records if record.entity == record_kind for spec in record.fields if spec.name == name]
    of_file = [spec for spec in fields if _file(spec.position.source) == _file(source or "")]
    return next(iter(of_file or fields), None)


def _file(source: str) -> str:
    return source.rpartition(":")[0].rpartition("/")[2]


def _paths(spec: FieldSpec | None) -> list[str]:
    if spec is None:
        return []
    paths = [] if spec.path is None else [spec.path]
    if spec.expression is not None:
        paths += spec.expression.paths
    return list(dict.fromkeys(path.text for path in paths))


async def _describe(connection: Connection, org: str, sobject: str) -> SObjectDescribe | None:
    """What the org of this name said of an object when it was asked last."""
    org_ids = {name: org_id for org_id, name in await orgs.list_active_names(connection)}
    stored = None if org not in org_ids else await load_stored_profile(connection, org_ids[org])
    return None if stored is None else stored[0].describes.get(sobject)


def _limit(described: SObjectDescribe | None, name: str, spec: FieldSpec | None) -> OrgLimit | None:
    found = None if described is None else described.fields.get(name)
    if found is None:
        return None
    is_plain = spec is not None and spec.path is not None and not spec.transforms
    options: Sequence[str] = ()
    if is_plain and spec is not None and spec.values is not None:
        rows = spec.values.rows
        options = () if ANY_OTHER_VALUE in rows else tuple(rows)
    elif is_plain and found.restricted_picklist:
        options = found.picklist
    is_sent_as_is = is_plain and spec is not None and spec.values is None and found.type in _TEXT_TYPES
    return OrgLimit(
        label=found.label,
        name=found.name,
        type=found.type,
        length=found.length,
        options=options,
        is_sent_as_is=is_sent_as_is,
    )


async def _load(connection: Connection, kind: EntityKind, key: str) -> tuple[Customer | Product | Order, int] | None:
    match kind:
        case EntityKind.CUSTOMER:
            found = await customers.load(connection, [key])
            version = (await customers.versions(connection, [key])).get(key)
            return (found[0], version) if found and version is not None else None
        case EntityKind.PRODUCT:
            loaded = await products.load(connection, [key])
            version = (await products.versions(connection, [key])).get(key)
            return (loaded[0], version) if loaded and version is not None else None
        case EntityKind.ORDER:
            return next(((order, order.version) for order in await orders.load(connection, [key])), None)
    return None


def _values_of(entity: Customer | Product | Order, line: int | None) -> Iterator[CorrectableValue]:
    """The values that can be changed now: of an order those that its stage allows, and of the line at fault."""
    if isinstance(entity, Customer):
        yield from (_value(name, getattr(entity, name)) for name in OF_CUSTOMER)
    elif isinstance(entity, Product):
        yield from (_value(name, getattr(entity, name)) for name in OF_PRODUCT)
    else:
        is_early = entity.stage in EARLY
        for name, info in CHANGEABLE.items():
            if is_early or name in ANYTIME:
                yield _value(name, getattr(entity.header, name), is_flag=info.kind is FieldKind.FLAG)
        for item in entity.lines:
            if item.number == line and is_early:
                yield from _values_of_line(item)


def _values_of_line(line: Line) -> Iterator[CorrectableValue]:
    given: Mapping[str, object] = {
        "sku": line.product.sku, "quantity": line.quantity, "unit_price": line.unit_price, "discount": line.discount,
    }  # fmt: skip
    for name, value in given.items():
        yield CorrectableValue(name=name, value=_text(value), line=line.number)


def _value(name: str, value: object, *, is_flag: bool = False) -> CorrectableValue:
    text = _text(value)
    return CorrectableValue(name=name, value=text, is_flag=is_flag, is_long=len(text) > 80 or "\n" in text)


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Decimal():
            return plain(value)
        case date() | datetime():
            return value.isoformat()
        case Enum():
            return str(value.value)
    return str(value)
