"""Read the org's pages as a browser without scripts does."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

if TYPE_CHECKING:
    from tests.org.conftest import Caller


class Reader:
    """Reads pages and keeps cookies."""

    def __init__(self, caller: Caller, http: aiohttp.ClientSession) -> None:
        self.caller = caller
        self.http = http

    async def get(self, path: str, status: int = 200, method: str = "GET") -> str:
        async with self.http.request(method, URL(self.caller.org.url + path, encoded=True)) as answer:
            assert answer.status == status, path
            assert answer.content_type == "text/html"
            return await answer.text()

    async def rows(self, path: str) -> list[str]:
        """Return the row headers of a page's tables."""
        return heads(await self.get(path))


def heads(page: str) -> list[str]:
    return [plain(found) for found in re.findall(r"<th scope=\"row\".*?</th>", page, re.DOTALL)]


def plain(markup: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", markup)).strip()


def following(page: str, label: str) -> str:
    """Return the address of the link with this label."""
    return unescape(re.findall(rf'<a href="([^"]+)">{label}', page)[0])
