"""What a request may say: strict, by the names that the rest of the connector uses, nothing unknown let through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    WrapValidator,
    create_model,
    model_validator,
)

from connector.model.canonical import canonical_bytes
from connector.model.customer import Customer
from connector.model.keys import LONGEST, normalize_key
from connector.model.literals import check_digits, parse_day, parse_decimal, parse_moment
from connector.model.order import LineInput, OrderInput
from connector.model.order_header import DEFAULTS, HEADER_FIELDS, REQUIRED, FieldInfo, FieldKind, OrderHeader, names_of
from connector.model.product import Price, Product
from connector.model.resync import ResyncFilter
from connector.model.shipments import CARRIER_STATUSES, Resolution, ReturnReason, ShipmentStatus
from connector.validation import CURRENCY, NO_NUL, once_each


def _decimal(value: object) -> Decimal:
    """A number or its text, with every digit; true is no 1."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise ValueError("must be a number or a numeric text")
    return parse_decimal(value) if isinstance(value, str) else check_digits(Decimal(value))


def no_flag(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a whole number")
    return value


def _one_each(prices: list[PriceBody]) -> list[PriceBody]:
    if len({price.currency for price in prices}) < len(prices):
        raise ValueError("must name each currency once")
    return prices


def _moment(value: object) -> datetime:
    return parse_moment(_text(value))


def _day(value: object) -> date:
    return parse_day(_text(value))


def _text(value: object) -> str:
    """A number would be taken for seconds since 1970."""
    if not isinstance(value, str):
        raise ValueError("must be text, as 2026-01-31")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]
Day = Annotated[date, BeforeValidator(_day)]
Number = Annotated[Decimal, BeforeValidator(_decimal)]
Count = Annotated[int, Field(ge=1, le=999_999), BeforeValidator(no_flag)]
Key = Annotated[
    str,
    AfterValidator(normalize_key),
    Field(json_schema_extra={"minLength": 1, "description": f"At most {LONGEST} characters, trimmed."}),
]
Text = Annotated[str, Field(max_length=32_000, pattern=NO_NUL)]
Currency = Annotated[str, Field(pattern=CURRENCY)]
Quantities = Annotated[dict[Count, Number], WrapValidator(once_each)]
Levels = Annotated[dict[Key, Annotated[Number, Field(ge=0)]], WrapValidator(once_each)]
if TYPE_CHECKING:
    CarrierStatus = ShipmentStatus
else:  # a Literal made of a tuple is nothing to a type checker
    CarrierStatus = Annotated[
        Literal[tuple(status.value for status in CARRIER_STATUSES)],
        AfterValidator(ShipmentStatus),
    ]
"""What a carrier says of a parcel."""


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


M = TypeVar("M", bound=BaseModel)


def with_fields(definitions: Mapping[str, Any]) -> Callable[[type[M]], type[M]]:
    """A decorator that gives a model more fields, which are declared elsewhere. `definitions`: type and default by
    name; with `...` as default, a field is required."""

    def extend(model: type[M]) -> type[M]:
        return create_model(model.__name__, __base__=model, __module__=model.__module__, **definitions)

    return extend


class LineBody(Body):
    line: Count
    sku: Key
    quantity: Annotated[Number, Field(gt=0)]
    unit_price: Annotated[Number, Field(ge=0)] | None = None
    discount: Annotated[Number, Field(ge=0, le=1)] = Decimal(0)


class _CustomerDetails(Body):
    name: Annotated[Text, Field(max_length=255)] | None = None
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
    payment_terms: Annotated[Text, Field(max_length=255)] | None = None

    def customer(self, number: str) -> Customer:
        return Customer.named_by_order(**{**self.model_dump(exclude={"version"}), "number": number})


class CustomerBody(_CustomerDetails):
    number: Key


class CustomerPut(_CustomerDetails):
    """A customer as a whole; the path names it. With `version`: only if it is still that one."""

    number: Key | None = None
    version: Count | None = None

    @property
    def key(self) -> str | None:
        return self.number


class PriceBody(Body):
    currency: Currency
    unit_price: Annotated[Number, Field(ge=0)]


