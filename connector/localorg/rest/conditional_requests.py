"""Conditional requests on rows (REST API guide, "Conditional Requests"): dates for any object, tags for accounts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from connector.localorg.errors import Refusal
from connector.localorg.write_plan import WritePlan, Row

_TAGGED = "Account"


def told(plan: WritePlan, row: Row) -> dict[str, str]:
    """The headers that later requests can name."""
    modified = _modified(row)
    headers = {"Last-Modified": format_datetime(modified, usegmt=True)} if modified else {}
    if plan.name == _TAGGED:
        headers["ETag"] = _tag(row)
    return headers


def known(plan: WritePlan, row: Row, headers: Mapping[str, str]) -> bool:
    """Whether the caller has this state already: 304."""
    listed = _tags(headers, "if-none-match") if plan.name == _TAGGED else None
    if listed is not None:
        return "*" in listed or _tag(row) in listed
    since, modified = date(headers, "if-modified-since"), _modified(row)
    return since is not None and modified is not None and modified <= since


def check(plan: WritePlan, row: Row, headers: Mapping[str, str]) -> None:
    """412 when the row is no longer what the caller thinks."""
    listed = _tags(headers, "if-match") if plan.name == _TAGGED else None
    if listed is not None and "*" not in listed and _tag(row) not in listed:
        raise _changed()
    limit, modified = date(headers, "if-unmodified-since"), _modified(row)
    if limit and modified and modified > limit:
        raise _changed()


def date(headers: Mapping[str, str], name: str) -> datetime | None:
    """An HTTP date; what is none does not count."""
    try:
        moment = parsedate_to_datetime(headers[name]) if name in headers else None
        return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _changed() -> Refusal:
    return Refusal("ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE", "The record was modified since.", status=412)


def _modified(row: Row) -> datetime | None:
    text = row.get("LastModifiedDate")
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.000%z") if isinstance(text, str) else None


def _tag(row: Row) -> str:
    digest = hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:32]
    return f'"{digest}--gzip"'


def _tags(headers: Mapping[str, str], name: str) -> set[str] | None:
    return {part.strip() for part in headers[name].split(",")} if name in headers else None
