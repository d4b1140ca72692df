"""Makes an order of ours from one of the org, or says why that is not possible and what to do. PURE.

An account is found by its link, else by our key on it; never by its name. A product is found by its link, else by its
key, else, if the setting says so, by its ProductCode. Nothing is created beside the order itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from connector.inbound.adoption.obstacle import ObstacleError
from connector.inbound.adoption.order_values import price_of_line, read_header
from connector.inbound.adoption.remote_order import RemoteOrder, Row, snapshot_of
from connector.inbound.receivers import Receivers
from connector.mapping.backward import UnreadableValueError
from connector.mapping.receiver import RecordReceiver
from connector.model.change import EntityKind
from connector.model.customer import Customer
from connector.model.order import LineInput, OrderInput
from connector.model.order_header import OrderHeader
from connector.model.product import Product
from connector.model.record import IS_PERSON, FieldValue, Link
from connector.policies import AdoptionSettings, AdoptProducts

CHANNEL = "salesforce"
_NOON = time(12, tzinfo=UTC)
"""The same day in nearly every time zone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdoptionContext:
    """What adoption needs to know: the settings, the mappings, and the currency of an org that has only one."""

    settings: AdoptionSettings
    receivers: Receivers
    currency: str


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownEntities:
    """What is here of the accounts and products that orders of the org refer to: links by record ID, entities and their
    own links by key, and the order numbers that are taken."""

    links: Mapping[str, Link] = field(default_factory=dict)
    customers: Mapping[str, Customer] = field(default_factory=dict)
    products: Mapping[str, Product] = field(default_factory=dict)
    own_links: Mapping[tuple[str, str], Link] = field(default_factory=dict)
    numbers: Set[str] = frozenset()

    def with_numbers(self, numbers: Set[str]) -> KnownEntities:
        return replace(self, numbers=frozenset(numbers))

    def with_links(self, links: Iterable[Link]) -> KnownEntities:
        """The same with links that the order before has found."""
        found = [link for link in links if not link.is_part]
        return replace(
            self,
            links={**self.links, **{link.salesforce_id: link for link in found}},
            own_links={**self.own_links, **{(link.entity, link.key): link for link in found}},
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Adoption:
    """An order to be placed here, and the links that are stored with it: its own, its lines', and those of an account
    and products that were found by their keys."""

    remote: RemoteOrder
    order: OrderInput
    links: tuple[Link, ...]

    @property
    def found_by_key(self) -> list[Link]:
        """The links of accounts and products that had none."""
        return [link for link in self.links if link.entity in {EntityKind.CUSTOMER, EntityKind.PRODUCT}]


class AdoptionPlanner:
    """Plans the adoption of one order at a time."""

    def __init__(self, context: AdoptionContext) -> None:
        self._settings = context.settings
        self._receivers = context.receivers
        self._currency = context.currency
        self._key = context.receivers.named("customer").spec.external_id

    def keys_of(self, remote: RemoteOrder) -> Iterator[tuple[EntityKind, str]]:
        """The keys by which the account and the products may be found here."""
        if key := remote.account.get(self._key):
            yield EntityKind.CUSTOMER, str(key)
        for line in remote.lines:
            for sku in self._skus_of(line.get("Product2") or {}):
                yield EntityKind.PRODUCT, sku

    def numbers_of(self, remote: RemoteOrder) -> list[str]:
        """Numbers for the order here, the preferred one first."""
        prefix = self._settings.adopt_prefix
        return [f"{prefix}{remote.row['OrderNumber']}", f"{prefix}{remote.id}"]

    def plan(self, remote: RemoteOrder, known: KnownEntities) -> Adoption:
        """Raises ObstacleError if the order cannot become one of ours."""
        number = next((item for item in self.numbers_of(remote) if item not in known.numbers), None)
        if number is None:
            raise ObstacleError(
                f"There is an order {self.numbers_of(remote)[0]} already in the order system.",
                "Set CONNECTOR_INBOUND__ADOPT_PREFIX to a prefix that no other order has.",
            )
        links: list[Link] = []
        customer = self._customer(remote, known, links)
        currency = str(remote.row.get("CurrencyIsoCode") or self._currency)
        lines = tuple(self._line(index, row, currency, known, links) for index, row in enumerate(remote.lines, start=1))
        if not lines:
            raise ObstacleError("The order has no order products.", "Add at least one in Salesforce.")
        own = self._receivers.named("order")
        links.append(_link(own, number, remote.row))
        links += [
            _link(self._receivers.named("line"), f"{number}-{line.number}", row)
            for line, row in zip(lines, remote.lines, strict=True)
        ]
        try:
            values = read_header(own, remote.row)
        except UnreadableValueError as error:
            raise ObstacleError(f"{error}.", "Correct the value in Salesforce, or the mapping.") from error
        header = OrderHeader(
            number=number, placed_at=self._placed_at(remote.row), currency=currency, channel=CHANNEL, **values
        )
        return Adoption(
            remote=remote, order=OrderInput(header=header, customer=customer.number, lines=lines), links=tuple(links)
        )

    def _customer(self, remote: RemoteOrder, known: KnownEntities, links: list[Link]) -> Customer:
        account, record = remote.account, remote.account_id
        link, key = known.links.get(record), account.get(self._key)
        if link is not None and link.entity == EntityKind.CUSTOMER and link.key in known.customers:
            return known.customers[link.key]
        customer = None if link is not None or key is None else known.customers.get(str(key))
        if customer is None:
            raise ObstacleError(
                "The account of the order is not known as a customer in the order system.",
                f"Link it: `connector link customer NUMBER {record}`.",
            )
        self._refuse_other_record(EntityKind.CUSTOMER, customer.number, "account", record, known)
        receiver = self._receivers.of_account(person=account.get(IS_PERSON) is True)
        more: Mapping[str, FieldValue] = {IS_PERSON: account[IS_PERSON]} if IS_PERSON in account else {}
        links.append(_link(receiver, customer.number, {**account, "Id": record}, more))
        return customer

    def _skus_of(self, row: Row) -> list[str]:
        names = [self._receivers.named("product").spec.external_id]
        if self._settings.adopt_products is AdoptProducts.PRODUCT_CODE:
            names.append("ProductCode")
        return list(dict.fromkeys(str(row[name]) for name in names if row.get(name)))

    def _product(self, row: Row, label: str, known: KnownEntities, links: list[Link]) -> Product:
        record, fields = row.get("Product2Id"), row.get("Product2") or {}
        if record is None:
            raise ObstacleError(f"{label} has no product.", "Choose one in Salesforce.")
        link = known.links.get(str(record)) or next((item for item in links if item.salesforce_id == record), None)
        if link is not None and link.key in known.products:
            return known.products[link.key]
        skus = [] if link is not None else self._skus_of(fields)
        product = next((known.products[sku] for sku in skus if sku in known.products), None)
        if product is None:
            code = f" {fields['ProductCode']}" if fields.get("ProductCode") else ""
            raise ObstacleError(
                f"{label} has a product{code} that is not known in the order system.",
                f"Import the product, or link it: `connector link product SKU {record}`.",
            )
        self._refuse_other_record(EntityKind.PRODUCT, product.sku, "product", str(record), known)
        links.append(_link(self._receivers.named("product"), product.sku, {**fields, "Id": record}))
        return product

    def _refuse_other_record(self, kind: EntityKind, key: str, word: str, record: str, known: KnownEntities) -> None:
        own = known.own_links.get((kind, key))
        if own is not None and own.salesforce_id != record:
            raise ObstacleError(
                f"The {word} of the order has the key of {kind} {key}, who has another {word} in Salesforce."
                if kind is EntityKind.CUSTOMER
                else f"A {word} of the order has the key of {kind} {key}, which has another {word} in Salesforce.",
                f"Merge {own.sobject} {record} and {own.salesforce_id}, or correct the key.",
            )

    def _line(self, number: int, row: Row, currency: str, known: KnownEntities, links: list[Link]) -> LineInput:
        label = f"Line {number}"
        product = self._product(row, label, known, links)
        if not any(price.currency == currency for price in product.prices):
            raise ObstacleError(
                f"{label}: product {product.sku} has no price in {currency} in the order system.",
                f"Give product {product.sku} a {currency} price.",
            )
        quantity = Decimal(str(row.get("Quantity") or 0))
        if quantity <= 0:
            raise ObstacleError(f"{label}: the quantity must be more than 0.", "Correct it in Salesforce.")
        price, discount = price_of_line(row, label, currency)
        return LineInput(number=number, sku=product.sku, quantity=quantity, unit_price=price, discount=discount)

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


def _link(receiver: RecordReceiver, key: str, row: Row, more: Mapping[str, FieldValue] = {}) -> Link:
    return Link(
        entity=receiver.spec.entity,
        key=key,
        sobject=receiver.sobject,
        salesforce_id=str(row["Id"]),
        snapshot={**snapshot_of(receiver, row), **more},
    )
