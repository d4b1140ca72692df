"""The header of an order: every field besides its lines, and the rules of each field. PURE.

This is the only definition of a header field. Everything else is made from it: the table columns, the HTTP request and
response, what an import reads, the fields that `change` sets over HTTP and on the command line, what a history keeps,
and what a split or replacement order inherits. docs/adding-a-field.md explains how to add one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from connector.model.copying import evolved


class FieldKind(StrEnum):
    """How the values of a field are read, checked and stored."""

    KEY = "key"
    TEXT = "text"
    CURRENCY = "currency"
    MONEY = "money"
    RATE = "rate"
    DAY = "day"
    MOMENT = "moment"
    FLAG = "flag"

    @property
    def python_type(self) -> type:
        return _PYTHON_TYPES.get(self, str)


_PYTHON_TYPES: Mapping[FieldKind, type] = {
    FieldKind.MONEY: Decimal,
    FieldKind.RATE: Decimal,
    FieldKind.DAY: date,
    FieldKind.MOMENT: datetime,
    FieldKind.FLAG: bool,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldInfo:
    """The type and the rules of a header field.

    `changeable`: `change` may set it until everything has shipped.
    `anytime`: `change` may set it until the order is canceled; an import may set it even after the first command.
    `verified`: verification checks it, so a change requires a new verification.
    `address`: it is part of the delivery address.
    `personal`: it is personal data, so a history keeps its name and not its value.
    `inherited`: a split or replacement order inherits it.
    `of_shipment`: it shows the latest shipment. A new order cannot set it; after the first command it follows from the
    shipments.
    """

    kind: FieldKind
    changeable: bool = False
    anytime: bool = False
    verified: bool = False
    address: bool = False
    personal: bool = False
    inherited: bool = True
    of_shipment: bool = False

    def read(self, text: Any) -> Any:
        """Convert a value as it stands in JSON to its Python type."""
        reader = _READERS.get(self.kind)
        return text if reader is None or text is None else reader(text)


_READERS: Mapping[FieldKind, Callable[[str], Any]] = {
    FieldKind.MONEY: Decimal,
    FieldKind.RATE: Decimal,
    FieldKind.DAY: date.fromisoformat,
    FieldKind.MOMENT: datetime.fromisoformat,
}
_INFO = "info"


def _is(kind: FieldKind, **rules: bool) -> dict[str, FieldInfo]:
    return {_INFO: FieldInfo(kind=kind, **rules)}


def _part_of_address() -> dict[str, FieldInfo]:
    return _is(FieldKind.TEXT, changeable=True, verified=True, address=True, personal=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderHeader:
    """The header fields of an order.

    `number` identifies the order, so the same order may arrive more than once. `tax_rate` is a fraction that is added
    to lines and freight; prices that include tax need none. `stated_total` is the total that the customer saw, with tax
    and freight; verification compares it. `ship_complete`: no parcel leaves before everything is packed.
    `delivery_note` is for the carrier, `rep_comment` what a sales rep noted in Salesforce. `shipped_on`, `carrier` and
    `tracking_number` show the latest shipment.
    """

    number: str = field(metadata=_is(FieldKind.KEY, inherited=False))
    placed_at: datetime = field(metadata=_is(FieldKind.MOMENT, inherited=False))
    currency: str = field(metadata=_is(FieldKind.CURRENCY))
    channel: str | None = field(default=None, metadata=_is(FieldKind.TEXT))
    service_level: str | None = field(default=None, metadata=_is(FieldKind.TEXT, changeable=True))
    po_number: str | None = field(default=None, metadata=_is(FieldKind.TEXT, changeable=True, anytime=True))
    notes: str | None = field(
        default=None, metadata=_is(FieldKind.TEXT, changeable=True, anytime=True, personal=True, inherited=False)
    )
    promised_on: date | None = field(default=None, metadata=_is(FieldKind.DAY, changeable=True))
    shipped_on: date | None = field(default=None, metadata=_is(FieldKind.DAY, of_shipment=True, inherited=False))
    carrier: str | None = field(default=None, metadata=_is(FieldKind.TEXT, of_shipment=True, inherited=False))
    tracking_number: str | None = field(default=None, metadata=_is(FieldKind.KEY, of_shipment=True, inherited=False))
    freight: Decimal | None = field(
        default=None,
        metadata=_is(FieldKind.MONEY, changeable=True, verified=True, inherited=False),  # charged once
    )
    tax_rate: Decimal | None = field(default=None, metadata=_is(FieldKind.RATE, changeable=True, verified=True))
    stated_total: Decimal | None = field(
        default=None,
        metadata=_is(FieldKind.MONEY, changeable=True, verified=True, inherited=False),  # of all lines together
    )
    ship_complete: bool = field(default=False, metadata=_is(FieldKind.FLAG, changeable=True))
    delivery_note: str | None = field(default=None, metadata=_is(FieldKind.TEXT, changeable=True, personal=True))
    rep_comment: str | None = field(
        default=None, metadata=_is(FieldKind.TEXT, changeable=True, anytime=True, personal=True, inherited=False)
    )
    ship_to_name: str | None = field(default=None, metadata=_part_of_address())
    ship_to_street: str | None = field(default=None, metadata=_part_of_address())
    ship_to_city: str | None = field(default=None, metadata=_part_of_address())
    ship_to_state: str | None = field(default=None, metadata=_part_of_address())
    ship_to_postal_code: str | None = field(default=None, metadata=_part_of_address())
    ship_to_country: str | None = field(default=None, metadata=_part_of_address())

    def with_values(self, values: Mapping[str, Any]) -> OrderHeader:
        """Return a copy with other values; None resets a field to its default."""
        return evolved(self, {name: DEFAULTS[name] if value is None else value for name, value in values.items()})


HEADER_FIELDS: Mapping[str, FieldInfo] = {item.name: item.metadata[_INFO] for item in fields(OrderHeader)}
"""Every header field with its rules, in the order of declaration."""
REQUIRED = frozenset({"number", "placed_at", "currency"})
DEFAULTS: Mapping[str, Any] = {
    item.name: None if item.name in REQUIRED else item.default for item in fields(OrderHeader)
}
"""The value of a field that is not given."""


def names_of(suits: Callable[[FieldInfo], bool]) -> tuple[str, ...]:
    """Return the names of the fields whose FieldInfo satisfies `suits`."""
    return tuple(name for name, info in HEADER_FIELDS.items() if suits(info))


CHANGEABLE: Mapping[str, FieldInfo] = {name: info for name, info in HEADER_FIELDS.items() if info.changeable}
"""The header fields that `change` can set."""
ADDRESS = frozenset(names_of(lambda info: info.address))
PERSONAL = frozenset(names_of(lambda info: info.personal))
"""Personal data: a history keeps only the names of these fields."""
ANYTIME = frozenset(names_of(lambda info: info.anytime))
"""Fields without influence on shipments: they may change until the order is canceled."""
VERIFIED = frozenset(names_of(lambda info: info.verified))
OF_SHIPMENT = frozenset(names_of(lambda info: info.of_shipment))
INHERITED = names_of(lambda info: info.inherited)
