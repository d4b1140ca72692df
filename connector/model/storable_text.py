"""Text of the org as both databases can store it. PURE.

PostgreSQL stores no NUL character, and neither database stores half of a character (a lone surrogate). Both can stand
in a text field of the org. They are replaced by U+FFFD wherever a response or an event is decoded, so that the rest of
the record, and every other record of its transaction, is applied; what is stored and compared is the same everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")
"""NUL, and a lone surrogate."""

_SUSPICIOUS = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_ESCAPES = re.compile(
    rb"(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"  # a backslash, or a whole character
    rb"|\\u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2})"
)

_HALF = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")


def storable(text: str) -> str:
    """`text`, with the replacement character in the place of each that cannot be stored."""
    return NOT_STORABLE.sub(REPLACEMENT, text)


def storable_values(value: Any) -> Any:
    """`value` with all texts in it storable: what Avro or JSON decodes to."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {name: storable_values(item) for name, item in value.items()}
    return [storable_values(item) for item in value] if isinstance(value, list) else value


def storable_json(content: bytes) -> bytes:
    """JSON text whose strings are storable. A NUL stands there as an escape only; half of a character also as bytes."""
    if b"\xed" in content:
        content = _HALF.sub(REPLACEMENT.encode(), content)
    if b"\\u" not in content or _SUSPICIOUS.search(content) is None:
        return content
    return _ESCAPES.sub(lambda match: match[1] or b"\\ufffd", content)


def storable_csv(content: bytes) -> bytes:
    """CSV text in UTF-8 that is storable."""
    if b"\xed" in content:
        content = _HALF.sub(REPLACEMENT.encode(), content)
    return content.replace(b"\x00", REPLACEMENT.encode())
