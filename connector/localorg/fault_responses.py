"""Fault injection: canned responses to whole calls, and refusals of single rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import orjson

from connector.localorg.api_call import ApiResponse
from connector.localorg.errors import Refusal

MAX_COUNT = 100_000
DATA, SIGN_IN, WRITES = "data", "sign_in", "writes"
_MAX_TEXT_LENGTH = 2_000


@dataclass(frozen=True, kw_only=True, slots=True)
class CannedResponse:
    """A response to whole calls. With a `code` the body is the API's list of one error, else it is `body` as it is.

    `of` says which calls get it: `data` (all data calls), `writes` (data calls that write) or `sign_in`.
    """

    status: int = 503
    code: str = ""
    message: str = ""
    body: str = ""
    content_type: str = "text/html"
    location: str = ""
    retry_after: int | None = None
    of: str = DATA

    def __post_init__(self) -> None:
        if self.status not in range(200, 600):
            raise ValueError("answer.status: must be a number from 200 to 599")
        if self.of not in (DATA, WRITES, SIGN_IN):
            raise ValueError("answer.of: must be one of data, writes, sign_in")

    def response(self, path: str) -> ApiResponse:
        headers = {"Location": self.location + path} if self.location else {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.code:
            return ApiResponse(self.status, [{"message": self.message, "errorCode": self.code}], headers)
        return ApiResponse(self.status, self.body.encode(), headers | {"Content-Type": self.content_type})


@dataclass(frozen=True, kw_only=True, slots=True)
class RowRefusal:
    """A refusal of rows: of all, of those of one object, or of those that contain a text."""

    code: str
    message: str = ""
    fields: tuple[str, ...] = ()
    sobject: str = ""
    containing: str = ""

    def matches(self, sobject: str, body: Mapping[str, Any]) -> bool:
        if self.sobject and self.sobject != sobject:
            return False
        return self.containing in orjson.dumps(body, default=str).decode()

    def refusal(self) -> Refusal:
        return Refusal(self.code, self.message, fields=self.fields)


def parse_canned_response(body: object) -> tuple[CannedResponse, int]:
    """Return the response, and how many calls get it. ValueError names the option that is wrong."""
    fields, count = _check_keys("answer", body, CannedResponse)
    return CannedResponse(**fields), count


def parse_row_refusal(body: object) -> tuple[RowRefusal, int]:
    """Return the refusal, and how many rows get it. ValueError names the option that is wrong."""
    values, count = _check_keys("rows", body, RowRefusal)
    fields = values.pop("fields", [])
    if not isinstance(fields, list) or not all(isinstance(name, str) for name in fields):
        raise ValueError("rows.fields: must be a list of field names")
    if not values.get("code"):
        raise ValueError("rows.code: is required: a Salesforce error code")
    return RowRefusal(**values, fields=tuple(fields)), count


def render_fault(fault: CannedResponse | RowRefusal | None, count: int) -> dict[str, Any] | None:
    return asdict(fault) | {"count": count} if fault is not None and count else None


def _check_keys(name: str, body: object, kind: type) -> tuple[dict[str, Any], int]:
    if not isinstance(body, dict):
        raise ValueError(f"{name}: must be an object")
    values = dict(body)
    count = values.pop("count", 1)
    if not _is_whole_number(count, MAX_COUNT):
        raise ValueError(f"{name}.count: must be a whole number from 0 to {MAX_COUNT}")
    known_keys = [item.name for item in fields(kind)]
    for key, value in values.items():
        if key not in known_keys:
            raise ValueError(f"{name}.{key}: is unknown; one of {', '.join(known_keys)}")
        if key in {"status", "retry_after"} and not _is_whole_number(value, MAX_COUNT):
            raise ValueError(f"{name}.{key}: must be a whole number")
        if key not in {"status", "retry_after", "fields"} and not (
            isinstance(value, str) and len(value) <= _MAX_TEXT_LENGTH
        ):
            raise ValueError(f"{name}.{key}: must be a text of at most {_MAX_TEXT_LENGTH} characters")
    return values, count


def _is_whole_number(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most
