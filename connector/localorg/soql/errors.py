"""Query errors as the platform words them: a code, the text around the error, a caret and a position."""

from __future__ import annotations

CONTEXT = 40


class SoqlError(Exception):
    """`code` and `message` as REST answers them."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def error_at(text: str, position: int, code: str, message: str) -> SoqlError:
    """Return the error at `position` of `text`."""
    flat = text.replace("\n", " ").replace("\r", " ")
    start = max(0, position - CONTEXT)
    excerpt = flat[start : position + CONTEXT]
    caret = " " * (position - start) + "^"
    before = text[:position]
    row = before.count("\n") + 1
    column = position - (before.rfind("\n") + 1) + 1
    return SoqlError(code, f"\n{excerpt}\n{caret}\nERROR at Row:{row}:Column:{column}\n{message}")


def malformed_query(text: str, position: int, message: str) -> SoqlError:
    return error_at(text, position, "MALFORMED_QUERY", message)
