"""Pagination: the `limit` of a page, and the key `after` which the next page begins."""

from __future__ import annotations

from typing import Protocol

from connector.web.problem import ProblemError
from connector.web.routing import RequestContext

DEFAULT_LIMIT, MAX_LIMIT = 50, 200
QUERIES = {"after": "list only keys after this one", "limit": f"page size, up to {MAX_LIMIT}; default: {DEFAULT_LIMIT}"}


def limit_of(call: RequestContext) -> int:
    text = call.query_value("limit") or str(DEFAULT_LIMIT)
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(MAX_LIMIT)) or not 1 <= int(text) <= MAX_LIMIT:
        raise ProblemError(
            400,
            "query",
            f"limit: invalid value {text[:80]!r}.",
            field="limit",
            hint=f"Use a number from 1 to {MAX_LIMIT}.",
        )
    return int(text)


class ListKeys(Protocol):
    """Returns up to `limit` keys greater than `after`, in byte order."""

    async def __call__(self, *, after: str | None, limit: int) -> list[str]: ...


async def load_page(call: RequestContext, list_keys: ListKeys) -> tuple[list[str], str | None]:
    """Return the keys of this page, in byte order, and the `after` of the next page; None if there is none."""
    limit = limit_of(call)
    keys = await list_keys(after=call.query_value("after"), limit=limit + 1)
    return keys[:limit], keys[limit - 1] if len(keys) > limit else None
