"""What the org says of its limits of 24 hours (REST API developer guide, "Limits")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from connector.salesforce.control_plane import ControlPlane
from connector.salesforce.usage import Usage

API_CALLS = "DailyApiRequests"
DELIVERIES = "DailyDeliveredPlatformEvents"


class LimitUsage(NamedTuple):
    """Calls of the API by all apps, and deliveries of events to all subscribers; None for what the org does not show to
    our user. The deliveries lag by some minutes."""

    api_calls: Usage | None
    deliveries: Usage | None


async def read_org_limits(control: ControlPlane) -> LimitUsage:
    """The limits as they stand. One API call. Raises SalesforceError."""
    limits: dict[str, Any] = await control.run(lambda org: org.limits())
    return LimitUsage(api_calls=usage_of(limits, API_CALLS), deliveries=usage_of(limits, DELIVERIES))


def usage_of(limits: Mapping[str, Any], name: str) -> Usage | None:
    """How much of one limit is used, by the org's answer; None if the org does not show it to our user."""
    limit = limits.get(name)
    if not isinstance(limit, dict):
        return None
    allowed, remaining = limit.get("Max"), limit.get("Remaining")
    if not isinstance(allowed, int) or not isinstance(remaining, int) or allowed <= 0:
        return None
    return Usage(used=allowed - remaining, allowed=allowed)
