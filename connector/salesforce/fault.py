"""Classifies errors of the org by HTTP status, errorCode and kind of missing response, using `fault_table`.

The class decides whether to retry (`retry_class`), what the error concerns (`scope`), whether a repeat within seconds
can help (`soon`), whether the outcome is known (`outcome_known`), and the text for a person. No
other module looks at an errorCode to decide about a repeat.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from connector.errors import RetryClass, Scope
from connector.model.outcome import RowError
from connector.salesforce.fault_table import (
    CONTENTS,
    OF_FIELDS,
    OF_THE_RECORD,
    RECORD_CODES,
    REDIRECT,
    SIZE,
    STATUSES,
    TABLE,
    UNKNOWN_4XX,
    UNKNOWN_5XX,
    Fault,
    NoResponse,
)

__all__ = [
    "OF_FIELDS",
    "TABLE",
    "Fault",
    "NoResponse",
    "classify_call",
    "classify_no_response",
    "classify_row",
    "classify_rows",
    "without_replay",
]

_LOCK_WORDS = ("unable_to_lock_row", "unable to obtain exclusive access")
_LOCK_IN_TEXT = frozenset({
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "CANNOT_EXECUTE_FLOW_TRIGGER", "FIELD_CUSTOM_VALIDATION_EXCEPTION",
    "APEX_ERROR", "UNKNOWN_EXCEPTION",
})  # fmt: skip
_VARIANTS: tuple[tuple[str, str, str], ...] = (  # code, words in the lower-cased message, variant
    ("REQUEST_LIMIT_EXCEEDED", "concurrent", "REQUEST_LIMIT_EXCEEDED/concurrent"),
    ("INVALID_FIELD", "foreign key external id", "INVALID_FIELD/lookup"),
    ("NOT_FOUND", "external id field does not exist", "INVALID_FIELD"),
    ("DUPLICATE_VALUE", "price definition already exists", "DUPLICATE_VALUE/price"),
    ("FIELD_INTEGRITY_EXCEPTION", "price definition already exists", "DUPLICATE_VALUE/price"),
    ("FIELD_INTEGRITY_EXCEPTION", "activated order", "FIELD_INTEGRITY_EXCEPTION/activated"),
    ("DELETE_FAILED", "activated order", "FIELD_INTEGRITY_EXCEPTION/activated"),
    ("FIELD_INTEGRITY_EXCEPTION", "inactive", "FIELD_INTEGRITY_EXCEPTION/inactive"),
    ("FIELD_INTEGRITY_EXCEPTION", "price book", "FIELD_INTEGRITY_EXCEPTION/price book"),
    ("FIELD_INTEGRITY_EXCEPTION", "pricebook", "FIELD_INTEGRITY_EXCEPTION/price book"),
)


def classify_row(error: RowError, *, keys: Collection[str] = ()) -> Fault:
    """The fault of one error of one row.

    `keys` are the external ID fields that the write was keyed by. A DUPLICATE_VALUE on one of them is a race with
    another call, which a repeat resolves; on any other field a person must decide.
    """
    text = error.message.lower()
    if error.code in _LOCK_IN_TEXT and any(words in text for words in _LOCK_WORDS):
        return _with_code(TABLE["UNABLE_TO_LOCK_ROW"], error.code)
    if error.code == "DUPLICATE_VALUE" and any(f"{key.lower()} duplicates value" in text for key in keys):
        return _with_code(TABLE["DUPLICATE_VALUE/key"], error.code)
    for code, words, variant in _VARIANTS:
        if error.code == code and words in text:
            return _with_code(TABLE[variant], code)
    return _with_code(_lookup(error.code) or UNKNOWN_4XX, error.code)


def classify_rows(errors: Sequence[RowError], *, keys: Collection[str] = ()) -> Fault:
    """The fault of a row with several errors: one that concerns the org first, then one that no repeat can help, then
    one that it can; followers last."""
    faults = [classify_row(error, keys=keys) for error in errors]
    if not faults:
        return _with_code(UNKNOWN_4XX, "UNKNOWN")
    return min(faults, key=lambda fault: (fault.follower, fault.scope is not Scope.ORG, fault.retry_class.retryable))


def classify_call(status: int, errors: Sequence[RowError] = ()) -> Fault:
    """The fault of an error response to a whole call. Without a known code the status decides: 5xx is transient with an
    unknown outcome, 3xx and 4xx are refusals. It concerns the org, unless the contents of the call can cause it."""
    fault = _classify_by_code_or_status(status, errors)
    if status in SIZE and fault.scope is Scope.DOUBT:
        return _with_code(STATUSES[status], fault.code)
    if status in CONTENTS:
        return fault
    in_doubt = status == 500 and fault.scope is not Scope.ORG
    return replace(fault, scope=Scope.DOUBT if in_doubt or fault.retry_class is RetryClass.ROW_LOCK else Scope.ORG)


def _classify_by_code_or_status(status: int, errors: Sequence[RowError]) -> Fault:
    if any(_lookup(error.code) for error in errors):
        return classify_rows(errors)
    code = errors[0].code if errors else f"HTTP_{status}"
    if status in STATUSES:
        return _with_code(STATUSES[status], code)
    if status >= 500:
        return _with_code(UNKNOWN_5XX, code)
    return _with_code(REDIRECT if 300 <= status < 400 else UNKNOWN_4XX, code)


def classify_no_response(silence: NoResponse) -> Fault:
    """The fault of a call without a usable response."""
    return _with_code(TABLE[silence], str(silence))


def without_replay(fix: str) -> str:
    """`fix` for something that stays due: it needs no replay, because it is sent again automatically."""
    return fix.replace(", then replay.", ".")


def _lookup(code: str) -> Fault | None:
    if code.startswith("TXN_SECURITY_"):
        return TABLE["TXN_SECURITY_END_SESSION"]
    return TABLE.get(code) or (OF_THE_RECORD if code in RECORD_CODES else None)


def _with_code(fault: Fault, code: str) -> Fault:
    return fault if fault.code == code else replace(fault, code=code)
