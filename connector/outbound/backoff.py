"""How long a change waits that could not be written, what is held against it, and when it is given up. PURE."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from connector.errors import Scope
from connector.model.change import Change, Refusal
from connector.salesforce.fault import Fault

FIRST_DELAY = timedelta(seconds=1)
LONGEST_DELAY = timedelta(minutes=5)
DOUBT_DELAY = timedelta(seconds=15)
"""At least, after a second refusal that may be the org's: longer than a push waits for anything."""

LAST_ATTEMPT = 20
"""A fault of the change's own that outlives this many attempts (more than an hour) becomes a dead letter."""


def counted(change: Change, fault: Fault) -> Change:
    """`change`, as far as its attempts count: an outage of a day must not end in dead letters."""
    return change if fault.counted else replace(change, attempts=min(change.attempts, LAST_ATTEMPT - 2))


def delay_after(change: Change, fault: Fault) -> timedelta | None:
    """How long it waits; None if it has been tried often enough."""
    attempts = counted(change, fault).attempts
    if attempts >= LAST_ATTEMPT:
        return None
    delay: timedelta = min(FIRST_DELAY * 2**attempts, LONGEST_DELAY)
    return max(delay, DOUBT_DELAY) if fault.scope is Scope.DOUBT and attempts else delay


def reason(fault: Fault) -> str:
    """Why it is put off; for what a person must mend, also how."""
    text = f"{fault.code}: {fault.sentence}"
    if fault.scope is not Scope.DOUBT or not fault.outcome_known:
        return text
    words = f" The org's words: {fault.detail}" if fault.detail else ""
    return f"{text} {fault.fix}{words}"


def given_up(change: Change, fault: Fault) -> Refusal:
    """Why it is no longer tried, although a repeat could have helped."""
    return Refusal(
        code=fault.code,
        message=f"{fault.sentence} Given up after {change.attempts} attempts.",
        field=None,
        source=None,
        fix=f"{fault.fix} Then replay.",
        record=f"{change.entity} {change.key}",
    )
