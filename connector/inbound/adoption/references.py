"""Finds the customer and the products of an order of the org, or makes them of its records. PURE.

An account is found by its link, else by our key on it; never by its name. A product is found by its link, else by its
key, else, if the setting says so, by its ProductCode. What is found by a key is linked. What is not found is created
here if the setting says so, and linked too: the next push writes its key. By the same setting a product without a price
in the currency of the order gets the list price that the org has added.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from connector.inbound.adoption.obstacle import ObstacleError
from connector.inbound.adoption.order_values import read_values
from connector.inbound.adoption.remote_order import RemoteOrder, Row, snapshot_of
from connector.inbound.receivers import Receivers
from connector.mapping.backward import UnreadableValueError
from connector.mapping.receiver import RecordReceiver
from connector.model.change import EntityKind
from connector.model.customer import Customer
from connector.model.keys import is_normal
from connector.model.product import Price, Product
from connector.model.record import IS_PERSON, FieldValue, Link
from connector.model.writable import WRITABLE
from connector.settings.inbound import AdoptCustomers, AdoptionSettings, AdoptProducts
from connector.settings.webhooks import WebhookSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class AdoptionContext:
    """What adoption needs to know: the settings, the mappings, the currency of an org that has only one, and the
    standard price book."""

    settings: AdoptionSettings
    receivers: Receivers
    currency: str
    price_book: str
    multi_currency: bool = False
    webhooks: WebhookSettings = field(default_factory=WebhookSettings)
    explain: bool = False
    """Whether the report lists every change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownEntities:
    """What is here of the accounts and products that orders of the org refer to: links by record ID, entities and their
    own links by key, and the order numbers that are taken."""

    links: Mapping[str, Link] = field(default_factory=dict)
    customers: Mapping[str, Customer] = field(default_factory=dict)
    products: Mapping[str, Product] = field(default_factory=dict)
    own_links: Mapping[tuple[str, str], Link] = field(default_factory=dict)
    numbers: Set[str] = frozenset()


@dataclass(kw_only=True)
class FoundReferences:
    """What one order has added: links, entities that are new here, and known products with a further price, by key."""

    links: list[Link] = field(default_factory=list)
    customers: dict[str, Customer] = field(default_factory=dict)
    products: dict[str, Product] = field(default_factory=dict)
    priced: dict[str, Product] = field(default_factory=dict)


