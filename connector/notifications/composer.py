"""Messages in full: who gets one, what it says, what is attached. All of it is made of the order as it stands when the
message is sent, or of the invoice as it was issued."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from connector.model.actions import Action
from connector.model.events import EscalateHold, Event, Refund
from connector.model.notification import MessageKind, Notification, NotificationRequest
from connector.model.order import Order
from connector.model.order_state import Hold
from connector.model.shipments import ZERO
from connector.model.stage import Stage
from connector.notifications.renderer import TemplateRenderer
from connector.notifications.transport.email import Attachment, Email, usable
from connector.notifications.view import HoldView, MessageView, back, canceled, parcel, to_come, view_of
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
_OF_KIND = {
    MessageKind.SHIPMENT: "has no shipment that left us",
    MessageKind.INVOICE: "has no invoice",
    MessageKind.RETURN_LABEL: "has no return with a label",
    MessageKind.REFUND: "has had nothing paid back",
    MessageKind.ESCALATION: "has no hold that was escalated",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """Why there is no message to be made."""

    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ComposedNotification:
    """What one message is about, found in the database."""

    order: Order
    view: MessageView


@dataclass(frozen=True, kw_only=True, slots=True)
class NotificationComposer:
    """How this company writes."""

    writer: TemplateRenderer
    billing: Billing
    public_url: str = ""
    ops_address: str = ""

    async def subjects(
        self, connection: Connection, items: Sequence[NotificationRequest], now: datetime
    ) -> list[ComposedNotification | Skipped]:
        """What each of `items` is about, in their order."""
        numbers = list(dict.fromkeys(item.order for item in items))
        found = {order.number: order for order in await orders.load(connection, numbers)}
        held = await load_holds(connection, [item.order for item in items if item.kind is MessageKind.ESCALATION])
        subjects: list[ComposedNotification | Skipped] = []
        for item in items:
            order = found[item.order]
            view = view_of(item.kind, order, self.billing, self.public_url, now)
            filled = await _filled(connection, item, order, view, held)
            subjects.append(ComposedNotification(order=order, view=filled) if filled else _nothing(item))
        return subjects

    async def mail(self, message: Notification, subject: ComposedNotification) -> Email | Skipped:
        """The message, for whom it is; TemplateFaultError if a template cannot be filled."""
        order, view = subject.order, subject.view
        ours = message.kind is MessageKind.ESCALATION
        if message.kind is MessageKind.CONFIRMATION and order.stage is Stage.CANCELED:
            return Skipped(why="The order was canceled before its confirmation was sent.")
        if view.hold is not None and view.hold.released:
            return Skipped(why="The hold was released before its escalation was told.")
        address = self.ops_address if ours else order.customer.email
        if not address:
            return Skipped(why="There is no ops address." if ours else "The customer has no e-mail address.")
        recipient = usable(address)
        if recipient is None:
            return Skipped(why="The customer's e-mail address is none that mail can be sent to.")
        written = self.writer.write(view)
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
            name="" if ours else order.customer.name,
            subject=written.subject,
            text=written.text,
            html=written.html,
            attachments=attachments,
        )

    async def latest(self, connection: Connection, number: str, kind: MessageKind) -> NotificationRequest | None:
        """The latest message of a kind that the order gave, or could have given, rise to; None if there is no such
        order."""
        found = await orders.load(connection, [number])
        if not found:
            return None
        reference = ""
        [order] = found
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
    """SettingsError if a template of the company's own cannot be used."""
    return NotificationComposer(
        writer=TemplateRenderer(settings.messages.templates_dir),
        billing=rules.billing,
        public_url=settings.http.public_url,
        ops_address=settings.messages.ops_address,
    )


async def _filled(
    connection: Connection,
    item: NotificationRequest,
    order: Order,
    view: MessageView,
    held: Mapping[tuple[str, Hold], OrderHold],
) -> MessageView | None:
    """`view` with what its kind is about; None if there is no such thing."""
    match item.kind:
        case MessageKind.CONFIRMATION:
            return view
        case MessageKind.CANCELLATION:
            owed = order.state.net - order.state.due
            return replace(view, canceled=canceled(order), amount=max(owed, ZERO))
        case MessageKind.SHIPMENT:
            sent = parcel(order, _number(item.reference))
            return replace(view, parcel=sent, to_come=to_come(order)) if sent else None
        case MessageKind.INVOICE:
            issued = await invoices.find(connection, item.reference)
            if issued is None or issued.order_number != order.number:
                return None
            return replace(view, invoice=invoice_form.load(issued.body))
        case MessageKind.RETURN_LABEL:
            number, _, _ = item.reference.removeprefix(RETURN).partition(" ")
            coming = back(order, _number(number))
            return replace(view, parcel=coming[0], replacement=coming[1]) if coming else None
    event = await _event(connection, item)
    if event is None:
        return None
    if item.kind is MessageKind.REFUND:
        return replace(view, amount=_amount_of(event.event))
    reason = event.event.hold if isinstance(event.event, EscalateHold) else None
    hold = held.get((order.number, reason)) if reason is not None else None
    if hold is not None and hold.since > event.at:
        hold = None  # another one, for the same reason
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


async def _event(connection: Connection, item: NotificationRequest) -> StoredEvent | None:
    wanted = {MessageKind.REFUND: Action.REFUND, MessageKind.ESCALATION: Action.ESCALATE}[item.kind]
    entries = await order_history.read(connection, item.order)
    number = _number(item.reference)
    return next((entry for entry in entries if entry.sequence == number and entry.event.action is wanted), None)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _nothing(item: NotificationRequest) -> Skipped:
    return Skipped(why=f"Order {item.order} {_OF_KIND.get(item.kind, 'gives no rise to it')}.")


def _amount_of(event: Event) -> Decimal:
    return event.amount or ZERO if isinstance(event, Refund) else ZERO
