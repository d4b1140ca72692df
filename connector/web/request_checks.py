"""Check the address and the headers of a request before it is routed."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from aiohttp import web
from aiohttp.typedefs import Handler

from connector.web.problem import ProblemError

CHECKED_HEADERS = (
    "Accept", "Authorization", "Content-Encoding", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match",
    "Origin",
)  # fmt: skip
"""Headers that the server reads; others are not checked."""
_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")


@web.middleware
async def check_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Raise ProblemError 400 for an address or a header that is not valid text."""
    _check_address(request)
    for name in CHECKED_HEADERS:
        values = request.headers.getall(name, ())
        if len(values) > 1 and name != "Accept":
            raise ProblemError(400, "header", f"{name} is there {len(values)} times.", field=name, hint="Send it once.")
        if any(not _is_text(value) for value in values):
            raise ProblemError(
                400, "header", f"{name} has bytes that are not UTF-8, or control characters.", field=name,
                hint="Send characters that can be seen.",
            )  # fmt: skip
    return await handler(request)


def check_parameters(request: web.Request) -> None:
    """Raise ProblemError 400 for a NUL in the path or the query: PostgreSQL rejects it, SQLite does not."""
    for name, value in (*request.match_info.items(), *request.query.items()):
        if "\x00" in value:
            raise ProblemError(400, "input", f"{name}: must not contain the character NUL.", field=name)


def _check_address(request: web.Request) -> None:
    raw = request.raw_path
    try:
        broken = _BROKEN.search(raw) is not None
        unquote_to_bytes(raw).decode()
    except UnicodeError:
        broken = True
    if broken:
        hint = "Write every special character as %XX in UTF-8, and a percent sign as %25."
        raise ProblemError(400, "address", "The address is not percent-encoded UTF-8.", hint=hint)


def _is_text(value: str) -> bool:
    """Return whether a header has no control characters and no lone surrogates, which stand for invalid UTF-8."""
    return not any((character < " " and character != "\t") or "\ud800" <= character <= "\udfff" for character in value)
