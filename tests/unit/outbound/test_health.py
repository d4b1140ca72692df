"""Whether the org or the record is the cause of a refusal is decided by the other records of the call."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connector.errors import RefusedError, RetryClass, SalesforceError, Scope, TransportError
from connector.model.change import MAX_UNANSWERED_SENDS
from connector.model.outcome import RowError
from connector.model.record import Link
from connector.outbound.batches import isolate_suspects
from connector.outbound.health import OrgHealth
from connector.outbound.plan_types import PendingEntity, RecordUpsert
from connector.outbound.results import WriteResult, failed_result
from connector.salesforce.fault import classify_call, classify_row
from tests.unit.outbound.conftest import an_order, pending


def record(key: str, sobject: str = "Order") -> RecordUpsert:
    return RecordUpsert(entity="order", key=key, sobject=sobject, external_id="External_Key__c", fields={})


def refused(code: str, key: str = "A-1", sobject: str = "Order") -> WriteResult:
    owner = pending(an_order(number=key))
    errors = [RowError(code=code, message="It says so.", fields=("PoNumber",))]
    return failed_result(owner, errors, record(key, sobject), lambda *_, **__: None)


def accepted(key: str = "A-9", sobject: str = "Order") -> WriteResult:
    link = Link(entity="order", key=key, sobject=sobject, salesforce_id="801", snapshot={})
    return WriteResult(pending=pending(an_order(number=key)), links=(link,), updated={sobject: 1})


DOUBTS = ["NEVER_SEEN", "INVALID_FIELD", "INVALID_FIELD_FOR_INSERT_UPDATE", "INVALID_TYPE", "INSUFFICIENT_ACCESS",
          "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "FUNCTIONALITY_NOT_ENABLED", "NOT_FOUND"]  # fmt: skip
ORGS = ["STORAGE_LIMIT_EXCEEDED", "TXN_SECURITY_ANYTHING", "API_DISABLED_FOR_ORG", "API_CURRENTLY_DISABLED",
        "REQUEST_LIMIT_EXCEEDED", "ORG_LOCKED", "SERVER_UNAVAILABLE", "INVALID_SESSION_ID", "URL_NOT_RESET",
        "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", "TOO_MANY_APEX_REQUESTS"]  # fmt: skip
RECORDS = ["STRING_TOO_LONG", "FIELD_CUSTOM_VALIDATION_EXCEPTION", "DUPLICATES_DETECTED", "REQUIRED_FIELD_MISSING",
           "FAILED_ACTIVATION", "INVALID_EMAIL_ADDRESS", "CIRCULAR_DEPENDENCY"]  # fmt: skip


@pytest.mark.parametrize("code", ORGS)
def test_org_code_stops_the_push_even_if_other_rows_were_accepted(code: str) -> None:
    health = OrgHealth()
    [result, _] = health.judge([refused(code), accepted()])
    assert (result.refusal, health.stopped is not None) == (None, True)
    assert result.fault is not None
    assert (result.fault.scope, result.fault.counted) == (Scope.ORG, False)


@pytest.mark.parametrize("code", RECORDS)
def test_data_code_becomes_a_dead_letter_whatever_the_other_rows(code: str) -> None:
    health = OrgHealth()
    for _ in range(3):
        assert all(result.refusal is not None for result in health.judge([refused(code, key) for key in "ABC"]))
    assert (health.close_round(), health.held) == (None, None)


@pytest.mark.parametrize("code", DOUBTS)
def test_doubt_becomes_a_refusal_if_another_row_of_the_call_was_accepted(code: str) -> None:
    health = OrgHealth()
    [result, _] = health.judge([refused(code), accepted()])
    assert (result.refusal is not None, health.close_round()) == (True, None)


@pytest.mark.parametrize("rows", [1, 200])
@pytest.mark.parametrize("code", DOUBTS)
def test_doubt_of_every_row_is_held_and_stops_after_one_more_call(code: str, rows: int) -> None:
    health = OrgHealth()
    call = [refused(code, f"A-{number}") for number in range(rows)]
    for expected in (None, code):
        results = health.judge(call)
        assert all(result.refusal is None and result.fault is not None for result in results)
        assert (None if health.stopped is None else health.stopped.code) == expected
    assert {result.fault.scope for result in results if result.fault} == {Scope.ORG}


def test_doubt_without_accepted_rows_stops_at_the_end_of_the_round() -> None:
    health = OrgHealth()
    health.judge([refused("NEVER_SEEN")])
    assert health.stopped is None
    stopped = health.close_round()
    assert stopped is not None
    assert (stopped.code, stopped.detail) == ("NEVER_SEEN", "It says so.")


def test_held_doubt_becomes_a_refusal_once_its_object_was_accepted() -> None:
    health = OrgHealth()
    health.judge([accepted()])  # an earlier call says nothing about what the org accepts now
    assert health.judge([refused("NEVER_SEEN")])[0].refusal is None
    health.judge([accepted(sobject="Account")])
    health.start()
    assert health.judge([refused("NEVER_SEEN")])[0].refusal is None
    health.judge([accepted()])
    assert health.judge([refused("NEVER_SEEN")])[0].refusal is not None


def test_accepted_row_of_another_object_keeps_the_push_going() -> None:
    health = OrgHealth()
    health.judge([refused("NEVER_SEEN", sobject="Product2")])
    health.judge([accepted()])
    health.judge([refused("NEVER_SEEN", sobject="Product2")])
    assert health.close_round() is None
    assert health.held is not None


def test_row_lock_on_every_row_does_not_stop_the_push() -> None:
    health = OrgHealth()
    for _ in range(3):
        health.judge([refused("UNABLE_TO_LOCK_ROW"), refused("UNABLE_TO_LOCK_ROW", "A-2")])
    assert health.close_round() is None


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (TransportError("no answer", scope=Scope.DOUBT), 2),
        (TransportError("nobody there", scope=Scope.ORG), 1),
        (SalesforceError("signed out"), 1),
        (RefusedError("slow", code="X", status=429, retry_class=RetryClass.LIMIT, scope=Scope.ORG), 1),
    ],
)
def test_unanswered_calls_stop_after_the_second_and_org_errors_after_the_first(
    error: SalesforceError, calls: int
) -> None:
    health = OrgHealth()
    for number in range(1, calls + 1):
        assert health.stopped is None
        health.call_failed(error)
        assert (health.stopped is error) == (number == calls)


def test_call_after_an_empty_one_is_attempted_once() -> None:
    health = OrgHealth()
    assert health.attempts is None
    health.call_failed(TransportError("no answer", scope=Scope.DOUBT))
    assert health.attempts == 1
    health.start(cautious=True)
    assert health.attempts == 1
    health.judge([accepted()])
    assert health.attempts is None


@pytest.mark.parametrize("status", [301, 302, 307, 308, 401, 403, 404, 405, 410, 415, 418, 420, 429, 451, 502, 599])
@pytest.mark.parametrize("code", [None, "NEVER_SEEN", "STRING_TOO_LONG", "NOT_FOUND", "INVALID_FIELD"])
def test_status_unrelated_to_contents_concerns_the_org_whatever_the_code(status: int, code: str | None) -> None:
    errors = [RowError(code=code, message="")] if code else []
    assert classify_call(status, errors).scope is Scope.ORG


@pytest.mark.parametrize(
    ("status", "code", "scope"),
    [(400, "STRING_TOO_LONG", Scope.RECORD), (400, "JSON_PARSER_ERROR", Scope.RECORD), (400, "NEVER", Scope.DOUBT),
     (400, "INVALID_FIELD", Scope.DOUBT), (400, "STORAGE_LIMIT_EXCEEDED", Scope.ORG), (400, None, Scope.DOUBT),
     (500, "UNKNOWN_EXCEPTION", Scope.DOUBT), (500, None, Scope.ORG), (413, None, Scope.RECORD),
     (414, "NEVER", Scope.RECORD), (431, "INVALID_FIELD", Scope.RECORD), (413, "ORG_LOCKED", Scope.ORG)],
)  # fmt: skip
def test_status_caused_by_contents_is_decided_by_the_code(status: int, code: str | None, scope: Scope) -> None:
    errors = [RowError(code=code, message="")] if code else []
    assert classify_call(status, errors).scope is scope


def test_change_that_follows_another_is_never_given_up() -> None:
    fault = classify_row(RowError(code="UNABLE_TO_LOCK_ROW", message=""))
    assert fault.counted
    assert not replace(fault, follows=True).counted
    assert not replace(fault, outcome_known=False).counted


def with_fields(result: WriteResult, *names: str) -> WriteResult:
    return replace(result, written_fields=frozenset(("Order", name) for name in names))


def test_field_doubt_becomes_a_refusal_only_if_an_accepted_row_had_the_field() -> None:
    row = replace(record("A-1"), fields={"PoNumber": "7", "Description": "x"})
    errors = [RowError(code="INVALID_FIELD_FOR_INSERT_UPDATE", message="no", fields=("Description",))]
    doubtful = failed_result(pending(an_order(number="A-1")), errors, row, lambda *_, **__: None)
    health = OrgHealth()
    assert health.judge([doubtful, with_fields(accepted(), "PoNumber")])[0].refusal is None
    assert health.judge([doubtful, with_fields(accepted(), "Description")])[0].refusal is not None
    assert health.stopped is None


def test_doubt_is_not_decided_by_an_accepted_row_of_another_object() -> None:
    [result, _] = OrgHealth().judge([refused("NEVER_SEEN", sobject="OrderItem"), accepted()])
    assert (result.refusal, result.fault is not None) == (None, True)


def test_doubt_of_an_earlier_process_becomes_a_refusal_once_another_was_accepted() -> None:
    health = OrgHealth()
    health.judge([accepted()])
    result = refused("NEVER_SEEN")
    before = replace(result.pending, change=replace(result.pending.change, deprioritized=True))
    assert health.judge([replace(result, pending=before)])[0].refusal is not None


# --- changes that were sent repeatedly


def sent(*times: int) -> list[PendingEntity]:
    made = [pending(an_order(number=f"A-{number}")) for number in range(len(times))]
    return [replace(item, change=replace(item.change, unanswered_sends=n)) for item, n in zip(made, times, strict=True)]


def test_suspects_never_travel_with_other_changes() -> None:
    claim = sent(0, 1, MAX_UNANSWERED_SENDS, 2, MAX_UNANSWERED_SENDS + 1)
    assert [item.change.unanswered_sends for item in isolate_suspects(claim, 600, suspects_turn=False)] == [0, 1, 2]
    assert [item.change.unanswered_sends for item in isolate_suspects(claim, 600, suspects_turn=True)] == [
        MAX_UNANSWERED_SENDS
    ]
    assert [
        item.change.unanswered_sends
        for item in isolate_suspects(sent(MAX_UNANSWERED_SENDS + 1), 600, suspects_turn=False)
    ] == [MAX_UNANSWERED_SENDS + 1]


def test_suspect_batches_shrink_with_each_send_and_grow_when_answered() -> None:
    sizes = [
        len(isolate_suspects(sent(*[times] * 600), 600, suspects_turn=True))
        for times in range(MAX_UNANSWERED_SENDS, MAX_UNANSWERED_SENDS + 7)
    ]
    assert sizes == [150, 37, 9, 2, 1, 1, 1]
    claim = sent(*[MAX_UNANSWERED_SENDS + 5] * 600)
    assert [len(isolate_suspects(claim, 600, suspects_turn=True, answered=settled)) for settled in range(5)] == [
        1,
        4,
        16,
        64,
        256,
    ]
