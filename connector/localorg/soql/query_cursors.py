"""Query locators: the rest of a query's rows, kept for as long as the platform keeps it."""

from __future__ import annotations

import random
import re
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from connector.localorg import ids
from connector.localorg.errors import Refusal
from connector.localorg.soql.query_result import PagedResult

_OPEN_CURSORS = 10
_CURSOR_LIFETIME = timedelta(days=2)
_LOCATOR = re.compile(r"(01g[A-Za-z0-9]{15})-(\d{1,9})\Z", re.ASCII)


@dataclass(slots=True)
class _Cursor:
    result: PagedResult
    page: int
    opened: datetime


class QueryCursors:
    def __init__(self, source: random.Random) -> None:
        self._source = source
        self._open: OrderedDict[str, _Cursor] = OrderedDict()

    def first_page(self, result: PagedResult, page: int, now: datetime, base: str) -> dict[str, Any]:
        if result.rows <= page:
            return {"totalSize": result.total_size, "done": True, "records": result.page(0, page)}
        return self.next_page(f"{self.open_cursor(result, page, now)}-0", now, base)

    def open_cursor(self, result: PagedResult, page: int, now: datetime) -> str:
        """Return a locator for the rest of a result. Too many open cursors close the oldest."""
        locator = ids.make("01g", self._source.getrandbits(40))
        self._open[locator] = _Cursor(result, page, now)
        while len(self._open) > _OPEN_CURSORS:
            self._open.popitem(last=False)
        return locator

    def next_page(self, name: str, now: datetime, base: str) -> dict[str, Any]:
        match = _LOCATOR.match(name)
        cursor = self._open.get(match[1]) if match else None
        if (
            match is None
            or cursor is None
            or now - cursor.opened > _CURSOR_LIFETIME
            or int(match[2]) >= cursor.result.rows
        ):
            raise Refusal("INVALID_QUERY_LOCATOR", "invalid query locator")
        start = int(match[2])
        end = start + cursor.page
        body: dict[str, Any] = {"totalSize": cursor.result.total_size, "done": end >= cursor.result.rows}
        if not body["done"]:
            body["nextRecordsUrl"] = f"{base}/query/{match[1]}-{end}"
        body["records"] = cursor.result.page(start, cursor.page)
        return body
