"""Classification of the org's errors, and the messages for ops."""

from __future__ import annotations

import pytest

from connector.errors import AuthError, RefusedError, RetryClass, TransportError
from connector.model.outcome import RowError
from connector.salesforce.errors import error_for_call, read_errors
from connector.salesforce.fault import TABLE, classify_call, classify_row, classify_rows


def row(code: str, message: str = "") -> RowError:
    return RowError(code=code, message=message)


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("FAILED_ACTIVATION", "An order must have at least one product.", RetryClass.DATA),
        ("ENTITY_IS_LOCKED", "cannot delete Order, or add or remove Order Products", RetryClass.DATA),
        ("STANDARD_PRICE_NOT_DEFINED", "Before creating a custom price, ...", RetryClass.DATA),
        ("STRING_TOO_LONG", "Account Name: data value too large", RetryClass.DATA),
        ("INVALID_CURRENCY_ISO", "", RetryClass.DATA),
        ("REQUIRED_FIELD_MISSING", "Select an account.", RetryClass.DATA),
        ("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", RetryClass.DATA),
        ("DUPLICATE_VALUE", "duplicate value found: Name duplicates value on record with id: 001", RetryClass.DATA),
        ("PROCESSING_HALTED", "The transaction was rolled back", RetryClass.TRANSIENT),
        ("ALL_OR_NONE_OPERATION_ROLLED_BACK", "Record rolled back", RetryClass.TRANSIENT),
        ("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access", RetryClass.ROW_LOCK),
        ("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", RetryClass.LIMIT),
        ("INVALID_SESSION_ID", "Session expired or invalid", RetryClass.AUTH),
        ("INVALID_FIELD", "No such column 'X__c' on sobject of type Order", RetryClass.CONFIG),
        ("INVALID_FIELD", "Foreign key external ID: c-1 not found for field Ext__c in entity Account", RetryClass.DATA),
        ("SERVER_UNAVAILABLE", "", RetryClass.TRANSIENT),
        ("TXN_SECURITY_NO_ACCESS", "", RetryClass.CONFIG),
        ("NEVER_SEEN_BEFORE", "what", RetryClass.UNKNOWN),
    ],
)
def test_error_code_has_its_retry_class(code: str, message: str, expected: RetryClass) -> None:
    fault = classify_row(row(code, message))
    assert (fault.code, fault.retry_class) == (code, expected)


def test_every_fault_has_a_sentence_and_a_fix() -> None:
    for code, fault in TABLE.items():
        assert fault.sentence.endswith("."), code
        assert fault.fix.endswith("."), code
    assert len(TABLE) > 60


def test_row_lock_inside_a_trigger_error_is_transient() -> None:
    text = "OrderTrigger: execution of AfterUpdate\n\ncaused by: UNABLE_TO_LOCK_ROW, unable to obtain exclusive access"
    assert classify_row(row("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", text)).retry_class is RetryClass.ROW_LOCK
    assert classify_row(row("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "NullPointer")).retry_class is RetryClass.DATA


def test_only_the_limit_of_concurrent_calls_is_retried_within_seconds() -> None:
    concurrent = classify_row(
        row("REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded.")
    )
    daily = classify_row(row("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."))
    assert (concurrent.retry_class, concurrent.soon) == (RetryClass.LIMIT, True)
    assert (daily.retry_class, daily.soon) == (RetryClass.LIMIT, False)


def test_duplicate_value_of_the_key_field_is_transient() -> None:
    error = row("DUPLICATE_VALUE", "duplicate value found: External_Key__c duplicates value on record with id: 801")
    assert classify_row(error, keys=["External_Key__c"]).retry_class is RetryClass.TRANSIENT
    assert classify_row(error, keys=["Other__c"]).retry_class is RetryClass.DATA


def test_permanent_error_wins_among_several_errors() -> None:
    errors = [row("PROCESSING_HALTED"), row("UNABLE_TO_LOCK_ROW"), row("STRING_TOO_LONG")]
    assert classify_rows(errors).code == "STRING_TOO_LONG"
    assert classify_rows(errors[:2]).code == "UNABLE_TO_LOCK_ROW"


@pytest.mark.parametrize(
    ("status", "errors", "kind", "retry_class"),
    [
        (500, [row("UNKNOWN_EXCEPTION", "ErrorId 1-2")], TransportError, RetryClass.TRANSIENT),
        (502, [], TransportError, RetryClass.TRANSIENT),
        (503, [row("SERVER_UNAVAILABLE")], RefusedError, RetryClass.TRANSIENT),
        (503, [], TransportError, RetryClass.TRANSIENT),
        (401, [], AuthError, RetryClass.AUTH),
        (400, [row("WHAT_IS_THIS")], RefusedError, RetryClass.UNKNOWN),
        (404, [], RefusedError, RetryClass.CONFIG),
        (410, [], RefusedError, RetryClass.CONFIG),
        (429, [], RefusedError, RetryClass.LIMIT),
        (302, [], RefusedError, RetryClass.CONFIG),
        (403, [row("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")], RefusedError, RetryClass.LIMIT),
    ],
)
def test_failed_call_has_its_error_type_and_retry_class(
    status: int, errors: list[RowError], kind: type, retry_class: RetryClass
) -> None:
    error = error_for_call(classify_call(status, errors), status=status, errors=errors)
    assert type(error) is kind
    assert error.retry_class is retry_class
    assert error.hint


def test_errors_are_read_in_both_formats() -> None:
    assert read_errors([{"message": "m", "errorCode": "A", "fields": ["X"]}]) == (
        RowError(code="A", message="m", fields=("X",)),
    )
    assert read_errors([{"message": "m", "statusCode": "B", "fields": []}]) == (RowError(code="B", message="m"),)
    assert read_errors("<html>") == ()
