"""Lists a page at a time: how many at most, and the key to go on after."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Select

from connector.store.engine import Connection
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


async def page(
    call: RequestContext, connection: Connection, statement: Select[Any], key: Column[str]
) -> tuple[list[str], str | None]:
    """The keys of this page, in byte order, and the one to go on after; None if nothing follows."""
    limit = limit_of(call)
    if after := call.asked("after"):
        statement = statement.where(key > after)
    keys = list((await connection.execute(statement.order_by(key).limit(limit + 1))).scalars())
    return keys[:limit], keys[limit - 1] if len(keys) > limit else None
