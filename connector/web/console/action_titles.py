"""What the console calls the actions on orders and their fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from connector.model.actions import Action
from connector.model.possible_actions import PossibleAction

A = Action
TITLES: Mapping[Action, str] = {
    A.CHANGE: "Change the order",
    A.SPLIT: "Split off lines",
    A.VERIFY: "Verify",
    A.CONFIRM: "Confirm",
    A.ALLOCATE: "Allocate stock",
    A.DEALLOCATE: "Give up reservations",
    A.PICK: "Pick",
    A.PACK: "Pack",
    A.UNPACK: "Unpack",
    A.LABEL: "Label",
    A.SHIP: "Ship",
    A.TRACK: "Report tracking",
    A.DELIVER: "Mark as delivered",
    A.CANCEL: "Cancel goods",
    A.INVOICE: "Issue an invoice",
    A.AUTHORIZE: "Authorize a payment",
    A.DECLINE: "Record a declined payment",
    A.CAPTURE: "Capture a payment",
    A.REFUND: "Refund",
    A.HOLD: "Put on hold",
    A.ESCALATE: "Escalate a hold",
    A.RELEASE: "Release a hold",
    A.REQUEST_RETURN: "Request a return",
    A.APPROVE_RETURN: "Approve return",
    A.REJECT_RETURN: "Reject return",
    A.LABEL_RETURN: "Label return",
    A.RECEIVE_RETURN: "Receive return",
    A.INSPECT_RETURN: "Inspect return",
    A.CLOSE_RETURN: "Close return",
}
"""Every action that can be asked for. Those on a return are followed by its number."""
GROUPS: Mapping[str, Sequence[Action]] = {
    "Goods": (A.VERIFY, A.CONFIRM, A.ALLOCATE, A.PICK, A.PACK, A.LABEL, A.SHIP, A.TRACK, A.DELIVER, A.UNPACK,
              A.DEALLOCATE),
    "Returns": (A.REQUEST_RETURN, A.APPROVE_RETURN, A.LABEL_RETURN, A.RECEIVE_RETURN, A.INSPECT_RETURN, A.CLOSE_RETURN,
                A.REJECT_RETURN),
    "Money": (A.INVOICE, A.AUTHORIZE, A.CAPTURE, A.DECLINE, A.REFUND),
    "Order": (A.CHANGE, A.HOLD, A.RELEASE, A.ESCALATE, A.SPLIT, A.CANCEL),
}  # fmt: skip
"""The actions as the page of an order groups them, in the sequence of its life."""
NEXT = (A.RELEASE, A.VERIFY, A.CONFIRM, A.SHIP, A.PACK, A.PICK, A.ALLOCATE, A.DELIVER, A.INSPECT_RETURN,
        A.RECEIVE_RETURN, A.APPROVE_RETURN, A.INVOICE, A.CAPTURE)  # fmt: skip
"""What most likely comes next: the first of these that is possible."""
CONFIRM: Mapping[Action, str] = {
    A.CANCEL: "What is canceled stays canceled. I am sure.",
    A.SPLIT: "What is split off becomes an order of its own, and does not come back. I am sure.",
    A.REFUND: "The customer gets this money back. I am sure.",
    A.REJECT_RETURN: "A rejected return stays rejected. I am sure.",
    A.CLOSE_RETURN: "A closed return stays closed: nothing more of it can arrive. I am sure.",
}
"""What cannot be taken back, with the sentence that a person must agree to."""
LABELS: Mapping[str, str] = {
    "sku": "SKU",
    "unit_price": "Unit price",
    "discount": "Discount (0.15 is 15 %)",
    "quantity": "Quantity",
    "tax_rate": "Tax rate (0.19 is 19 %)",
    "po_number": "PO number",
    "on": "Date",
    "stated_total": "Total that the customer saw",
    "promised_on": "Promised for",
    "ship_complete": "Ship only when complete",
    "rep_comment": "Comment of the sales rep",
    "delivery_note": "Note for the carrier",
    "ship_to_name": "Delivery: name",
    "ship_to_street": "Delivery: street",
    "ship_to_city": "Delivery: city",
    "ship_to_state": "Delivery: state",
    "ship_to_postal_code": "Delivery: postal code",
    "ship_to_country": "Delivery: country",
    "reference": "Reference of the payment",
    "note": "Note for the history",
    "status": "What the carrier reports",
    "hold": "Reason of the hold",
    "resolution": "The customer gets",
}
"""Labels of fields that are not simply their name."""


def label_of(name: str) -> str:
    """The label of a field of an event or of the header of an order."""
    return LABELS.get(name, name.replace("_", " ").capitalize())


def title_of(item: PossibleAction) -> str:
    """`Ship shipment 2`, `Receive return 1`, `Pick`."""
    title = TITLES[item.action]
    if item.return_number is not None:
        return f"{title} {item.return_number}"
    return title if item.shipment is None else title_of_shipment(title, item.shipment)


def title_of_shipment(title: str, number: int) -> str:
    return f"Mark shipment {number} as delivered" if title.startswith("Mark") else f"{title} shipment {number}"
