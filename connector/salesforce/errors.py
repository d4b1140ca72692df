"""Reads the org's error bodies into RowErrors, and builds the exception for a failed call."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import unescape

from connector.errors import AuthError, RefusedError, RetryClass, SalesforceError, TransportError
from connector.model.outcome import Duplicates, RowError
from connector.salesforce.fault import Fault, NoResponse, classify_no_response, classify_rows

_LONGEST_MESSAGE = 2_000
_SOAP_FAULT = re.compile(r"<faultcode>\s*\w+:(\w+)\s*</faultcode>\s*<faultstring>([^<]*)</faultstring>")


class UnreadableResponseError(TransportError):
    """No usable response came from `address`; `reason` says why."""

    def __init__(self, silence: NoResponse, address: str = "") -> None:
        self.reason = silence
        self.fault = classify_no_response(silence)
        where = f" ({address})." if address else "."
        message = self.fault.sentence.removesuffix(".") + where
        super().__init__(
            message, hint=self.fault.fix, retry_class=self.fault.retry_class, code=str(silence), scope=self.fault.scope
        )


def read_errors(body: Any) -> tuple[RowError, ...]:
    """The errors in an error body; empty for anything else (HTML, an empty body).

    The data API answers `[{errorCode, message, fields?}]`; collections and events call the code `statusCode` (REST API
    Developer Guide, "Status Codes and Error Responses"). SOAP answers a fault whose code has a prefix.
    """
    if isinstance(body, str) and (fault := _SOAP_FAULT.search(body)):
        return (RowError(code=fault[1], message=unescape(fault[2])[:_LONGEST_MESSAGE]),)
    items = body if isinstance(body, list) else [body]
    return tuple(error for item in items if isinstance(item, Mapping) and (error := _read_error(item)) is not None)


def _read_error(item: Mapping[str, Any]) -> RowError | None:
    code = item.get("errorCode") or item.get("statusCode")
    if not isinstance(code, str):
        return None
    fields = item.get("fields")
    return RowError(
        code=code,
        message=str(item.get("message") or "")[:_LONGEST_MESSAGE],
        fields=tuple(str(name) for name in fields) if isinstance(fields, list) else (),
        duplicates=_read_duplicates(item.get("duplicateResult") or item.get("duplicateResut")),
    )


def _read_duplicates(result: Any) -> Duplicates | None:
    """The records that a duplicate rule found, without their values. (Older API versions misspell the name of the
    result.)"""
    if not isinstance(result, Mapping):
        return None
    records: dict[tuple[str, str], None] = {}
    for match in _mappings(result.get("matchResults")):
        for matched_record in _mappings(match.get("matchRecords")):
            record = matched_record.get("record")
            if isinstance(record, Mapping) and isinstance(record.get("Id"), str):
                attributes = record.get("attributes")
                sobject = attributes.get("type") if isinstance(attributes, Mapping) else None
                records[str(sobject or match.get("entityType") or ""), record["Id"]] = None
    return Duplicates(rule=str(result.get("duplicateRule") or ""), records=tuple(records))


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def error_for_call(fault: Fault, *, status: int, errors: Sequence[RowError]) -> SalesforceError:
    """The exception for an error response to a whole call: AuthError for a session that the org does not accept,
    TransportError if the org may have done the work, else RefusedError. Its `detail` is the org's own message."""
    error = _as_error(fault, status, errors)
    error.detail = errors[0].message.strip() if errors else ""
    return error


def _as_error(fault: Fault, status: int, errors: Sequence[RowError]) -> SalesforceError:
    message = f"{fault.sentence.removesuffix('.')} (HTTP {status}, {fault.code})."
    if fault.retry_class is RetryClass.AUTH:
        return AuthError(message, hint=fault.fix, retry_class=fault.retry_class, code=fault.code)
    if not fault.outcome_known:
        return TransportError(
            message, hint=fault.fix, retry_class=fault.retry_class, code=fault.code, scope=fault.scope
        )
    fields = tuple(name for error in errors for name in error.fields)
    refused = RefusedError(
        message, code=fault.code, status=status, hint=fault.fix, retry_class=fault.retry_class, scope=fault.scope
    )
    refused.fields = fields
    return refused


def error_for_subrequest(errors: Sequence[RowError], *, status: int) -> RefusedError:
    """The exception for a refused part of a call, as if it had been a call of its own."""
    error = error_for_call(classify_rows(errors), status=status, errors=errors)
    if isinstance(error, RefusedError):
        return error
    refused = RefusedError(
        error.message,
        code=errors[0].code,
        status=status,
        hint=error.hint,
        retry_class=error.retry_class,
        scope=error.scope,
    )
    refused.detail = error.detail
    return refused
