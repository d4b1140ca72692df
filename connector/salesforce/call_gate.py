"""Who is asked before each call of the data API, and told what became of it; and the lane that a call belongs to.

The lane belongs to the task that calls, and to those that it starts: whoever does less urgent work says so once, around
all of it. What says nothing is as urgent as the status of an order: a person usually waits for it. Work that was done
in vain if it ended in the middle may wait for its calls.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from connector.errors import ApiBudgetError
from connector.model.api_budget import CallResult
from connector.model.lane import Lane
from connector.salesforce.usage import Usage

Wait = Callable[[ApiBudgetError], Awaitable[None]]
"""Waits a while when a call is not allowed, which is then tried again; raises to give it up."""


class CallGate(Protocol):
    """Decides whether a call may be made now, and counts it."""

    async def begin_call(self, org_id: str) -> None:
        """Raise ApiBudgetError if no call of this lane may be made now, unless its scope waits for that. `end_call`
        follows otherwise."""

    def end_call(self, result: CallResult, usage: Usage | None) -> None:
        """The call has ended. `usage`: what the org said with it."""


class OpenGate:
    """Lets every call through."""

    async def begin_call(self, org_id: str) -> None: ...

    def end_call(self, result: CallResult, usage: Usage | None) -> None: ...


@dataclass(slots=True)
class CallScope:
    """The lane of calls, which whoever makes them may change. `exempt`: they ask how much may be called. `wait`: what
    they do while their lane pauses."""

    lane: Lane = Lane.STATUS
    exempt: bool = False
    wait: Wait | None = None


_current: ContextVar[CallScope | None] = ContextVar("call_scope", default=None)


@contextmanager
def calls_in(lane: Lane, *, exempt: bool = False, wait: Wait | None = None) -> Iterator[CallScope]:
    """All calls inside belong to this lane."""
    token = _current.set(scope := CallScope(lane, exempt, wait))
    try:
        yield scope
    finally:
        _current.reset(token)


def get_call_scope() -> CallScope:
    """The scope of the calls of this task."""
    return _current.get() or CallScope()


@contextmanager
def less_urgent_calls(lane: Lane) -> Iterator[CallScope]:
    """All calls inside belong to this lane, or to that of the calls around them if it is less urgent still."""
    around = get_call_scope()
    with calls_in(max(lane, around.lane), wait=around.wait) as scope:
        yield scope