class ReferenceFinder:
    """Finds what one order refers to; `found` collects what is new."""

    def __init__(self, context: AdoptionContext, known: KnownEntities) -> None:
        self._context = context
        self._known = known
        self.found = FoundReferences()

    def customer(self, remote: RemoteOrder) -> Customer:
        """Raises ObstacleError if the account is no customer here, and none may be created."""
        account, record, known = remote.account, remote.account_id, self._known
        link, key = known.links.get(record), account.get(_account_key(self._context))
        if link is not None and link.entity == EntityKind.CUSTOMER and link.key in known.customers:
            return known.customers[link.key]
        customer = None if link is not None or key is None else known.customers.get(str(key))
        receiver = self._context.receivers.of_account(person=account.get(IS_PERSON) is True)
        if customer is None and link is None and self._context.settings.adopt_customers is not AdoptCustomers.LINK:
            customer = self._new_customer(remote, receiver)
        if customer is None:
            raise ObstacleError(
                "The account of the order is not known as a customer in the order system.",
                f"Link it: `connector link customer NUMBER {record}`.",
            )
        self._refuse_other_record(EntityKind.CUSTOMER, customer.number, "account", record)
        more: Mapping[str, FieldValue] = {IS_PERSON: account[IS_PERSON]} if IS_PERSON in account else {}
        self.found.links.append(make_link(receiver, customer.number, {**account, "Id": record}, more))
        return customer

    def _new_customer(self, remote: RemoteOrder, receiver: RecordReceiver) -> Customer | None:
        """A customer with the values of the account; None if the account has a key that cannot be one here."""
        numbers = customer_numbers(self._context, remote.account_id, remote.account)
        number = next((item for item in numbers if item not in self._known.customers), None)
        if number is None:
            return None
        customer = self.found.customers[number] = customer_from(receiver, number, remote.account)
        return customer

    def product(self, line: Row, label: str, currency: str, book: str) -> Product:
        """The product of a line. Raises ObstacleError if it is unknown here, and none may be created, or if it has no
        price in the currency here."""
        record, fields = line.get("Product2Id"), line.get("Product2") or {}
        if record is None:
            raise ObstacleError(f"{label} has no product.", "Choose one in Salesforce.")
        product = self._find_product(str(record), fields)
        if product is None and str(record) not in self._known.links:
            product = self._new_product(line, label, currency, book)
        if product is None:
            code = f" {fields['ProductCode']}" if fields.get("ProductCode") else ""
            raise ObstacleError(
                f"{label} has a product{code} that is not known in the order system.",
                f"Import the product, or link it: `connector link product SKU {record}`.",
            )
        product = self.found.priced.get(product.sku, product)
        if not _has_price(product, currency):
            product = self._with_listed_price(product, line, currency, book)
        if not _has_price(product, currency):
            raise ObstacleError(
                f"{label}: product {product.sku} has no price in {currency} in the order system.",
                f"Give product {product.sku} a {currency} price.",
            )
        return product

    def _find_product(self, record: str, fields: Row) -> Product | None:
        known, new = self._known, self.found
        link = known.links.get(record) or next((item for item in new.links if item.salesforce_id == record), None)
        if link is not None:
            return known.products.get(link.key) or new.products.get(link.key)
        sku = next((sku for sku in _skus_of(self._context, fields) if sku in known.products), None)
        if sku is None:
            return None
        self._refuse_other_record(EntityKind.PRODUCT, sku, "product", record)
        new.links.append(make_link(self._context.receivers.named("product"), sku, {**fields, "Id": record}))
        return known.products[sku]

    def _new_product(self, line: Row, label: str, currency: str, book: str) -> Product | None:
        """A product with the list price of the line, linked with its price book entry. Only an order in the standard
        price book tells the list price."""
        if not self._creates_products:
            return None
        if book != self._context.price_book or line.get("ListPrice") is None:
            raise ObstacleError(
                f"{label} has a new product, whose list price only an order in the standard price book tells.",
                "Import the product with its price, or change the price book of the order.",
            )
        receiver, fields = self._context.receivers.named("product"), line["Product2"]
        taken = {*self._known.products, *self.found.products}
        sku = next(sku for sku in new_skus(self._context, str(line["Product2Id"]), fields) if sku not in taken)
        listed = Decimal(str(line["ListPrice"]))
        product = product_from(receiver, sku, fields, (Price(currency=currency, unit_price=listed),))
        self.found.products[sku] = product
        self.found.links += [
            make_link(receiver, sku, {**fields, "Id": line["Product2Id"]}),
            price_link(f"{sku}|{currency}", str(line["PricebookEntryId"]), listed),
        ]
        return product

    @property
    def _creates_products(self) -> bool:
        return self._context.settings.adopt_products in {AdoptProducts.CREATE, AdoptProducts.ALL}

    def _with_listed_price(self, product: Product, line: Row, currency: str, book: str) -> Product:
        """The product with the list price of the line, which somebody added in the org, if prices come from there."""
        if not self._creates_products or book != self._context.price_book or line.get("ListPrice") is None:
            return product
        listed = Decimal(str(line["ListPrice"]))
        priced = replace(product, prices=(*product.prices, Price(currency=currency, unit_price=listed)))
        self.found.priced[product.sku] = priced
        self.found.links.append(price_link(f"{product.sku}|{currency}", str(line["PricebookEntryId"]), listed))
        return priced

    def _refuse_other_record(self, kind: EntityKind, key: str, word: str, record: str) -> None:
        own = self._known.own_links.get((kind, key))
        if own is not None and own.salesforce_id != record:
            raise ObstacleError(
                f"A {word} of the order has the key of {kind} {key}, but another {word} in Salesforce is theirs."
                if kind is EntityKind.CUSTOMER
                else f"A {word} of the order has the key of {kind} {key}, but another {word} in Salesforce is its own.",
                f"Merge {own.sobject} {record} and {own.salesforce_id}, or correct the key.",
            )


