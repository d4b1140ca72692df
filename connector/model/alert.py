"""Alerts: what operators are told of when it begins and when it is over. PURE.

    absent ──holds──► noticed ──has held for long enough──► open (told) ──has not held for a while──► ended (told)
                         └── holds no more: forgotten            └── holds again: still the same alert

One alert is open for each rule and subject. What was never told is not taken back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class AlertRule(StrEnum):
    ORG_AWAY = "org_away"
    CHANGES_WAIT = "changes_wait"
    DEAD_LETTERS = "dead_letters"
    CONFLICTS = "conflicts"
    STREAM_BEHIND = "stream_behind"
    DELIVERIES = "deliveries"
    API_BUDGET = "api_budget"
    JOB_FAILED = "job_failed"
    RECONCILE = "reconcile"
    ROLE_FAILED = "role_failed"
    MAPPING_DRIFT = "mapping_drift"


class AlertEvent(StrEnum):
    BEGAN = "began"
    ENDED = "ended"


class MessageState(StrEnum):
    DUE = "due"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """Something that holds now, and must be told of when it has held for `hold`. `subject`: which one of its kind."""

    rule: AlertRule
    subject: str = ""
    text: str
    fix: str = ""
    hold: timedelta = timedelta(0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """`text` and `fix` as they were when it held last. `began_at` is None before it is told of; `clear_since`: since
    when it does not hold, None while it does."""

    id: int
    rule: str
    subject: str
    text: str
    fix: str
    noticed_at: datetime
    began_at: datetime | None
    clear_since: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertMessage:
    """That an alert began or ended, as it is to be told through one channel."""

    alert: Alert
    event: AlertEvent
    channel: str
    attempts: int = 0

    @property
    def id(self) -> str:
        """The same each time that it is sent."""
        return f"alert_{self.alert.id}_{self.event.value}"

    @property
    def title(self) -> str:
        return self.alert.text if self.event is AlertEvent.BEGAN else f"Over: {self.alert.text}"

    @property
    def body(self) -> str:
        """The whole message as plain text."""
        alert = self.alert
        lines = [self.title, alert.fix if self.event is AlertEvent.BEGAN else "", ""]
        lines.append(f"Since: {_moment(alert.began_at)}")
        if alert.ended_at is not None:
            lines.append(f"Until: {_moment(alert.ended_at)}")
        lines.append(f"Rule: {alert.rule}" + (f", {alert.subject}" if alert.subject else ""))
        return "\n".join(line for index, line in enumerate(lines) if line or index == 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertChanges:
    """What is to be stored. `noticed` conditions are new; `open` alerts began, or their text is another one; the others
    ended, or are forgotten."""

    noticed: Sequence[Condition]
    begun: Sequence[tuple[int, Condition]]
    held: Sequence[tuple[int, Condition]]
    clear: Sequence[int]
    ended: Sequence[int]
    forgotten: Sequence[int]


def compare(alerts: Sequence[Alert], conditions: Sequence[Condition], now: datetime, settle: timedelta) -> AlertChanges:
    """What the conditions that hold now change about the alerts that have not ended."""
    holding = {(condition.rule.value, condition.subject): condition for condition in conditions}
    known = {(alert.rule, alert.subject): alert for alert in alerts}
    begun, held = list[tuple[int, Condition]](), list[tuple[int, Condition]]()
    clear, ended, forgotten = list[int](), list[int](), list[int]()
    for place, alert in known.items():
        condition = holding.get(place)
        if condition is not None:
            begins = alert.began_at is None and now - alert.noticed_at >= condition.hold
            (begun if begins else held).append((alert.id, condition))
        elif alert.began_at is None:
            forgotten.append(alert.id)
        elif alert.clear_since is None and settle > timedelta(0):
            clear.append(alert.id)
        elif alert.clear_since is None or now - alert.clear_since >= settle:
            ended.append(alert.id)
    return AlertChanges(
        noticed=[condition for place, condition in holding.items() if place not in known],
        begun=begun,
        held=[(number, condition) for number, condition in held if _differs(known, condition)],
        clear=clear,
        ended=ended,
        forgotten=forgotten,
    )


def _differs(known: Mapping[tuple[str, str], Alert], condition: Condition) -> bool:
    alert = known[condition.rule.value, condition.subject]
    return alert.clear_since is not None or (alert.text, alert.fix) != (condition.text, condition.fix)


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"
