"""The jobs the clock knows. A job is code and a period; nothing of it is stored."""

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
    tend: Callable[[], Awaitable[None]],
    tend_seconds: float,
    deliver: Callable[[], Awaitable[None]] | None,
    deliver_seconds: float,
) -> list[Job]:
    """Everything that runs by itself; the desk only where it is to (`tend_seconds` is not 0), messages only where there
    is a way to send them."""
    found = [Job(name="push", seconds=push_seconds, run=push)]
    if tend_seconds:
        found.append(Job(name="tend", seconds=tend_seconds, run=tend))
    if deliver is not None:
        found.append(Job(name="deliver", seconds=deliver_seconds, run=deliver, apart=True))
    return found
