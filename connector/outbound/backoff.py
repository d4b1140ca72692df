"""Decides how long a failed change waits, how its attempts are counted, and when it is given up. PURE."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from connector.errors import Scope
from connector.model.change import Change, Refusal
from connector.salesforce.fault import Fault

FIRST_DELAY = timedelta(seconds=1)
LONGEST_DELAY = timedelta(minutes=5)
DOUBT_DELAY = timedelta(seconds=15)
"""The least delay after a deprioritized change is refused again (see `health`): longer than any wait of a push."""

LAST_ATTEMPT = 20
"""A fault of the change itself that lasts for this many attempts (more than an hour) becomes a dead letter."""


def with_counted_attempts(change: Change, fault: Fault) -> Change:
    """`change` with an attempt count that an outage cannot raise to the limit: an outage of a day must not end in dead
    letters."""
    return change if fault.counted else replace(change, attempts=min(change.attempts, LAST_ATTEMPT - 2))


def delay_after(change: Change, fault: Fault) -> timedelta | None:
    """The delay before the next attempt; None if the change is to be given up."""
    attempts = with_counted_attempts(change, fault).attempts
    if attempts >= LAST_ATTEMPT:
        return None
    delay: timedelta = min(FIRST_DELAY * 2**attempts, LONGEST_DELAY)
    return max(delay, DOUBT_DELAY) if fault.scope is Scope.DOUBT and attempts else delay


def describe_fault(fault: Fault) -> str:
    """Why the change is postponed. If a person must fix something, how to fix it and what the org answered."""
    text = f"{fault.code}: {fault.sentence}"
    if fault.scope is not Scope.DOUBT or not fault.outcome_known:
        return text
    words = f" The org's message: {fault.detail}" if fault.detail else ""
    return f"{text} {fault.fix}{words}"


def final_refusal(change: Change, fault: Fault) -> Refusal:
    """The refusal of a change that is given up, although its fault was one that can pass."""
    return Refusal(
        code=fault.code,
        message=f"{fault.sentence} Given up after {change.attempts} attempts.",
        field=None,
        source=None,
        fix=f"{fault.fix} Then replay.",
        record=f"{change.entity} {change.key}",
    )
