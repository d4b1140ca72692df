"""Says how each topic of the org is being read, and what of our own events waits."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from connector.cli.output import moment
from connector.wording import plural


def event_remarks(events: dict[str, Any] | None, now: datetime) -> list[str]:
    """One sentence for each topic, and for what waits for a person."""
    if events is None:
        return []
    remarks = [_topic_remark(topic, now) for topic in events["topics"]]
    if events["unpublished"]:
        remarks.append(f"{plural(events['unpublished'], 'event')} to be published to the org.")
    if events["refused"]:
        remarks.append(f"{plural(events['refused'], 'event')} refused by the org: `connector events list` says why.")
    if events["parked_actions"]:
        parked = plural(events["parked_actions"], "action")
        remarks.append(f"{parked} of reps could not be handled: `connector actions list --state parked` says why.")
    return remarks


def obstacle_text(topic: str, why: str, fix: str) -> str:
    """Why a topic is polled, and what to do; without the period."""
    return f"{topic} is polled, not listened to: {why} {fix}".strip().rstrip(".")


def _topic_remark(topic: dict[str, Any], now: datetime) -> str:
    name, since = topic["topic"], moment(topic["since"])
    if topic["published"]:
        return f"{name} cannot be published to since {since}: {topic['why']} {topic['fix']}".strip()
    match topic["kind"]:
        case "listening":
            text = f"{name} is listened to since {since}"
        case "stopped":
            text = f"Nobody listens to {name}: `connector serve` does"
        case "polling":
            text = obstacle_text(name, topic["why"], topic["fix"])
        case _:
            text = f"{name} is not listened to since {since}: {topic['why']} {topic['fix']}".strip().rstrip(".")
    if topic["position_at"] is not None:
        text += f"; position of {_age(topic['position_at'], now)} ago"
    if topic["last_event_at"] is not None:
        text += f", last event {_age(topic['last_event_at'], now)} ago"
    if topic["gaps"]:
        text += f"; {plural(topic['gaps'], 'gap')}, the latest at {moment(topic['last_gap_at'])}"
    return f"{text}."


def _age(then: datetime, now: datetime) -> str:
    """`12 seconds`, `3 hours`."""
    seconds = max(int((now - then).total_seconds()), 0)
    for size, noun in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return plural(seconds // size, noun)
    return plural(seconds, "second")
