"""Alerts, as they stand in answers and documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from connector.model.alert import Alert
from connector.store.alerts import StoredMessage


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertMessageView:
    """That it began or ended, as it was told through one channel: `due`, `sent` or `failed`, and why."""

    event: str
    channel: str
    state: str
    attempts: int
    sent_at: datetime | None
    error: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertView:
    """`clear_since`: since when the cause is not there; the alert is over when that has lasted for a while."""

    id: int
    rule: str
    subject: str
    text: str
    fix: str
    began_at: datetime | None
    clear_since: datetime | None
    ended_at: datetime | None
    messages: list[AlertMessageView]


def view_alerts(alerts: Sequence[Alert], messages: Sequence[StoredMessage]) -> list[AlertView]:
    return [
        AlertView(
            id=alert.id,
            rule=alert.rule,
            subject=alert.subject,
            text=alert.text,
            fix=alert.fix,
            began_at=alert.began_at,
            clear_since=alert.clear_since,
            ended_at=alert.ended_at,
            messages=[
                AlertMessageView(
                    event=item.event,
                    channel=item.channel,
                    state=item.state,
                    attempts=item.attempts,
                    sent_at=item.sent_at,
                    error=item.error,
                )
                for item in messages
                if item.alert == alert.id
            ],
        )
        for alert in alerts
    ]
