"""Lines of our orders that are changed or added in the org: a change of the order here, or restored there.

The mapping says that quantity and price belong to us, because they change by a command: so does a change in the org. A
changed value is merged like a field that was changed last by whoever changed it last. An added line gets the next free
number. What the order does not allow, or the setting does not, is restored: the value is sent again, and an added line
is removed in the org, because its link names a line that is not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from connector.errors import CommandError
from connector.inbound.adoption.obstacle import ObstacleError
from connector.inbound.adoption.order_values import price_of_line
from connector.inbound.adoption.remote_order import snapshot_of
from connector.inbound.adoption.rule import LINE
from connector.inbound.batch_writes import BatchWrites
from connector.inbound.loaded_state import LoadedState
from connector.inbound.receivers import Receivers
from connector.inbound.rep_messages import RepMessages
from connector.mapping.line_fields import edited_fields
from connector.mapping.receiver import RecordReceiver
from connector.mapping.spec import Owner
from connector.model.change import EntityKind
from connector.model.events import LineEdit
from connector.model.inbound_change import RemoteRecord
from connector.model.order import Line, Order
from connector.model.product import Product
from connector.model.record import FieldValue, Link
from connector.model.record_change import Effect
from connector.settings.inbound import ChangedLines

FIELDS = ("OrderId", "Product2Id", "PricebookEntryId", "Quantity", "UnitPrice", "ListPrice")
"""What is read of a line besides its mapped fields."""
_TOLD_OF_A_NEW_LINE = ("Product2Id", "Quantity", "UnitPrice")


class LineChanges:
    """The changed and added lines of one transaction."""

    def __init__(
        self,
        policy: ChangedLines,
        receivers: Receivers,
        state: LoadedState,
        writes: BatchWrites,
        messages: RepMessages,
    ) -> None:
        self._policy = policy
        self._receivers = receivers
        self._state = state
        self._writes = writes
        self._messages = messages
        self._numbers: dict[str, int] = {}
        """The highest line number of each order, here or of a link."""

    def owner_of(self, receiver: RecordReceiver, name: str) -> Owner:
        """The owner of a field: of a quantity or price, who changed it last."""
        return Owner.NEWEST if self.is_edited(receiver, name) else receiver.owner(name)

    def is_edited(self, receiver: RecordReceiver, name: str) -> bool:
        """Whether a change of this field in the org is a change of the line here."""
        return name in edited_fields(receiver.spec, self._policy)

    def edit(self, link: Link, values: Mapping[str, FieldValue]) -> None:
        """Ask of the order that a line gets these values of the org. Raises CommandError for a price that is none."""
        order, line = self._state.owner(link), self._state.entity(link)
        assert isinstance(order, Order)
        assert isinstance(line, Line)
        quantity = Decimal(str(values["Quantity"])) if "Quantity" in values else line.quantity
        price, discount = line.unit_price, line.discount
        if "UnitPrice" in values:
            price, discount = _price(order, {"UnitPrice": values["UnitPrice"], "ListPrice": price}, line.number)
        edit = LineEdit(sku=line.product.sku, quantity=quantity, unit_price=price, discount=discount)
        self._writes.edit_line(order.number, line.number, edit)

    def may_be_added(self, record: RemoteRecord) -> bool:
        """Whether a record is a line that has no key of ours."""
        keyless = not record.fields.get(self._line.spec.external_id) if record.sobject == LINE else False
        return keyless and not record.deleted and record.fields.get("OrderId") is not None

    def order_of(self, record: RemoteRecord) -> Link | None:
        """The link of the order to which a record without a link was added as a line; None for any other record."""
        if not self.may_be_added(record):
            return None
        link = self._state.links.get(str(record.fields.get("OrderId")))
        is_live = link is not None and (link.entity, link.key) not in self._state.deleted
        return link if is_live and link is not None and isinstance(self._state.owner(link), Order) else None

    def add(self, record: RemoteRecord, order_link: Link, *, forbidden: str | None) -> None:
        """Ask of the order that it gets this line too. `forbidden` says why it may not: then the push removes it."""
        order = self._state.owner(order_link)
        assert isinstance(order, Order)
        detail = {"record": record.id, "by": record.author, "at": record.modified_at}
        if forbidden is not None or self._policy is ChangedLines.RESTORE:
            self._writes.put_link(self._new_link(record, order))
            self._writes.make_due(order_link, order)
            self._writes.report.restored[LINE] += 1
            self._writes.report.refused += forbidden is not None
            because = {} if forbidden is None else {"because": forbidden}
            reason = forbidden or "Lines of this order are changed in the order system."
            self._messages.tell_removed(record, order_link, reason)
            self._writes.journal(order_link.owner, "line removed", detail | because)
            self._writes.explain(Effect.REFUSED, record, order_link, why=reason)
            return
        product = self._product(record)
        if product is None or not any(price.currency == order.currency for price in product.prices):
            what = "is not known" if product is None else f"{product.sku} has no price in {order.currency}"
            what += " in the order system"
            self._messages.tell_parked(record, order_link, f"An added line was not taken over: its product {what}.")
            error = f"A line was added to order {order.number}, but its product {what}."
            fix = f"`connector link product SKU {record.fields.get('Product2Id')}`, or give it a price; then"
            self._writes.park(record, error, f"{fix} `connector inbox replay`.", link=order_link)
            return
        price, discount = _price(order, record.fields, self._highest(order) + 1)
        link = self._new_link(record, order)
        number = self._numbers[order.number]
        edit = LineEdit(
            sku=product.sku,
            quantity=Decimal(str(record.fields.get("Quantity") or 0)),
            unit_price=price,
            discount=discount,
        )
        self._writes.edit_line(order.number, number, edit)
        self._writes.put_link(link)
        self._messages.settle(record, order_link, taken=True)
        self._writes.report.taken[LINE] += 1
        self._writes.journal(order_link.owner, "line added", detail | {"line": number})
        told = [name for name in _TOLD_OF_A_NEW_LINE if record.fields.get(name) is not None]
        self._writes.notice_of_fields(record, link, told, what="added")
        self._writes.explain(
            Effect.TAKEN, record, link, why=f"{edit.quantity.normalize():f} x {edit.sku} is added to the order"
        )

    @property
    def _line(self) -> RecordReceiver:
        return self._receivers.named("line")

    def _product(self, record: RemoteRecord) -> Product | None:
        link = self._state.links.get(str(record.fields.get("Product2Id")))
        if link is None or link.entity != EntityKind.PRODUCT:
            return None
        product = self._state.entity(link)
        return product if isinstance(product, Product) else None

    def _highest(self, order: Order) -> int:
        linked = self._state.line_numbers.get(order.number, ())
        here = [line.number for line in order.lines]
        return max(self._numbers.get(order.number, 0), *here, *linked, 0)

    def _new_link(self, record: RemoteRecord, order: Order) -> Link:
        number = self._numbers[order.number] = self._highest(order) + 1
        return Link(
            entity=self._line.spec.entity,
            key=f"{order.number}-{number}",
            sobject=record.sobject,
            salesforce_id=record.id,
            snapshot=snapshot_of(self._line, record.fields),
        )


def _price(order: Order, row: Mapping[str, Any], number: int) -> tuple[Decimal, Decimal]:
    try:
        return price_of_line(row, f"Line {number}", order.currency)
    except ObstacleError as error:
        raise CommandError(error.reason, hint=error.fix, field=f"line_edits.{number}", rule="price") from error
