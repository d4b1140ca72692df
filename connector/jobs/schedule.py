"""The jobs that the scheduler runs. A job is code and a period; nothing of it is stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Job:
    """`run` is awaited every `seconds`; a run that is still going on when the next is due makes that one wait. Jobs run
    one at a time, but for those that are `apart`: they wait for other people's servers, and must hold nobody up."""

    name: str
    seconds: float
    run: Callable[[], Awaitable[None]]
    apart: bool = False


def jobs(
    *,
    push: Callable[[], Awaitable[None]],
    push_seconds: float,
    automation: Callable[[], Awaitable[None]],
    automation_seconds: float,
    notifications: Callable[[], Awaitable[None]] | None,
    notification_seconds: float,
) -> list[Job]:
    """The jobs of a service. No order automation if `automation_seconds` is 0; no notifications without a transport."""
    found = [Job(name="push", seconds=push_seconds, run=push)]
    if automation_seconds:
        found.append(Job(name="order_automation", seconds=automation_seconds, run=automation))
    if notifications is not None:
        found.append(Job(name="notifications", seconds=notification_seconds, run=notifications, apart=True))
    return found
