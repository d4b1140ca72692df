"""The jobs that the scheduler runs. A job is a function and an interval; nothing about it is stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from connector.jobs.prune import SECONDS as PRUNE_SECONDS


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job: `run` is awaited every `seconds`, or once a day at `hour` (UTC). A run that is due while the last one is
    still running waits for it.

    Jobs run one at a time, except `concurrent` ones: they wait for external servers, and must not delay the others.
    """

    name: str
    run: Callable[[], Awaitable[None]]
    seconds: float = 0
    hour: int | None = None
    concurrent: bool = False


def make_jobs(
    *,
    push: Callable[[], Awaitable[None]],
    push_seconds: float,
    automation: Callable[[], Awaitable[None]],
    automation_seconds: float,
    notifications: Callable[[], Awaitable[None]] | None,
    notification_seconds: float,
    webhooks: Callable[[], Awaitable[None]] | None = None,
    webhook_seconds: float = 0,
    reconcile: Callable[[], Awaitable[None]] | None = None,
    reconcile_hour: int | None = None,
    prune: Callable[[], Awaitable[None]] | None = None,
) -> list[Job]:
    """Return the jobs of a service: no order automation if `automation_seconds` is 0; no notifications without a
    transport, no webhooks without an address, no reconciliation without an hour."""
    scheduled = [Job(name="push", seconds=push_seconds, run=push)]
    if automation_seconds:
        scheduled.append(Job(name="order_automation", seconds=automation_seconds, run=automation))
    if notifications is not None:
        scheduled.append(Job(name="notifications", seconds=notification_seconds, run=notifications, concurrent=True))
    if webhooks is not None:
        scheduled.append(Job(name="webhooks", seconds=webhook_seconds, run=webhooks, concurrent=True))
    if reconcile is not None and reconcile_hour is not None:
        scheduled.append(Job(name="reconcile", hour=reconcile_hour, run=reconcile, concurrent=True))
    if prune is not None:
        scheduled.append(Job(name="prune", seconds=PRUNE_SECONDS, run=prune, concurrent=True))
    return scheduled
