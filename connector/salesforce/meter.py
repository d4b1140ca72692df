"""Counts the calls of one client, and has each of them admitted by the gate."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from connector.metrics import ORG_CALL_SECONDS, ORG_CALLS
from connector.model.api_budget import CallResult
from connector.model.lane import call_lane
from connector.salesforce.call_gate import CallGate, OpenGate, get_call_scope
from connector.salesforce.session import SessionAnswer
from connector.salesforce.usage import CallCounts, Usage, read_usage

_LIMIT_CODE = b"REQUEST_LIMIT_EXCEEDED"


class CallRecord:
    """One call: what became of it, and what the org said of its limit."""

    def __init__(self) -> None:
        self.result = CallResult.UNANSWERED
        self.usage: Usage | None = None

    def answered(self, status: int, limit_info: str | None, content: bytes = b"") -> None:
        self.usage = read_usage(limit_info)
        self.result = _classify(status, content)


class Meter:
    """Counts calls and keeps the newest `Sforce-Limit-Info` (`api-usage=18/15000; per-app-api-usage=…`)."""

    def __init__(self, gate: CallGate | None = None) -> None:
        self.usage: Usage | None = None
        self.calls = CallCounts(0, 0)
        self._gate = gate or OpenGate()

    async def admit(self, org_id: str) -> None:
        """Raise ApiBudgetError if no call may be made now; `recording` must follow at once otherwise."""
        await self._gate.begin_call(org_id)

    @contextmanager
    def recording(self, *, write: bool, timed: bool = True) -> Iterator[CallRecord]:
        """Count the call that is made inside, and measure how long it takes; not one that was made before."""
        record, began = CallRecord(), time.perf_counter()
        reads, writes = self.calls
        self.calls = CallCounts(reads, writes + 1) if write else CallCounts(reads + 1, writes)
        try:
            yield record
        finally:
            self.usage = record.usage or self.usage
            if timed:
                ORG_CALL_SECONDS.observe(time.perf_counter() - began, record.result.value)
            ORG_CALLS.add(call_lane(get_call_scope().lane).word, record.result.value)
            self._gate.end_call(record.result, record.usage)

    def note_session(self, answers: Sequence[SessionAnswer]) -> None:
        """Count the calls of a session; without an answer it made one, whose outcome nobody knows."""
        for answer in answers:
            with self.recording(write=False, timed=False) as record:
                record.answered(*answer)
        if not answers:
            with self.recording(write=False, timed=False):
                pass


def _classify(status: int, content: bytes) -> CallResult:
    if status < 300 or status == 304:
        return CallResult.ANSWERED
    if status >= 500:
        return CallResult.FAILED
    # That the org works on too many long calls at once has the same code, and passes within seconds.
    is_limit = status == 403 and _LIMIT_CODE in content and b"concurrent" not in content.lower()
    return CallResult.LIMIT if is_limit else CallResult.REFUSED
