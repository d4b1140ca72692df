"""Read the body of a request within a time limit, decompress it, and parse it strictly; raises ProblemError."""

from __future__ import annotations

import asyncio
import codecs
from typing import TypeVar

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, ValidationError

from connector.model.strict_json import parse_json
from connector.validation import field_errors
from connector.web.problem import ProblemError

JSON = "application/json"
ENCODINGS = ("gzip", "deflate", "identity")
LARGEST_BODY = 2 * 1024 * 1024
"""Bytes, unpacked; a larger body is refused with 413."""
BODY_SECONDS = web.AppKey("body_seconds", float)
"""Seconds that a client can take to send a body."""
DEFAULT_BODY_SECONDS = 30.0

B = TypeVar("B", bound=BaseModel)


async def read_body(request: web.Request, model: type[B]) -> B:
    """Return the body as `model`; raises ProblemError with all faults of the body."""
    text = _decode(request, await _receive(request))
    try:
        value = parse_json(text)
    except ValueError as error:
        raise ProblemError(400, "json", f"The body cannot be read: {error}.", hint="Send one JSON object.") from None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = field_errors(error, model)
        errors = [{"field": item.field, "rule": "input", "detail": item.text} for item in problems]
        first = problems[0]
        raise ProblemError(422, "input", first.sentence("body"), field=first.field, errors=errors) from None


def unknown_encoding() -> ProblemError:
    allowed = ", ".join(ENCODINGS)
    return ProblemError(
        415, "content_encoding", "The content encoding is not supported.", field="Content-Encoding",
        hint=f"Use one of {allowed}.",
    ).with_headers({"Accept-Encoding": allowed})  # fmt: skip


async def _receive(request: web.Request) -> bytes:
    """Return the complete body, decompressed."""
    if request.content_type != JSON:
        raise ProblemError(415, "content_type", f"The body must be {JSON}.", hint=f"Send `Content-Type: {JSON}`.")
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in ENCODINGS:
        raise unknown_encoding()
    seconds = request.app[BODY_SECONDS]
    try:
        async with asyncio.timeout(seconds):
            return await request.read()
    except TimeoutError:
        raise ProblemError(
            408, "timeout", f"The body did not arrive within {seconds:g} seconds.", hint="Send it without pauses.",
        ).with_headers({"Connection": "close"}) from None  # fmt: skip
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError):
        raise ProblemError(
            400, "body", "The body cannot be read: it is incomplete, or is not encoded as its headers say.",
            hint="Check Content-Length, Transfer-Encoding and Content-Encoding.",
        ).with_headers({"Connection": "close"}) from None  # fmt: skip


def _decode(request: web.Request, body: bytes) -> str:
    """Decode the body as UTF-8; a byte order mark is ignored."""
    try:
        is_utf8 = codecs.lookup(request.charset or "utf-8").name in {"utf-8", "utf-8-sig", "ascii"}
    except (LookupError, ValueError):
        is_utf8 = False
    if not is_utf8:
        raise ProblemError(400, "json", "The body must be UTF-8.", field="Content-Type",
                           hint=f"Send `Content-Type: {JSON}; charset=utf-8`.")  # fmt: skip
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        detail = f"The body is not UTF-8: byte {error.start + 1} is invalid."
        raise ProblemError(400, "json", detail, hint="Send it as UTF-8.") from None
