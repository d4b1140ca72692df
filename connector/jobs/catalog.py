"""The jobs the clock knows. A job is code and a period; nothing of it is stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Job:
    """`run` is awaited every `seconds`; a run that is still going on when the next is due makes that one wait."""

    name: str
    seconds: float
    run: Callable[[], Awaitable[None]]


def jobs(
    *,
    push: Callable[[], Awaitable[None]],
    push_seconds: float,
    tend: Callable[[], Awaitable[None]],
    tend_seconds: float,
) -> list[Job]:
    """Everything that runs by itself; the desk only where it is to (`tend_seconds` is not 0)."""
    found = [Job(name="push", seconds=push_seconds, run=push)]
    return [*found, Job(name="tend", seconds=tend_seconds, run=tend)] if tend_seconds else found
