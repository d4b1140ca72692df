"""The priority of changes and of API calls. PURE."""

from __future__ import annotations

from enum import IntEnum


class Lane(IntEnum):
    """The priority of a change: urgent orders, changed orders, new orders, customers and products, a backfill.

    Deprioritized changes (refused for a reason that may be the org's) come last. Each such refusal adds one to
    `DEPRIORITIZED`, so the least often tried are sent first. A change that is captured again returns to its usual lane.
    """

    URGENT = -1
    STATUS = 0
    NEW = 1
    PROFILE = 2
    BACKFILL = 3
    DEPRIORITIZED = 4

    @property
    def word(self) -> str:
        """The word for this lane on screens and in JSON documents."""
        return self.name.lower()


CALL_LANES = (Lane.URGENT, Lane.STATUS, Lane.NEW, Lane.PROFILE, Lane.BACKFILL)
"""The lanes of API calls, the most urgent first. Deprioritized changes are sent in that of a backfill."""


def call_lane(number: int) -> Lane:
    """The lane of the call that sends a change whose lane is stored as `number`."""
    return Lane(max(min(number, Lane.BACKFILL), Lane.URGENT))
