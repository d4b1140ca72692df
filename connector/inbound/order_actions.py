"""What an action asked for in the org means for an order, and the sentence that answers it. PURE."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import TypeVar

from connector.errors import CommandError
from connector.model.action_request import ActionRequest, OrgAction
from connector.model.events import Cancel, ChangeOrder, Event, PlaceHold, ReleaseHold, RequestReturn
from connector.model.holds import Hold
from connector.model.keys import normalize_key
from connector.model.money import plain
from connector.model.order import Order
from connector.model.order_return import return_key
from connector.model.platform_event import ORDER_ACTION_RESULT, PlatformEvent
from connector.model.rejections import one_of
from connector.model.shipments import ReturnReason
from connector.model.stage import Stage

LONGEST_MESSAGE = 255
"""Characters of `Message__c`, and of the other text fields at most."""
LONGEST_NUMBER = 80
LONGEST_ACTION = 40

E = TypeVar("E", bound=StrEnum)


def order_number(request: ActionRequest) -> str:
    """The number of the order in its one spelling. CommandError if it cannot be one."""
    try:
        return normalize_key(request.order)
    except ValueError as error:
        raise _refusal("Order_Number__c", f"Order_Number__c {error}.") from None


def org_action(request: ActionRequest) -> OrgAction:
    """What is asked for. CommandError if there is no such action."""
    return _choice(OrgAction, request.action, "Action__c", "action")


def event_for(request: ActionRequest, action: OrgAction, order: Order) -> Event | None:
    """The event by which the order carries the action out; None for `refresh`, which changes nothing of it.

    CommandError if the request lacks something; whether the order allows the event is decided when it is carried out.
    """
    note = _note(request, action)
    match action:
        case OrgAction.HOLD:
            reason = _choice(Hold, request.reason, "Reason__c", "hold reason") if request.reason else Hold.MANUAL
            return PlaceHold(hold=reason, note=note)
        case OrgAction.RELEASE:
            return ReleaseHold(hold=_hold_to_release(request, order), note=note)
        case OrgAction.CANCEL:
            return Cancel(note=note)
        case OrgAction.PRIORITY:
            if request.service_level is None:
                what = "Service_Level__c is required for priority: the new service level, as express."
                raise _refusal("Service_Level__c", what)
            return ChangeOrder(details={"service_level": request.service_level}, note=note)
        case OrgAction.REQUEST_RETURN:
            reasoned = _choice(ReturnReason, request.reason, "Reason__c", "return reason") if request.reason else None
            return RequestReturn(reason=reasoned, note=note)
        case OrgAction.REFRESH:
            return None


def acceptance(action: OrgAction, before: Order, after: Order) -> str:
    """The sentence for an action that was carried out."""
    number, held = after.number, one_of_all(after.state.holds)
    match action:
        case OrgAction.HOLD:
            return f"Order {number} is on hold: {held}."
        case OrgAction.RELEASE:
            released = one_of_all(before.state.holds - after.state.holds)
            if after.state.holds:
                return f"The hold {released} of order {number} is released. It is still on hold: {held}."
            return f"Order {number} is no longer on hold."
        case OrgAction.CANCEL:
            if after.stage is Stage.CANCELED:
                return f"Order {number} is canceled."
            return f"What had not left of order {number} is canceled; it is {after.stage}."
        case OrgAction.PRIORITY:
            return (
                f"Order {number} has the service level {after.header.service_level} and the priority {after.priority}."
            )
        case OrgAction.REQUEST_RETURN:
            back = max(after.state.returns.values(), key=lambda item: item.number)
            lines = ", ".join(f"{plain(line.requested)} of line {place}" for place, line in sorted(back.lines.items()))
            return f"Return {return_key(number, back.number)} is requested: {lines}."
        case OrgAction.REFRESH:
            return f"Order {number} is compared with Salesforce and sent now."


def answer(request: ActionRequest, *, accepted: bool, message: str, org_id: str) -> PlatformEvent:
    """The event that answers a request."""
    return PlatformEvent(
        name=ORDER_ACTION_RESULT,
        order=shortened(request.order, LONGEST_NUMBER),
        id=request.event_id,
        fields={
            "Request_Event_ID__c": request.event_id,
            "Request_ID__c": request.request_id,
            "Order_Number__c": shortened(request.order, LONGEST_NUMBER),
            "Action__c": shortened(request.action, LONGEST_ACTION),
            "Succeeded__c": accepted,
            "Message__c": message,
        },
        org_id=org_id,
    )


def shortened(text: str, length: int = LONGEST_MESSAGE) -> str:
    """`text` with at most `length` characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def one_of_all(values: Iterable[str]) -> str:
    """`credit, fraud`."""
    return ", ".join(sorted(values))


def _hold_to_release(request: ActionRequest, order: Order) -> Hold:
    if request.reason:
        return _choice(Hold, request.reason, "Reason__c", "hold reason")
    if not order.state.holds:
        raise _refusal("Reason__c", f"Order {order.number} is not on hold.")
    if len(order.state.holds) > 1:
        held = one_of_all(order.state.holds)
        raise _refusal("Reason__c", f"Order {order.number} has several holds: {held}. Name one of them as the reason.")
    [hold] = order.state.holds
    return hold


def _choice(kind: type[E], text: str | None, field: str, noun: str) -> E:
    try:
        return kind((text or "").strip().lower().replace(" ", "_").replace("-", "_"))
    except ValueError:
        what = f"{field}: {shortened(text, LONGEST_ACTION)!r} is no {noun}" if text else f"{field} is required"
        raise _refusal(field, f"{what}; use {one_of(kind)}.") from None


def _note(request: ActionRequest, action: OrgAction) -> str:
    asked = (
        f"Requested in Salesforce by {request.requested_by}." if request.requested_by else "Requested in Salesforce."
    )
    return f"{request.reason} – {asked}" if action is OrgAction.CANCEL and request.reason else asked


def _refusal(field: str, message: str) -> CommandError:
    return CommandError(message, field=field, rule="input")
