"""Lists a page at a time: how many at most, and the key to go on after."""

from __future__ import annotations

from typing import Protocol

from connector.web.problem import ProblemError
from connector.web.routing import RequestContext

USUAL, MOST = 50, 200
QUERIES = {"after": "the key to go on after", "limit": f"at most so many, up to {MOST}; {USUAL} if absent"}


def limit_of(call: RequestContext) -> int:
    text = call.asked("limit") or str(USUAL)
    if not text.isdecimal() or len(text) > len(str(MOST)) or not 1 <= int(text) <= MOST:
        raise ProblemError(
            400, "query", f"{text[:80]!r} is no limit.", field="limit", hint=f"It is a number from 1 to {MOST}."
        )
    return int(text)


class ListKeys(Protocol):
    """Up to `limit` keys behind `after`, in byte order."""

    async def __call__(self, *, after: str | None, limit: int) -> list[str]: ...


async def page(call: RequestContext, list_keys: ListKeys) -> tuple[list[str], str | None]:
    """The keys of this page, in byte order, and the one to go on after; None if nothing follows."""
    limit = limit_of(call)
    keys = await list_keys(after=call.asked("after"), limit=limit + 1)
    return keys[:limit], keys[limit - 1] if len(keys) > limit else None
