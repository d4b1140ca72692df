"""Compose notifications: recipient, content and attachments.

A notification is composed from the order as it is when it is sent, or from the invoice as it was issued.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from connector.model.actions import Action
from connector.model.events import EscalateHold, Event, Refund
from connector.model.holds import Hold
from connector.model.notification import MessageKind, Notification, NotificationRequest
from connector.model.order import Order
from connector.model.shipments import ZERO
from connector.model.stage import Stage
from connector.notifications.renderer import TemplateRenderer
from connector.notifications.transport.email import Attachment, Email, normalize_address
from connector.notifications.view import (
    HoldView,
    MessageView,
    build_view,
    canceled_items,
    return_parcel,
    shipment_parcel,
    unshipped_items,
)
from connector.orders.documents import invoice as invoice_form
from connector.orders.documents.invoice_pdf import invoice_pdf
from connector.orders.notification_triggers import RETURN
from connector.orders.policy.rules import Billing, Rules
from connector.settings import Settings
from connector.store import invoices, order_history, orders
from connector.store.engine import Connection
from connector.store.order_history import StoredEvent
from connector.store.queries.holds import OrderHold, load_holds

PDF = "application/pdf"
_SKIP_REASONS = {
    MessageKind.SHIPMENT: "has no shipment in transit or delivered",
    MessageKind.INVOICE: "has no invoice",
    MessageKind.RETURN_LABEL: "has no return with a label",
    MessageKind.REFUND: "has no refund",
    MessageKind.ESCALATION: "has no escalated hold",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """The notification is not sent; `why` is the reason."""

    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ComposedNotification:
    """The order and the template data of one notification."""

    order: Order
    view: MessageView


@dataclass(frozen=True, kw_only=True, slots=True)
class NotificationComposer:
    """Composes notifications by the company's templates, billing data and addresses."""

    renderer: TemplateRenderer
    billing: Billing
    public_url: str = ""
    ops_address: str = ""

    async def compose_all(
        self, connection: Connection, items: Sequence[NotificationRequest], now: datetime
    ) -> list[ComposedNotification | Skipped]:
        """Load the data of each of `items`, in their order."""
        numbers = list(dict.fromkeys(item.order for item in items))
        order_by_number = {order.number: order for order in await orders.load(connection, numbers)}
        holds = await load_holds(connection, [item.order for item in items if item.kind is MessageKind.ESCALATION])
        subjects: list[ComposedNotification | Skipped] = []
        for item in items:
            order = order_by_number[item.order]
            view = build_view(item.kind, order, self.billing, self.public_url, now)
            filled = await _fill_view(connection, item, order, view, holds)
            subjects.append(ComposedNotification(order=order, view=filled) if filled else _skip(item))
        return subjects

    async def build_email(self, message: Notification, subject: ComposedNotification) -> Email | Skipped:
        """Build the e-mail, or return why it is skipped; raises TemplateFaultError if a template cannot be filled."""
        order, view = subject.order, subject.view
        is_internal = message.kind is MessageKind.ESCALATION
        if message.kind is MessageKind.CONFIRMATION and order.stage is Stage.CANCELED:
            return Skipped(why="The order was canceled before its confirmation was sent.")
        if view.hold is not None and view.hold.released:
            return Skipped(why="The hold was released before its escalation was sent.")
        address = self.ops_address if is_internal else order.customer.email
        if not address:
            return Skipped(
                why="CONNECTOR_MESSAGES__OPS_ADDRESS is not set."
                if is_internal
                else "The customer has no e-mail address."
            )
        recipient = normalize_address(address)
        if recipient is None:
            return Skipped(why="The customer's e-mail address is not valid.")
        rendered = self.renderer.render(view)
        attachments: tuple[Attachment, ...] = ()
        if view.invoice is not None:
            # In a thread: fonts are cut to what is used, which takes a moment.
            content = await asyncio.to_thread(invoice_pdf, view.invoice)
            attachments = (Attachment(name=f"{view.invoice.number}.pdf", content_type=PDF, content=content),)
        return Email(
            key=message.key,
            kind=message.kind.value,
            about=message.order,
            recipient=recipient,
            name="" if is_internal else order.customer.name,
            subject=rendered.subject,
            text=rendered.text,
            html=rendered.html,
            attachments=attachments,
        )

    async def latest_request(
        self, connection: Connection, number: str, kind: MessageKind
    ) -> NotificationRequest | None:
        """Return a request for the order's latest notification of a kind; None if there is no such order."""
        loaded = await orders.load(connection, [number])
        if not loaded:
            return None
        reference = ""
        [order] = loaded
        match kind:
            case MessageKind.SHIPMENT:
                reference = str(
                    max((item.number for item in order.state.shipments.values() if item.shipped_on), default=0)
                )
            case MessageKind.INVOICE:
                reference = order.state.invoice_number or ""
            case MessageKind.RETURN_LABEL:
                labeled = (item.number for item in order.state.returns.values() if item.tracking_number)
                reference = f"{RETURN}{max(labeled, default=0)}"
            case MessageKind.REFUND | MessageKind.ESCALATION:
                action = Action.REFUND if kind is MessageKind.REFUND else Action.ESCALATE
                entries = await order_history.read(connection, number)
                reference = str(max((item.sequence for item in entries if item.event.action is action), default=0))
        return NotificationRequest(order=number, kind=kind, reference=reference)


