"""Conditional requests on rows: dates for any object, ETags for accounts (REST API guide, "Conditional Requests")."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from connector.localorg.errors import Refusal
from connector.localorg.write_plan import Row, WritePlan

_ETAG_OBJECT = "Account"


def validator_headers(plan: WritePlan, row: Row) -> dict[str, str]:
    """Return the headers that later conditional requests can refer to."""
    modified = _last_modified(row)
    headers = {"Last-Modified": format_datetime(modified, usegmt=True)} if modified else {}
    if plan.name == _ETAG_OBJECT:
        headers["ETag"] = _etag(row)
    return headers


def is_not_modified(plan: WritePlan, row: Row, headers: Mapping[str, str]) -> bool:
    """Whether the caller already has this state, which is answered with 304."""
    listed = _header_etags(headers, "if-none-match") if plan.name == _ETAG_OBJECT else None
    if listed is not None:
        return "*" in listed or _etag(row) in listed
    since, modified = parse_http_date(headers, "if-modified-since"), _last_modified(row)
    return since is not None and modified is not None and modified <= since


def check_preconditions(plan: WritePlan, row: Row, headers: Mapping[str, str]) -> None:
    """Refuse with 412 if the row has changed since the state that the caller names."""
    listed = _header_etags(headers, "if-match") if plan.name == _ETAG_OBJECT else None
    if listed is not None and "*" not in listed and _etag(row) not in listed:
        raise _precondition_failed()
    limit, modified = parse_http_date(headers, "if-unmodified-since"), _last_modified(row)
    if limit and modified and modified > limit:
        raise _precondition_failed()


def parse_http_date(headers: Mapping[str, str], name: str) -> datetime | None:
    """Parse an HTTP date. None if the header is absent or no date."""
    try:
        moment = parsedate_to_datetime(headers[name]) if name in headers else None
        return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _precondition_failed() -> Refusal:
    return Refusal("ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE", "The record was modified since.", status=412)


def _last_modified(row: Row) -> datetime | None:
    text = row.get("LastModifiedDate")
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.000%z") if isinstance(text, str) else None


def _etag(row: Row) -> str:
    digest = hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:32]
    return f'"{digest}--gzip"'


def _header_etags(headers: Mapping[str, str], name: str) -> set[str] | None:
    return {part.strip() for part in headers[name].split(",")} if name in headers else None
