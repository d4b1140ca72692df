"""Which events notify the customer or our own people. PURE."""

from __future__ import annotations

from collections.abc import Iterator

from connector.model.events import Confirm, EscalateHold, Event, IssueInvoice, LabelReturn, Refund, Ship
from connector.model.notification import MessageKind, NotificationRequest
from connector.model.order_state import OrderState
from connector.model.stage import Stage

RETURN = "RMA"
"""What the number of a return begins with: `RMA1`."""


def notifications_for(
    event: Event, before: OrderState, after: OrderState, sequence: int
) -> Iterator[NotificationRequest]:
    """Yield the notifications to send for `event`, which is number `sequence` of the order's history and changed its
    state from `before` to `after`."""
    order = before.number
    match event:
        case Confirm():
            yield NotificationRequest(order=order, kind=MessageKind.CONFIRMATION)
        case Ship():
            for number, parcel in sorted(after.shipments.items()):
                if parcel.shipped_on and not (number in before.shipments and before.shipments[number].shipped_on):
                    yield NotificationRequest(order=order, kind=MessageKind.SHIPMENT, reference=str(number))
        case IssueInvoice(reference=str(reference)):
            yield NotificationRequest(order=order, kind=MessageKind.INVOICE, reference=reference)
        case LabelReturn():
            for number, item in sorted(after.returns.items()):
                if before.returns.get(number) != item:
                    # A new label is a new notification.
                    reference = f"{RETURN}{number} {item.tracking_number}"
                    yield NotificationRequest(order=order, kind=MessageKind.RETURN_LABEL, reference=reference)
        case Refund():
            yield NotificationRequest(order=order, kind=MessageKind.REFUND, reference=str(sequence))
        case EscalateHold():
            yield NotificationRequest(order=order, kind=MessageKind.ESCALATION, reference=str(sequence))
    if after.stage is Stage.CANCELED and before.stage is not Stage.CANCELED:
        yield NotificationRequest(order=order, kind=MessageKind.CANCELLATION)
