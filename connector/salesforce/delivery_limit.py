"""What the org says of its allowance of event deliveries (REST API developer guide, "Limits")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connector.salesforce.control_plane import ControlPlane
from connector.salesforce.usage import Usage

LIMIT = "DailyDeliveredPlatformEvents"


async def read_delivery_limit(control: ControlPlane) -> Usage | None:
    """Deliveries of the last 24 hours to all subscribers, and how many the org allows; None if the org does not show
    it to our user. The figures lag by some minutes. One API call. Raises SalesforceError."""
    return usage_of(await control.run(lambda org: org.limits()), LIMIT)


def usage_of(limits: Mapping[str, Any], name: str) -> Usage | None:
    """How much of one limit is used, by the org's answer; None if the org does not show it to our user."""
    limit = limits.get(name)
    if not isinstance(limit, dict):
        return None
    allowed, remaining = limit.get("Max"), limit.get("Remaining")
    if not isinstance(allowed, int) or not isinstance(remaining, int) or allowed <= 0:
        return None
    return Usage(used=allowed - remaining, allowed=allowed)
