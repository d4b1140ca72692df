"""Each call is admitted by the gate, and its result is reported to it once."""

from __future__ import annotations

import pytest

from connector.errors import ApiBudgetError
from connector.model.api_budget import CallResult
from connector.model.lane import Lane
from connector.salesforce.call_gate import calls_in, get_call_scope
from connector.salesforce.meter import Meter
from connector.salesforce.session import SessionAnswer
from connector.salesforce.usage import CallCounts, Usage

DAILY = b'[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"TotalRequests Limit exceeded."}]'
CONCURRENT = b'[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"ConcurrentRequests (Concurrent API Requests) Limit"}]'


class RecordingGate:
    def __init__(self) -> None:
        self.ended: list[tuple[Lane, CallResult, Usage | None]] = []

    async def begin_call(self, org_id: str) -> None:
        if get_call_scope().lane is Lane.BACKFILL:
            raise ApiBudgetError("No.")

    def end_call(self, result: CallResult, usage: Usage | None) -> None:
        self.ended.append((get_call_scope().lane, result, usage))


@pytest.mark.parametrize(
    ("status", "content", "result"),
    [(200, b"", CallResult.ANSWERED), (304, b"", CallResult.ANSWERED), (301, b"", CallResult.REFUSED),
     (400, b"[]", CallResult.REFUSED), (403, DAILY, CallResult.LIMIT), (403, CONCURRENT, CallResult.REFUSED),
     (503, b"", CallResult.FAILED)],
)  # fmt: skip
def test_result_of_a_call_follows_from_its_response(status: int, content: bytes, result: CallResult) -> None:
    gate = RecordingGate()
    meter = Meter(gate)
    with calls_in(Lane.NEW), meter.recording(write=True) as record:
        record.answered(status, "api-usage=18/15000; per-app-api-usage=17/250(appName=x)", content)
    assert gate.ended == [(Lane.NEW, result, Usage(18, 15000))]
    assert (meter.usage, meter.calls) == (Usage(18, 15000), CallCounts(0, 1))


def test_call_without_an_answer_is_counted_and_says_nothing_of_the_limit() -> None:
    gate = RecordingGate()
    meter = Meter(gate)
    meter.note_session([SessionAnswer(200, "api-usage=1/10", b""), SessionAnswer(403, None, DAILY)])
    meter.note_session([])
    assert gate.ended == [
        (Lane.STATUS, CallResult.ANSWERED, Usage(1, 10)),
        (Lane.STATUS, CallResult.LIMIT, None),
        (Lane.STATUS, CallResult.UNANSWERED, None),
    ]
    assert (meter.usage, meter.calls) == (Usage(1, 10), CallCounts(3, 0))


async def test_call_that_is_not_admitted_is_not_counted() -> None:
    gate = RecordingGate()
    with calls_in(Lane.STATUS):
        with calls_in(Lane.BACKFILL), pytest.raises(ApiBudgetError):
            await Meter(gate).admit("00D")
        await Meter(gate).admit("00D")
    assert gate.ended == []
