"""Refusals of the org: an error code, a message, the fields concerned and the HTTP status, in Salesforce's words.

The same refusal has two shapes: row resources use `errorCode`, lists of rows use `statusCode`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

STATUS_BY_CODE = {
    "NOT_FOUND": 404,
    "ENTITY_IS_DELETED": 404,
    "INVALID_SESSION_ID": 401,
    "INVALID_AUTH_HEADER": 401,
    "METHOD_NOT_ALLOWED": 405,
    "REQUEST_LIMIT_EXCEEDED": 403,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "UNSUPPORTED_API_VERSION": 410,
}


class Refusal(Exception):  # noqa: N818 - the org refuses; nothing went wrong in it
    """The org refuses a call or a row. `fields=None` leaves the key out where the platform does; `more` adds keys to
    the body.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        fields: Sequence[str] | None = None,
        status: int = 0,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.fields = fields
        self.more = dict(more or {})
        self.status = status or STATUS_BY_CODE.get(code, 400)

    def rest_error(self) -> dict[str, Any]:
        body: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        if self.fields is not None:
            body["fields"] = list(self.fields)
        return body | self.more

    def row_error(self) -> dict[str, Any]:
        return {"statusCode": self.code, "message": self.message, "fields": list(self.fields or ())} | self.more


class MultipleMatches(Exception):  # noqa: N818 - answered with 300 and a list, not an error
    """More than one record has this external ID."""

    def __init__(self, ids: Sequence[str]) -> None:
        super().__init__("more than one record")
        self.ids = tuple(ids)


def not_found(message: str = "The requested resource does not exist") -> Refusal:
    return Refusal("NOT_FOUND", message)


def invalid_reference(fields: Sequence[str] = ()) -> Refusal:
    return Refusal("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", fields=fields)


def json_parser_error(message: str) -> Refusal:
    return Refusal("JSON_PARSER_ERROR", message)
