"""What a request may say: strict, by the names that the rest of the connector uses, nothing unknown let through."""

from __future__ import annotations

from dataclasses import MISSING, fields
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, get_type_hints

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, create_model

from connector.model.customer import Customer
from connector.model.event import Action, Event, Terms
from connector.model.order import LineInput, OrderInput
from connector.model.parcels import Resolution, ReturnReason, ShipmentStatus

MOST_DIGITS = 18


def _decimal(value: Any) -> Any:
    """A number or its text, with every digit; true is no 1."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise ValueError("must be a number, or text that is one")
    try:
        number = Decimal(value)
    except ArithmeticError:
        raise ValueError("must be a number, or text that is one") from None
    if not number.is_finite() or len(number.as_tuple().digits) > MOST_DIGITS or abs(number.adjusted()) > MOST_DIGITS:
        raise ValueError(f"must be a number of at most {MOST_DIGITS} digits")
    return number


def _no_flag(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a whole number")
    return value


Number = Annotated[Decimal, BeforeValidator(_decimal)]
Count = Annotated[int, BeforeValidator(_no_flag), Field(ge=1, le=10**6)]
Key = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")]
Text = Annotated[str, Field(max_length=32_000, pattern=r"^[^\x00]*$")]
Quantities = dict[Count, Number]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LineBody(Body):
    line: Count
    sku: Key
    quantity: Annotated[Number, Field(gt=0)]
    unit_price: Annotated[Number, Field(ge=0)] | None = None
    discount: Annotated[Number, Field(ge=0, le=1)] = Decimal(0)


class CustomerBody(Body):
    number: Key
    name: Annotated[str, Field(max_length=255)] | None = None
    email: Text | None = None
    phone: Text | None = None
    street: Text | None = None
    city: Text | None = None
    state: Text | None = None
    postal_code: Text | None = None
    country: Text | None = None
    first_name: Text | None = None
    last_name: Text | None = None
    tier: Text | None = None
    credit_limit: Annotated[Number, Field(ge=0)] | None = None

    def customer(self) -> Customer:
        """A person without a name of its own has that of first and last name."""
        values = self.model_dump()
        whole = " ".join(part for part in (self.first_name, self.last_name) if part)
        return Customer(**{**values, "name": self.name or whole or self.number})


class _OrderBody(Body):
    customer: Key | CustomerBody
    lines: Annotated[list[LineBody], Field(min_length=1, max_length=500)]


_PLACED = {
    "number": (Key, ...),
    "placed_at": (AwareDatetime | None, None),
    "currency": (Annotated[str, Field(pattern=r"^[A-Z]{3}$")], ...),
    "freight": (Annotated[Number, Field(ge=0)] | None, None),
}
_NOT_ASKED = {"customer", "lines", "stage", "shipped_on", "carrier", "tracking_number"}
_HINTS = get_type_hints(OrderInput)

_FIELDS: dict[str, Any] = {
    item.name: _PLACED.get(item.name, (Text | None if _HINTS[item.name] == str | None else _HINTS[item.name], None))
    for item in fields(OrderInput)
    if item.name not in _NOT_ASKED
}
OrderBody: Any = create_model("OrderBody", __base__=_OrderBody, **_FIELDS)
"""A new order, by the names of an import; what happens to it later is not said here."""


def order_of(body: Any, now: datetime) -> OrderInput:
    values = {item.name: getattr(body, item.name) for item in fields(OrderInput) if item.name not in _NOT_ASKED}
    return OrderInput(
        **{**values, "placed_at": body.placed_at or now},
        customer=body.customer if isinstance(body.customer, str) else body.customer.number,
        lines=tuple(
            LineInput(
                number=line.line,
                sku=line.sku,
                quantity=line.quantity,
                unit_price=line.unit_price,
                discount=line.discount,
            )
            for line in body.lines
        ),
    )


class TermsBody(Body):
    sku: Key
    quantity: Annotated[Number, Field(ge=0)]
    unit_price: Annotated[Number, Field(ge=0)] | None = None
    discount: Annotated[Number, Field(ge=0, le=1)] = Decimal(0)


BY_ITSELF = frozenset({Action.BEGIN, Action.ADVANCE})


def _action(value: Action) -> Action:
    if value in BY_ITSELF:
        raise ValueError("comes by itself and cannot be asked for")
    return value


_TYPES: dict[str, Any] = {
    "action": Annotated[Action, AfterValidator(_action)],
    "lines": Quantities,
    "written_off": Quantities,
    "terms": dict[Count, TermsBody],
    "amount": Number | None,
    "shipment": Count | None,
    "return_number": Count | None,
    "warehouse": Key | None,
    "carrier": Text | None,
    "tracking_number": Text | None,
    "reference": Key | None,
    "note": Text | None,
}
_EVENT = get_type_hints(Event)


def _default(item: Any) -> Any:
    if item.default_factory is not MISSING:
        return Field(default_factory=item.default_factory)
    return ... if item.default is MISSING else item.default


_ASKED: dict[str, Any] = {
    item.name: (_TYPES.get(item.name, _EVENT[item.name]), _default(item)) for item in fields(Event) if item.name != "to"
}
TransitionBody: Any = create_model("TransitionBody", __base__=Body, version=(Count | None, None), **_ASKED)
"""One event asked of an order: exactly what an Event says."""


def event_of(body: Any) -> Event:
    values = {item.name: getattr(body, item.name) for item in fields(Event) if item.name != "to"}
    values["terms"] = {number: Terms(**terms.model_dump()) for number, terms in body.terms.items()}
    return Event(**values)


class ReturnBody(Body):
    order: Key
    lines: Annotated[Quantities, Field(min_length=1)]
    reason: ReturnReason = ReturnReason.OTHER
    resolution: Resolution = Resolution.REFUND
    note: Text | None = None


class NumbersBody(Body):
    numbers: Annotated[list[Key], Field(min_length=1, max_length=500)]


class CountBody(Body):
    """What was counted in one warehouse."""

    warehouse: Key
    counts: Annotated[dict[Key, Annotated[Number, Field(ge=0)]], Field(min_length=1, max_length=1000)]


class TrackingBody(Body):
    """What a carrier says of a parcel."""

    tracking_number: Key
    status: ShipmentStatus
    note: Text | None = None


class MessagesBody(Body):
    """Messages by their ids."""

    ids: Annotated[list[Annotated[int, BeforeValidator(_no_flag), Field(ge=1, le=2**62)]],
                   Field(min_length=1, max_length=500)]  # fmt: skip