class ProductPut(Body):
    """A product as a whole; the path names it. With `version`: only if it is still that one."""

    sku: Key | None = None
    version: Count | None = None
    name: Annotated[Text, Field(min_length=1, max_length=255)]
    description: Text | None = None
    active: StrictBool = True
    prices: Annotated[list[PriceBody], Field(max_length=200), AfterValidator(_one_each)] = []

    @property
    def key(self) -> str | None:
        return self.sku

    def product(self, sku: str) -> Product:
        prices = tuple(Price(currency=price.currency, unit_price=price.unit_price) for price in self.prices)
        return Product(sku=sku, name=self.name, description=self.description, active=self.active, prices=prices)


def header_type(info: FieldInfo) -> Any:
    """What a header field may be over HTTP."""
    return _HEADER_TYPES.get(info.kind, Text)


_HEADER_TYPES: dict[FieldKind, Any] = {
    FieldKind.KEY: Key,
    FieldKind.CURRENCY: Currency,
    FieldKind.MONEY: Annotated[Number, Field(ge=0)],
    FieldKind.RATE: Annotated[Number, Field(ge=0, lt=1)],
    FieldKind.DAY: Day,
    FieldKind.MOMENT: Moment,
    FieldKind.FLAG: StrictBool,
}
PLACED_FIELDS = names_of(lambda info: not info.of_shipment)
"""What a new order can say in its header."""


def _placed_field(name: str) -> Any:
    info = HEADER_FIELDS[name]
    if name in REQUIRED and name != "placed_at":
        return (header_type(info), ...)
    optional = header_type(info) if info.kind is FieldKind.FLAG else header_type(info) | None
    return (optional, DEFAULTS[name])


@with_fields({name: _placed_field(name) for name in PLACED_FIELDS})
class OrderBody(Body):
    """A new order, with the field names of an import; `placed_at` is now by default. Its later changes are actions. The
    fields of its header are those of `OrderHeader`."""

    customer: Key | CustomerBody
    lines: Annotated[list[LineBody], Field(min_length=1, max_length=500)]

    @property
    def customer_number(self) -> str:
        return self.customer if isinstance(self.customer, str) else self.customer.number

    @property
    def customer_values(self) -> dict[str, object] | None:
        """The given values of the customer without the number; None if the body has the number only."""
        if isinstance(self.customer, str):
            return None
        return self.customer.model_dump(exclude_unset=True, exclude={"number"})

    def content(self) -> bytes:
        """Return the canonical JSON of the body, with the customer's number in place of the customer."""
        return canonical_bytes(self.model_dump(exclude={"customer"}) | {"customer": self.customer_number})

    def header(self, now: datetime) -> OrderHeader:
        return OrderHeader(**{"placed_at": now} | self._given_header())

    @property
    def names_moment(self) -> bool:
        """Whether the body has a `placed_at`."""
        return "placed_at" in self._given_header()

    def _given_header(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in PLACED_FIELDS}
        return {name: value for name, value in values.items() if value is not None}

    def order(self, now: datetime) -> OrderInput:
        return OrderInput(
            header=self.header(now),
            customer=self.customer_number,
            lines=tuple(
                LineInput(
                    number=line.line,
                    sku=line.sku,
                    quantity=line.quantity,
                    unit_price=line.unit_price,
                    discount=line.discount,
                )
                for line in self.lines
            ),
        )


class ReturnBody(Body):
    order: Key
    lines: Annotated[Quantities, Field(min_length=1, json_schema_extra={"minProperties": 1})]
    reason: ReturnReason = ReturnReason.OTHER
    resolution: Resolution = Resolution.REFUND
    note: Text | None = None


class NumbersBody(Body):
    numbers: Annotated[list[Key], Field(min_length=1, max_length=500)]


class CountBody(Body):
    """What was counted in one warehouse. `expected` is what the counter saw on hand, by SKU: where something else is
    there by now, nothing is counted."""

    warehouse: Key
    counts: Annotated[Levels, Field(min_length=1, max_length=1000, json_schema_extra={"minProperties": 1})]
    expected: Levels = Field(default_factory=dict)

    @model_validator(mode="after")
    def _of_what_is_counted(self) -> CountBody:
        if self.expected.keys() - self.counts.keys():
            raise ValueError("expected must name products that are counted")
        return self


