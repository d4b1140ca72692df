"""SOQL: quotes values with simple-salesforce, divides long IN lists to fit into a URL, and returns plain rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any
from urllib.parse import quote

from connector.salesforce.errors import UnreadableResponseError
from connector.salesforce.fault import NoResponse
from connector.salesforce.limits import QUERY_URL_ROOM


def soql(template: str, **values: object) -> str:
    """`template` with each `{name}` as a SOQL literal: text quoted and escaped, lists in parentheses, datetimes in UTC
    to the second. `{name:literal}` puts a field or object name in as it is, `{name:like}` escapes for LIKE."""
    return str(_format_soql()(template, **values))


@cache
def _format_soql() -> Callable[..., object]:
    """simple-salesforce's `format_soql`, loaded from its file: the package would bring a SOAP stack of 20 MB along."""
    package = find_spec("simple_salesforce")
    assert package is not None
    [folder] = package.submodule_search_locations or []
    spec = spec_from_file_location("simple_salesforce_format", Path(folder) / "format.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    function: Callable[..., object] = module.format_soql
    return function


def in_chunks(template: str, values: Sequence[str], *, room: int = QUERY_URL_ROOM, **others: object) -> Iterator[str]:
    """Queries that together ask for all `values`: `template` has `IN {values}`, and each query fits into a URL.

    ValueError if one value alone does not fit.
    """
    empty = len(query_path(soql(template, values=[], **others), include_deleted=True))
    chunk: list[str] = []
    size = empty
    for value in values:
        cost = len(encoded(soql("{value},", value=value)))
        if empty + cost > room:
            raise ValueError("a value is too long for a query")
        if size + cost > room:
            yield soql(template, values=chunk, **others)
            chunk, size = [], empty
        chunk.append(value)
        size += cost
    if chunk:
        yield soql(template, values=chunk, **others)


def encoded(text: str) -> str:
    """`text` as the value of a URL parameter; a `+` in it stays a plus."""
    return quote(text, safe="")


def query_path(query: str, *, include_deleted: bool = False) -> str:
    return f"{'queryAll' if include_deleted else 'query'}/?q={encoded(query)}"


def fits_url(path: str) -> bool:
    return len(path) <= QUERY_URL_ROOM


def read_page(body: Any) -> tuple[list[dict[str, Any]], str | None]:
    """The rows of one page, without their `attributes`, and the path of the next page.

    Raises UnreadableResponseError for another shape, and for a next page that is not a path of this org's API.
    """
    if not isinstance(body, Mapping) or not isinstance(body.get("records"), list):
        raise UnreadableResponseError(NoResponse.UNREADABLE)
    following = body.get("nextRecordsUrl")
    if following is not None and not str(following).startswith("/services/data/"):
        raise UnreadableResponseError(NoResponse.UNREADABLE)
    return [_plain(record) for record in body["records"]], following


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    record.pop("attributes", None)
    for value in record.values():
        if isinstance(value, dict):
            _plain(value)
            if isinstance(value.get("records"), list):
                for child in value["records"]:
                    _plain(child)
    return record