def make_composer(settings: Settings, rules: Rules) -> NotificationComposer:
    """Build the composer; raises SettingsError if a template of the company is invalid."""
    return NotificationComposer(
        renderer=TemplateRenderer(settings.messages.templates_dir),
        billing=rules.billing,
        public_url=settings.http.public_url,
        ops_address=settings.messages.ops_address,
    )


async def _fill_view(
    connection: Connection,
    item: NotificationRequest,
    order: Order,
    view: MessageView,
    holds: Mapping[tuple[str, Hold], OrderHold],
) -> MessageView | None:
    """Return `view` with the data of its kind; None if the order has no such data."""
    match item.kind:
        case MessageKind.CONFIRMATION:
            return view
        case MessageKind.CANCELLATION:
            refundable = order.state.net - order.state.due
            return replace(view, canceled=canceled_items(order), amount=max(refundable, ZERO))
        case MessageKind.SHIPMENT:
            sent = shipment_parcel(order, _number(item.reference))
            return replace(view, parcel=sent, to_come=unshipped_items(order)) if sent else None
        case MessageKind.INVOICE:
            issued = await invoices.find(connection, item.reference)
            if issued is None or issued.order_number != order.number:
                return None
            return replace(view, invoice=invoice_form.load(issued.body))
        case MessageKind.RETURN_LABEL:
            number, _, _ = item.reference.removeprefix(RETURN).partition(" ")
            returning = return_parcel(order, _number(number))
            return replace(view, parcel=returning[0], replacement=returning[1]) if returning else None
    event = await _load_event(connection, item)
    if event is None:
        return None
    if item.kind is MessageKind.REFUND:
        return replace(view, amount=_amount_of(event.event))
    reason = event.event.hold if isinstance(event.event, EscalateHold) else None
    hold = holds.get((order.number, reason)) if reason is not None else None
    if hold is not None and hold.since > event.at:
        hold = None  # a later hold for the same reason
    return replace(
        view,
        hold=HoldView(
            reason=reason.value if reason is not None else "",
            note=hold.note if hold else None,
            since=hold.since if hold else event.at,
            released=hold is None,
            priority=order.priority,
            stage=order.stage.value,
        ),
    )


async def _load_event(connection: Connection, item: NotificationRequest) -> StoredEvent | None:
    action = {MessageKind.REFUND: Action.REFUND, MessageKind.ESCALATION: Action.ESCALATE}[item.kind]
    entries = await order_history.read(connection, item.order)
    number = _number(item.reference)
    return next((entry for entry in entries if entry.sequence == number and entry.event.action is action), None)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _skip(item: NotificationRequest) -> Skipped:
    return Skipped(why=f"Order {item.order} {_SKIP_REASONS.get(item.kind, 'gives no rise to it')}.")


def _amount_of(event: Event) -> Decimal:
    return event.amount or ZERO if isinstance(event, Refund) else ZERO
