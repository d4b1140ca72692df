"""Says where a topic stands with the org's delivery allowance."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from connector.cli.output import moment
from connector.model.deliveries import DeliveryMode, DeliveryUsage


def delivery_text(usage: DeliveryUsage, *, streamed: bool = True) -> str:
    """One sentence for a person: whether the topic is streamed or polled, what is used, and how long the rest lasts.

    `streamed` False: there is no stream, although the allowance permits one; then only the numbers are named.
    """
    counted = f"{usage.last_24_hours:,} deliveries counted in 24 hours"
    if usage.used is not None and usage.allowed is not None:
        counted = f"{usage.used:,} of the org's {usage.allowed:,} deliveries of 24 hours used"
    if usage.mode is DeliveryMode.POLL:
        until = "" if usage.resume_at is None else f" until {moment(usage.resume_at)}"
        return f"{usage.topic} is polled{until}: {counted}."
    subject = f"{usage.topic} is streamed" if streamed else usage.topic
    if usage.left is None:
        return f"{subject}: {counted}; the org does not say how many it allows."
    rest = f"{usage.left:,} left"
    if usage.runs_out_at is not None:
        rest += f", until {moment(usage.runs_out_at)} at {usage.per_hour:,.0f} an hour; then it is polled"
    return f"{subject}: {counted}, {rest}."


def delivery_document(usage: DeliveryUsage) -> dict[str, Any]:
    """The same as one JSON object."""
    return {**asdict(usage), "mode": usage.mode.value}
