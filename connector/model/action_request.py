"""What people in the org ask of an order, as an `Order_Action__e` event carries it. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from connector.model.storable_text import storable


class OrgAction(StrEnum):
    """`priority` gives the order another service level, `refresh` sends it to the org at once."""

    HOLD = "hold"
    RELEASE = "release"
    CANCEL = "cancel"
    PRIORITY = "priority"
    REFRESH = "refresh"
    REQUEST_RETURN = "request_return"


class ActionState(StrEnum):
    """What became of an action. `parked`: it could not be decoded, or handling it failed for a reason of ours."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    PARKED = "parked"


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionRequest:
    """One event as it arrived, its texts unchecked. `user_id` is the user of the org that published it."""

    event_id: str
    order: str = ""
    action: str = ""
    reason: str | None = None
    requested_by: str | None = None
    service_level: str | None = None
    request_id: str | None = None
    user_id: str | None = None
    published_at: datetime | None = None

    @classmethod
    def read(cls, event_id: str, payload: Mapping[str, Any], published_at: datetime | None) -> ActionRequest:
        """Read the payload of an event. An org with older metadata has no field for some of it."""

        def text(name: str) -> str | None:
            value = payload.get(name)
            return (storable(str(value)).strip() or None) if value is not None else None

        return cls(
            event_id=storable(event_id),
            order=text("Order_Number__c") or "",
            action=text("Action__c") or "",
            reason=text("Reason__c"),
            requested_by=text("Requested_By__c"),
            service_level=text("Service_Level__c"),
            request_id=text("Request_ID__c"),
            user_id=text("CreatedById"),
            published_at=published_at,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceivedAction:
    """An action that was received, and what became of it; `message` is the sentence of the answer."""

    request: ActionRequest
    state: ActionState
    message: str
    received_at: datetime

    @property
    def who(self) -> str:
        """Who asked, for a person to read."""
        return self.request.requested_by or self.request.user_id or "somebody"