class TrackingBody(Body):
    """What a carrier says of a parcel; `carrier` where another one may have given the same number."""

    tracking_number: Key
    carrier: Key | None = None
    status: CarrierStatus
    note: Text | None = None


class ResolutionBody(Body):
    """Whose value stands in a conflict: ours (`local`) or the org's. `always`: it becomes a rule of the field."""

    take: Literal["local", "salesforce"]
    always: StrictBool = False


class TriggerBody(Body):
    """When a job runs: every so many `seconds`, or by `cron`, the five fields of crontab, in UTC."""

    seconds: Annotated[float, BeforeValidator(no_flag), Field(gt=0, le=1e9, allow_inf_nan=False)] | None = None
    cron: Annotated[str, Field(min_length=9, max_length=100)] | None = None


class ResyncFilterBody(Body):
    """Which entities of the kind; nothing given means all. `customer`, `stage`, `channel`: only of orders. `error`:
    refused with this error code; `refused_since` and `refused_until`: refused between them. `mapping_version`:
    not sent since that version became active. `org`: in the org of this name."""

    keys: list[Key] = Field(default_factory=list, max_length=1000)
    customer: Key | None = None
    stage: Annotated[str, Field(max_length=40)] | None = None
    channel: Annotated[str, Field(max_length=80)] | None = None
    changed_since: Moment | None = None
    changed_until: Moment | None = None
    refused_since: Moment | None = None
    refused_until: Moment | None = None
    error: Annotated[str, Field(max_length=100)] | None = None
    mapping_version: Annotated[int, Field(ge=1, le=2**31 - 1), BeforeValidator(no_flag)] | None = None
    org: Annotated[str, Field(max_length=40)] | None = None

    def chosen(self) -> ResyncFilter:
        return ResyncFilter(
            keys=tuple(dict.fromkeys(self.keys)),
            customer=self.customer,
            stage=self.stage,
            channel=self.channel,
            changed_since=self.changed_since,
            changed_until=self.changed_until,
            refused_since=self.refused_since,
            refused_until=self.refused_until,
            error=self.error,
            mapping_version=self.mapping_version,
            org=self.org,
        )


class ResyncBody(Body):
    """What is sent (`push`), read (`pull`) or compared again. `priority`: behind everything else, or with new changes.
    `dry_run`: only say how many there are, and what it costs; with `list_keys` also which, up to 1,000."""

    entity: Literal["customer", "product", "order", "return"]
    filter: ResyncFilterBody = Field(default_factory=ResyncFilterBody)
    mode: Literal["push", "pull", "compare"] = "push"
    priority: Literal["low", "high"] = "low"
    dry_run: StrictBool = False
    list_keys: StrictBool = False


class UndoBody(Body):
    """What of a run is undone: all of it, or only these keys and fields (`Description`, `Order.Description`).
    `include`: also what was sent with the run and not because of it (`sent_with`), or fields in which we would send
    another value (`differs`). `dry_run`: only make the plan, whose `id` the undo itself needs as `plan`. `org`: the
    name of one of several orgs.
    """

    dry_run: StrictBool = False
    plan: Annotated[str | None, Field(max_length=64)] = None
    keys: Annotated[list[Annotated[str, Field(min_length=1, max_length=80)]], Field(max_length=1000)] = []
    fields: Annotated[list[Annotated[str, Field(min_length=1, max_length=120)]], Field(max_length=100)] = []
    include: Annotated[list[Literal["sent_with", "differs"]], Field(max_length=2)] = []
    org: Annotated[str | None, Field(max_length=80)] = None


class ReleaseBody(Body):
    """Entities whose held values are sent after all, with those of their lines; `fields`: only these. `org`: the name
    of one of several orgs."""

    entity: Literal["customer", "product", "order", "return"]
    keys: Annotated[list[Annotated[str, Field(min_length=1, max_length=80)]], Field(min_length=1, max_length=1000)]
    fields: Annotated[list[Annotated[str, Field(min_length=1, max_length=120)]], Field(max_length=100)] = []
    org: Annotated[str | None, Field(max_length=80)] = None


class MessagesBody(Body):
    """Messages by their ids."""

    ids: Annotated[list[Annotated[int, Field(ge=1, le=2**62), BeforeValidator(no_flag)]],
                   Field(min_length=1, max_length=500)]  # fmt: skip
