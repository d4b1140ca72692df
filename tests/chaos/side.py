"""The two sides as people use them: a clerk edits here, a rep in the org. Every edit goes into the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from connector.errors import CommandError
from connector.localorg.org import Org
from connector.localorg.recycle_bin import undelete
from connector.mapping.spec import Owner
from connector.model.conflict import Conflict, ConflictState
from connector.model.customer import Customer
from connector.model.events import ChangeOrder, LineEdit
from connector.model.order import Line, OrderInput
from connector.orders.command import OrderCommand
from connector.service import Services
from connector.store import conflicts, customers, orders
from tests.chaos.clock import SharedTime
from tests.chaos.ledger import Ledger, Place, Side, Write

CUSTOMER_FIELDS = {
    "Phone": ("phone", Owner.NEWEST),
    "BillingPostalCode": ("postal_code", Owner.NEWEST),
    "BillingCity": ("city", Owner.ASK),
    "Contact_Email__c": ("email", Owner.SALESFORCE),
    "BillingStreet": ("street", Owner.LOCAL),
}
ORDER_FIELDS = {
    "PoNumber": ("po_number", Owner.NEWEST),
    "Ship_To_Name__c": ("ship_to_name", Owner.NEWEST),
    "Description": ("notes", Owner.ASK),
    "Delivery_Note__c": ("delivery_note", Owner.SALESFORCE),
    "ShippingCity": ("ship_to_city", Owner.LOCAL),
}
LINE_FIELDS = {"Quantity": ("quantity", Owner.NEWEST)}
"""Ours by the mapping; a rep may change it all the same, and the later change stands."""
FIELDS = {"Account": CUSTOMER_FIELDS, "Order": ORDER_FIELDS, "OrderItem": LINE_FIELDS}
OWNERS: Mapping[str, Owner] = {name: owner for fields in FIELDS.values() for name, (_, owner) in fields.items()}


def new_value(name: str, number: int) -> str:
    """A value that no other edit has."""
    if name in LINE_FIELDS:
        return str(100 + number)
    return f"v{number}@shop.example" if name == "Contact_Email__c" else f"v{number}"


@dataclass
class LateWrite:
    """An edit by a rep that the org has stamped and not committed."""

    sobject: str
    key: str
    name: str
    value: str
    at: datetime


class Sides:
    """Reads and edits on both sides."""

    def __init__(self, org: Org, time: SharedTime, rep: str, keys: Mapping[str, Sequence[str]]) -> None:
        """`keys`: those of the customers and orders, by object."""
        self._org = org
        self._keys = keys
        self._time = time
        self._rep = rep
        self.ledger = Ledger(owners=OWNERS)

    async def edit_here(self, services: Services, place: Place, value: str) -> None:
        sobject, key, name = _parts(place)
        attribute = FIELDS[sobject][name][0]
        if place not in (here := await self.read_here(services)):
            return  # not created yet
        if sobject == "Account":
            async with services.store.transaction() as uow:
                await customers.versions(uow.connection, [key], lock=True)
                [customer] = await customers.load(uow.connection, [key])
                saw = getattr(customer, attribute)
                await customers.save(uow, [replace(customer, **{attribute: value})])
        else:
            saw, order = here[place], key
            event = ChangeOrder(details={attribute: value})
            if sobject == "OrderItem":
                order, _, number = key.rpartition("-")
                edit = LineEdit(sku="P-1", quantity=Decimal(value), unit_price=Decimal(14))
                event = ChangeOrder(line_edits={int(number): edit})
            await services.orders.execute(OrderCommand(number=order, event=event), actor="clerk")
        self.ledger.note(place, Write(side=Side.LOCAL, value=value, at=self._time.now(), saw=saw))

    def edit_in_org(self, place: Place, value: str, *, in_call: bool = False) -> None:
        self._write_in_org(place, value, at=self._time.now(), in_call=in_call)

    def begin_late(self, place: Place, value: str) -> LateWrite:
        """Stamp an edit now; `commit_late` makes it visible."""
        sobject, key, name = _parts(place)
        return LateWrite(sobject, key, name, value, self._time.now())

    def commit_late(self, late: LateWrite) -> None:
        self._write_in_org((late.key, late.name), late.value, at=late.at, in_call=False)

    def _write_in_org(self, place: Place, value: str, *, at: datetime, in_call: bool) -> None:
        sobject, key, name = _parts(place)
        row = self._row(sobject, key, name)
        if row is None:
            return  # not in the org yet
        record_id, saw = row
        dml = self._org.dml
        with dml.acting_as(self._rep), dml.at_time(at):
            [outcome] = dml.update(dml.plan(sobject), [(record_id, {name: value})])
        assert outcome.error is None, outcome
        self.ledger.note(place, Write(side=Side.ORG, value=value, at=at, saw=saw, in_call=in_call))

    def delete_line(self, key: str) -> bool:
        """A rep deletes a line; the policy creates it again, with the quantity here. Whether it was there."""
        row = self._row("OrderItem", key, "Quantity")
        if row is None:
            return False
        with self._org.dml.acting_as(self._rep):
            [outcome] = self._org.dml.delete([row[0]])
        assert outcome.error is None, outcome
        self.ledger.forget((key, "Quantity"))
        return True

    def delete_order(self, key: str) -> str | None:
        """A rep deletes an order, and its lines along with it; its ID, if it was there."""
        row = self._row("Order", key, "Id")
        if row is None:
            return None
        with self._org.dml.acting_as(self._rep):
            [outcome] = self._org.dml.delete([row[0]])
        assert outcome.error is None, outcome
        for line, name in self.places:
            if line.startswith(f"{key}-"):
                self.ledger.forget((line, name))
        return row[0]

    def undelete_order(self, key: str, record_id: str) -> None:
        """The rep takes it out of the recycle bin; the policy creates its lines again."""
        with self._org.dml.acting_as(self._rep):
            [outcome] = undelete(self._org.dml, [record_id])
        assert outcome.error is None, outcome
        self.ledger.touch(key, self._time.now())

    async def create(self, services: Services, customer: str, order: OrderInput) -> None:
        """A clerk enters a customer with a first order."""
        async with services.store.transaction() as uow:
            await customers.save(uow, [Customer(number=customer, name=f"Customer {customer}")])
            await orders.save(uow, [order])

    def _row(self, sobject: str, key: str, name: str) -> tuple[str, str | None] | None:
        sql = f'SELECT "Id", "{name}" FROM "{sobject}" WHERE "External_Key__c" = ? AND "IsDeleted" = 0'
        row = self._org.storage.connection.execute(sql, (key,)).fetchone()
        return None if row is None else (str(row[0]), _as_text(name, row[1]))

    @property
    def places(self) -> list[Place]:
        return [(key, name) for sobject, keys in self._keys.items() for key in keys for name in FIELDS[sobject]]

    def read_org(self) -> dict[Place, str | None]:
        values: dict[Place, str | None] = {}
        for place in self.places:
            sobject, key, name = _parts(place)
            row = self._row(sobject, key, name)
            values[place] = None if row is None else row[1]
        return values

    async def read_here(self, services: Services) -> dict[Place, str | None]:
        async with services.store.reader() as connection:
            some_customers = await customers.load(connection, self._keys["Account"])
            some_orders = await orders.load(connection, self._keys["Order"])
        entities: list[tuple[str, Any]] = [(item.number, item) for item in some_customers]
        entities += [(item.number, item.header) for item in some_orders]
        entities += [(line.key, line) for item in some_orders for line in item.lines]
        return {
            (key, name): _as_text(name, getattr(entity, attribute))
            for key, entity in entities
            for name, (attribute, _) in _fields_of(entity).items()
        }

    async def open_conflicts(self, services: Services) -> list[Conflict]:
        async with services.store.reader() as connection:
            return await conflicts.list_page(connection, limit=1000)

    async def resolve(self, services: Services, conflict: Conflict, choice: ConflictState) -> None:
        place = (conflict.key, conflict.field)
        before = (await self.read_here(services))[place]
        try:
            await services.conflict_resolver().resolve(conflict.id, choice, actor="clerk")
        except CommandError:
            return  # it has been closed meanwhile
        chosen, other = (before, conflict.remote) if choice is ConflictState.LOCAL else (conflict.remote, before)
        self.ledger.note_resolution(place, _text(chosen), _text(other), self._time.now())


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _parts(place: Place) -> tuple[str, str, str]:
    key, name = place
    return next(sobject for sobject, fields in FIELDS.items() if name in fields), key, name


def _fields_of(entity: object) -> Mapping[str, tuple[str, Owner]]:
    if isinstance(entity, Customer):
        return CUSTOMER_FIELDS
    return LINE_FIELDS if isinstance(entity, Line) else ORDER_FIELDS


def _as_text(name: str, value: Any) -> str | None:
    return str(int(Decimal(str(value)))) if name in LINE_FIELDS and value is not None else value
