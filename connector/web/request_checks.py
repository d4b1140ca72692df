"""What is wrong with a request before anybody looks at what it asks for: its address and its headers."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from aiohttp import web
from aiohttp.typedefs import Handler

from connector.web.problem import ProblemError

HEEDED = (
    "Accept", "Authorization", "Content-Encoding", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match",
    "Origin",
)  # fmt: skip
"""Headers that are read here; whatever others carry is left alone."""
_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")


@web.middleware
async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
    """ProblemError 400 for an address or a header that is no text."""
    _check_address(request)
    for name in HEEDED:
        values = request.headers.getall(name, ())
        if len(values) > 1 and name != "Accept":
            raise ProblemError(400, "header", f"{name} is there {len(values)} times.", field=name, hint="Send it once.")
        if any(not _is_text(value) for value in values):
            raise ProblemError(
                400, "header", f"{name} has bytes that are not UTF-8, or control characters.", field=name,
                hint="Send characters that can be seen.",
            )  # fmt: skip
    return await handler(request)


def _check_address(request: web.Request) -> None:
    raw = request.raw_path
    try:
        broken = _BROKEN.search(raw) is not None
        unquote_to_bytes(raw).decode()
    except UnicodeError:
        broken = True
    if broken:
        hint = "Write every byte that is no plain character as %XX, in UTF-8; a percent sign itself as %25."
        raise ProblemError(400, "address", "The address is not percent-encoded UTF-8.", hint=hint)


def _is_text(value: str) -> bool:
    """Bytes that are not UTF-8 arrive as halves of surrogate pairs."""
    return not any((character < " " and character != "\t") or "\ud800" <= character <= "\udfff" for character in value)
