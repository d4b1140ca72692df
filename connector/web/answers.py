"""What the API answers, as types for the OpenAPI document: the shape of what `api.serializers` returns.

The fields of orders, lines, customers and products are those of their dataclasses, so a new field of an order is in the
document by itself. The tests hold every answer of the API against its type.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model

from connector.api.serializers import LINE_NAMES, ORDER_NAMES
from connector.model.action_request import ActionState
from connector.model.conflict import Conflict, ConflictRule
from connector.model.copying import inlined_types
from connector.model.customer import Customer
from connector.model.holds import Hold
from connector.model.inbound_change import Source
from connector.model.notification import Notification
from connector.model.order import Line, Order
from connector.model.order_state import FulfillmentStatus, PaymentStatus
from connector.model.product import Product
from connector.model.shipments import Resolution, ReturnReason, ReturnStatus, ShipmentStatus
from connector.model.stage import Stage
from connector.orders.documents.invoice import InvoiceView
from connector.orders.inventory.pick_list import Pick
from connector.store.queries.backorders import Backorder, BackorderLine
from connector.store.queries.holds import OrderHold

Answer = type[BaseModel]


def _answer(name_: str, about_: str, /, **types: Any) -> Answer:
    """A type with these fields, all of which are always there."""
    fields: dict[str, Any] = {field: (kind, ...) for field, kind in types.items()}
    made: Answer = create_model(name_, __doc__=about_, __config__=ConfigDict(defer_build=True), **fields)
    return made


def _fields_of(model: type, names: Collection[str] | None = None, *, without: Collection[str] = ()) -> dict[str, Any]:
    types = inlined_types(model)
    return {name: kind for name, kind in types.items() if name not in without and (names is None or name in names)}


def _page(name: str, of: str, item: Any, after: Any = str | None) -> Answer:
    return _answer(name, "One page; `after` of the next one, null on the last.", **{of: list[item], "after": after})


class _Answer(BaseModel):
    model_config = ConfigDict(defer_build=True)


class ShipmentAnswer(_Answer):
    """A parcel of an order; quantities by line number. Empty fields are absent."""

    number: int
    status: ShipmentStatus
    lines: dict[str, Decimal]
    warehouse: str | None = None
    carrier: str | None = None
    tracking_number: str | None = None
    shipped_on: date | None = None
    delivered_on: date | None = None


class OrderReturnAnswer(_Answer):
    """A return as its order shows it."""

    return_number: int
    status: ReturnStatus
    reason: ReturnReason
    resolution: Resolution


LINE = _answer(
    "LineAnswer",
    "A line of an order; totals are exact, not rounded.",
    line=int,
    sku=str,
    **_fields_of(Line, LINE_NAMES),
    backordered=Decimal,
    exact_total=Decimal | None,
)
ORDER = _answer(
    "OrderAnswer",
    "An order with its lines, shipments and returns; amounts and quantities are decimals as text.",
    **_fields_of(Order, ORDER_NAMES),
    customer=str,
    tracking_path=str | None,
    fulfillment_status=FulfillmentStatus,
    payment_status=PaymentStatus,
    amount_due=Decimal,
    tax=Decimal,
    exact_total=Decimal | None,
    holds=list[Hold],
    lines=list[LINE],  # type: ignore[valid-type]
    shipments=list[ShipmentAnswer],
    returns=list[OrderReturnAnswer],
)
ORDERS = _answer("OrderList", "Orders.", orders=list[ORDER])  # type: ignore[valid-type]
ORDER_PAGE = _page("OrderPage", "orders", ORDER)


class EventAnswer(_Answer):
    """What happened to an order, with the fields of that event; `stage` is the one behind it, `request` the
    idempotency key by which it was asked for."""

    model_config = ConfigDict(extra="allow", defer_build=True)
    sequence: int
    at: datetime
    actor: str
    event: str
    stage: Stage
    request: str | None = None


class OrderHistory(_Answer):
    number: str
    history: list[EventAnswer]


class ActionAnswer(_Answer):
    """What somebody asked of an order in the org, and the answer; `order` is null if the request names none.
    `request_id` is what the asker called the request (`Request_ID__c`)."""

    at: datetime
    order: str | None
    event_id: str
    request_id: str | None
    action: str
    reason: str | None
    published_at: datetime | None
    who: str
    state: ActionState
    message: str


class OrderActions(_Answer):
    number: str
    actions: list[ActionAnswer]


class ActionList(_Answer):
    actions: list[ActionAnswer]


CUSTOMER = _answer("CustomerAnswer", "A customer.", **_fields_of(Customer), version=int)
CUSTOMER_PAGE = _page("CustomerPage", "customers", CUSTOMER)
PRODUCT = _answer(
    "ProductAnswer", "A product with its list prices.", **_fields_of(Product, without={"placeholder"}), version=int
)
PRODUCT_PAGE = _page("ProductPage", "products", PRODUCT)


class ReturnedLineAnswer(_Answer):
    """Quantities of a line in a return: requested >= received >= restocked + written_off."""

    line: int
    sku: str
    requested: Decimal
    received: Decimal
    restocked: Decimal
    written_off: Decimal


class ReturnAnswer(_Answer):
    """A return of an order."""

    key: str
    order: str
    return_number: int
    status: ReturnStatus
    reason: ReturnReason
    resolution: Resolution
    carrier: str | None
    tracking_number: str | None
    requested_on: date | None
    lines: list[ReturnedLineAnswer]


class InvoiceAnswer(_Answer):
    number: str
    issued_at: datetime
    currency: str
    amount: Decimal


class InvoiceList(_Answer):
    """The invoices of an order."""

    invoices: list[InvoiceAnswer]


INVOICE = InvoiceView

MESSAGE = _answer(
    "MessageAnswer", "A message to a customer, without address and text.", **_fields_of(Notification, without={"key"})
)
MESSAGES = _answer("MessageList", "Messages of an order.", messages=list[MESSAGE])  # type: ignore[valid-type]
MESSAGE_PAGE = _page("MessagePage", "messages", MESSAGE, int | None)


class RetriedMessages(_Answer):
    """The IDs of messages that are due again; `left` are the others that were named."""

    retried: list[int]
    left: list[int]


class DiscardedMessages(_Answer):
    """The IDs of messages that are given up; `left` are the others that were named."""

    discarded: list[int]
    left: list[int]


CONFLICT = _answer("ConflictAnswer", Conflict.__doc__ or "", **_fields_of(Conflict))
CONFLICT_PAGE = _page("ConflictPage", "conflicts", CONFLICT, int | None)
RESOLVED = _answer(
    "ResolvedConflict",
    "The conflict as it is resolved, and the IDs of others that the same rule has resolved.",
    **_fields_of(Conflict),
    also_resolved=list[int],
)
RULE = _answer("ConflictRuleAnswer", ConflictRule.__doc__ or "", **_fields_of(ConflictRule))
RULES = _answer("ConflictRuleList", "Answers that are kept.", rules=list[RULE])  # type: ignore[valid-type]


class RemovedRule(_Answer):
    """The field that is asked about again: `Account.Phone`."""

    removed: str


class ParkedRecord(_Answer):
    """A record of the org that could not be applied: why, and what to do."""

    sobject: str
    record_id: str
    seen_at: datetime
    attempts: int
    error: str | None
    fix: str | None
    source: Source


class ParkedList(_Answer):
    """Parked records, how many `more` there are than listed, and how many are `due` to be read."""

    parked: list[ParkedRecord]
    more: int
    due: int


class ReplayedRecords(_Answer):
    """How many records are due again."""

    replayed: int


class StockAnswer(_Answer):
    """What a warehouse has of a product; `available` is what is not reserved, `since` the day of the oldest arrival."""

    sku: str
    warehouse: str
    on_hand: Decimal
    reserved: Decimal
    available: Decimal
    since: date | None


class StockList(_Answer):
    stock: list[StockAnswer]


class StockCount(_Answer):
    """How many products were counted; orders that gave stock up, that are short, and that got some."""

    counted: int
    reallocated: list[str]
    short: list[str]
    served: list[str]


class PickList(_Answer):
    """What to pick, the most urgent order first."""

    picks: list[Pick]


BACKORDER_LINE = _answer(
    "BackorderLineAnswer", BackorderLine.__doc__ or "", **_fields_of(BackorderLine, without={"sku"})
)
BACKORDER = _answer(
    "BackorderAnswer",
    Backorder.__doc__ or "",
    **_fields_of(Backorder, without={"waiting"}),
    waiting=list[BACKORDER_LINE],  # type: ignore[valid-type]
)
BACKORDER_PAGE = _page("BackorderPage", "back_orders", BACKORDER)


class HoldList(_Answer):
    """Orders on hold, the oldest hold first."""

    holds: list[OrderHold]


class Report(_Answer):
    """A metric of a period: its columns, and a row for each bar."""

    name: str
    about: str
    columns: list[str]
    rows: list[dict[str, object]]
