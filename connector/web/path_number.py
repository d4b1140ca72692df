"""Numbers in paths and queries."""

from __future__ import annotations

from connector.web.problem import ProblemError
from connector.web.routing import RequestContext

MAX_DIGITS = 18


def is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS


def path_number(call: RequestContext, name: str, noun: str) -> int:
    """A path parameter that is the number of a `noun`. Raises ProblemError 404 if it is none."""
    text = call.path_key(name)
    if not is_number(text):
        raise ProblemError(404, "unknown", f"There is no {noun} {text}.", field=name)
    return int(text)


def query_number(call: RequestContext, name: str) -> int | None:
    """A query parameter that is the ID at which a page ends. Raises ProblemError 400 if it is none."""
    text = call.query_value(name)
    if text is None:
        return None
    if not is_number(text):
        hint = f"Use the `{name}` of the previous page."
        raise ProblemError(400, "query", f"{name}: invalid id {text[:80]!r}.", field=name, hint=hint)
    return int(text)
