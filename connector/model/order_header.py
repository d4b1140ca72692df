"""The header of an order: every field that says what was agreed on, besides its lines, and what each field is. PURE.

A field and its `FieldInfo` stand here alone. Made from them: the columns of the table, the HTTP request and answer,
what an import reads, the details that `change` sets over HTTP and on the command line, what a history keeps, and what
a split or replacement order takes over. docs/adding-a-field.md walks through a new one.
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
    """What a header field is.

    `changeable`: `change` may set it, as long as something of the order is still in the house; `anytime`: `change` may
    set it until the order is canceled, and an import may after the order was acted on. `verified`: verification looks
    at it, so a change of it asks for verification again. `address`: it is part of where the goods go. `personal`: it
    says something about a person, so a history keeps its name and not its value. `inherited`: a split or replacement
    order takes it over. `of_shipment`: it shows the latest shipment, so nobody names it of a new order, and once an
    order was acted on its shipments say it.
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
        """A value as JSON has it (see `write`), read back."""
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
    """`number` is the order's identity, so the same order can arrive any number of times.

    `tax_rate` is a fraction that comes on top of lines and freight (prices that include their tax need none);
    `stated_total` what the customer was told, tax and freight included, for verification to compare; `ship_complete`:
    no parcel leaves before all are packed; `delivery_note` is for the carrier. `shipped_on`, `carrier` and
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
    ship_to_name: str | None = field(default=None, metadata=_part_of_address())
    ship_to_street: str | None = field(default=None, metadata=_part_of_address())
    ship_to_city: str | None = field(default=None, metadata=_part_of_address())
    ship_to_state: str | None = field(default=None, metadata=_part_of_address())
    ship_to_postal_code: str | None = field(default=None, metadata=_part_of_address())
    ship_to_country: str | None = field(default=None, metadata=_part_of_address())

    def with_values(self, values: Mapping[str, Any]) -> OrderHeader:
        """The same with other values of some fields. None stands for a field that is taken out."""
        return evolved(self, {name: DEFAULTS[name] if value is None else value for name, value in values.items()})


HEADER_FIELDS: Mapping[str, FieldInfo] = {item.name: item.metadata[_INFO] for item in fields(OrderHeader)}
"""Every field of the header with what it is, in the order of their declaration."""
REQUIRED = frozenset({"number", "placed_at", "currency"})
DEFAULTS: Mapping[str, Any] = {
    item.name: None if item.name in REQUIRED else item.default for item in fields(OrderHeader)
}
"""What stands in a field that nobody has given."""


def names_of(suits: Callable[[FieldInfo], bool]) -> tuple[str, ...]:
    """The fields whose FieldInfo suits."""
    return tuple(name for name, info in HEADER_FIELDS.items() if suits(info))


CHANGEABLE: Mapping[str, FieldInfo] = {name: info for name, info in HEADER_FIELDS.items() if info.changeable}
"""What `change` can set of an order besides its lines."""
ADDRESS = frozenset(names_of(lambda info: info.address))
PERSONAL = frozenset(names_of(lambda info: info.personal))
"""Fields about a person: of these a history keeps the names alone."""
ANYTIME = frozenset(names_of(lambda info: info.anytime))
"""Fields that matter to no parcel: they may change as long as the order is not canceled."""
VERIFIED = frozenset(names_of(lambda info: info.verified))
OF_SHIPMENT = frozenset(names_of(lambda info: info.of_shipment))
INHERITED = names_of(lambda info: info.inherited)
