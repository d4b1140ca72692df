"""Makes an order of ours from one of the org, or says why that is not possible and what to do. PURE."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from connector.inbound.adoption.obstacle import ObstacleError
from connector.inbound.adoption.order_values import price_of_line, read_header
from connector.inbound.adoption.references import (
    AdoptionContext,
    FoundReferences,
    KnownEntities,
    ReferenceFinder,
    make_link,
)
from connector.inbound.adoption.remote_order import RemoteOrder, Row
from connector.inbound.adoption.rule import AdoptionRule
from connector.mapping.backward import UnreadableValueError
from connector.model.change import EntityKind
from connector.model.order import LineInput, OrderInput
from connector.model.order_header import OrderHeader
from connector.model.record import Link

CHANNEL = "salesforce"
_NOON = time(12, tzinfo=UTC)
"""The same day in nearly every time zone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Adoption:
    """An order to be placed here, the links of it and its lines, and what it refers to and is new here."""

    remote: RemoteOrder
    order: OrderInput
    links: tuple[Link, ...]
    found: FoundReferences

    @property
    def new_references(self) -> list[Link]:
        """The links of accounts and products that had none."""
        return [link for link in self.found.links if link.entity in {EntityKind.CUSTOMER, EntityKind.PRODUCT}]

    @property
    def new_entities(self) -> list[Link]:
        """The links of the order itself, and of the customer and the products that are new here."""
        new = {*self.found.customers, *self.found.products}
        return [self.links[0], *(link for link in self.new_references if link.key in new)]


class AdoptionPlanner:
    """Plans the adoption of one order at a time."""

    def __init__(self, context: AdoptionContext, rule: AdoptionRule) -> None:
        self.context = context
        self.rule = rule
        self._receivers = context.receivers

    def numbers_of(self, remote: RemoteOrder) -> list[str]:
        """Numbers for the order here, the preferred one first."""
        prefix = self.context.settings.adopt_prefix
        return [f"{prefix}{remote.row['OrderNumber']}", f"{prefix}{remote.id}"]

    def plan(self, remote: RemoteOrder, known: KnownEntities) -> Adoption:
        """Raises ObstacleError if the order cannot become one of ours."""
        number = next((item for item in self.numbers_of(remote) if item not in known.numbers), None)
        if number is None:
            raise ObstacleError(
                f"There is an order {self.numbers_of(remote)[0]} already in the order system.",
                "Set CONNECTOR_INBOUND__ADOPT_PREFIX to a prefix that no other order has.",
            )
        finder = ReferenceFinder(self.context, known)
        customer = finder.customer(remote)
        currency = str(remote.row.get("CurrencyIsoCode") or self.context.currency)
        book = str(remote.row.get("Pricebook2Id"))
        lines = tuple(_line(number, row, currency, book, finder) for number, row in enumerate(remote.lines, start=1))
        if not lines:
            raise ObstacleError("The order has no order products.", "Add at least one in Salesforce.")
        try:
            values = read_header(self._receivers.named("order"), remote.row)
        except UnreadableValueError as error:
            raise ObstacleError(f"{error}.", "Correct the value in Salesforce, or the mapping.") from error
        header = OrderHeader(
            number=number, placed_at=self._placed_at(remote.row), currency=currency, channel=CHANNEL, **values
        )
        receiver = self._receivers.named("line")
        rows = zip(lines, remote.lines, strict=True)
        return Adoption(
            remote=remote,
            order=OrderInput(header=header, customer=customer.number, lines=lines),
            links=(
                make_link(self._receivers.named("order"), number, remote.row),
                *(make_link(receiver, f"{number}-{line.number}", row) for line, row in rows),
            ),
            found=finder.found,
        )

    def _placed_at(self, row: Row) -> datetime:
        """When the order was created, if that is the day that it has as its start; else noon of that day."""
        day = date.fromisoformat(str(row["EffectiveDate"])[:10])
        created = datetime.fromisoformat(str(row["CreatedDate"])).astimezone(UTC)
        return created if self._day_of(created) == day else datetime.combine(day, _NOON)

    def _day_of(self, moment: datetime) -> Any:
        """The day that the mapping makes of a moment."""
        spec = self._receivers.named("order").fields.get("EffectiveDate")
        value: Any = moment
        for transform in () if spec is None else spec.transforms:
            value = transform.forward(value)
        return value.date() if isinstance(value, datetime) else value


def _line(number: int, row: Row, currency: str, book: str, finder: ReferenceFinder) -> LineInput:
    label = f"Line {number}"
    product = finder.product(row, label, currency, book)
    quantity = Decimal(str(row.get("Quantity") or 0))
    if quantity <= 0:
        raise ObstacleError(f"{label}: the quantity must be more than 0.", "Correct it in Salesforce.")
    price, discount = price_of_line(row, label, currency)
    return LineInput(number=number, sku=product.sku, quantity=quantity, unit_price=price, discount=discount)