def with_found(known: KnownEntities, number: str, found: FoundReferences) -> KnownEntities:
    """What is known to the next order: what the one before has added, and its number."""
    links = [link for link in found.links if not link.is_part]
    return replace(
        known,
        links={**known.links, **{link.salesforce_id: link for link in links}},
        own_links={**known.own_links, **{(link.entity, link.key): link for link in links}},
        customers={**known.customers, **found.customers},
        products={**known.products, **found.products, **found.priced},
        numbers={*known.numbers, number},
    )


def _has_price(product: Product, currency: str) -> bool:
    return any(price.currency == currency for price in product.prices)


def keys_of(context: AdoptionContext, remote: RemoteOrder) -> Iterator[tuple[EntityKind, str]]:
    """The keys by which the account and the products may be found here, and those that new ones may get."""
    for number in customer_numbers(context, remote.account_id, remote.account):
        yield EntityKind.CUSTOMER, number
    for line in remote.lines:
        for sku in new_skus(context, str(line.get("Product2Id")), line.get("Product2") or {}):
            yield EntityKind.PRODUCT, sku


def customer_numbers(context: AdoptionContext, record: str, account: Row) -> list[str]:
    """The key of an account; without one, what a new customer may be called, the preferred number first."""
    prefix = context.settings.adopt_prefix
    if key := account.get(_account_key(context)):
        return _normal([key])
    own = account.get("AccountNumber")
    return [*_normal([f"{prefix}{own}"] if own else []), f"{prefix}{record}"]


def customer_from(receiver: RecordReceiver, number: str, account: Row) -> Customer:
    """A new customer with the values of an account. Raises ObstacleError if one cannot be read."""
    return Customer.named_by_order(number=number, **_values(receiver, account, WRITABLE[Customer]))


def product_from(receiver: RecordReceiver, sku: str, fields: Row, prices: tuple[Price, ...]) -> Product:
    """A new product with the values of its record. Raises ObstacleError if one cannot be read."""
    return Product(sku=sku, prices=prices, **{"name": sku, **_values(receiver, fields, WRITABLE[Product])})


def price_link(key: str, record: str, listed: Decimal) -> Link:
    """The link of a list price to its price book entry."""
    snapshot: dict[str, FieldValue] = {"UnitPrice": listed, "IsActive": True}
    return Link(entity="price", key=key, sobject="PricebookEntry", salesforce_id=record, snapshot=snapshot)


def make_link(receiver: RecordReceiver, key: str, row: Row, more: Mapping[str, FieldValue] | None = None) -> Link:
    """The link of an entity to the record that it was made of, with what the org has in the mapped fields."""
    return Link(
        entity=receiver.spec.entity,
        key=key,
        sobject=receiver.sobject,
        salesforce_id=str(row["Id"]),
        snapshot={**snapshot_of(receiver, row), **(more or {})},
    )


def _account_key(context: AdoptionContext) -> str:
    return context.receivers.named("customer").spec.external_id


def _skus_of(context: AdoptionContext, fields: Row) -> list[str]:
    names = [context.receivers.named("product").spec.external_id]
    if context.settings.adopt_products is not AdoptProducts.LINK:
        names.append("ProductCode")
    return _normal([fields[name] for name in names if fields.get(name)])


def new_skus(context: AdoptionContext, record: str, fields: Row) -> list[str]:
    """What a new product may be called, the preferred SKU first."""
    return [*_skus_of(context, fields), f"{context.settings.adopt_prefix}{record}"]


def _normal(keys: Iterable[object]) -> list[str]:
    return [key for key in dict.fromkeys(map(str, keys)) if is_normal(key)]


def _values(receiver: RecordReceiver, row: Row, attributes: Set[str]) -> dict[str, Any]:
    try:
        return read_values(receiver, row, attributes)
    except UnreadableValueError as error:
        raise ObstacleError(f"{error}.", "Correct the value in Salesforce, or the mapping.") from error
