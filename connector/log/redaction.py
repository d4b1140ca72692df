"""Masks what must not be in a log: secrets, session IDs, e-mail addresses, telephone numbers.

What we log is made of our own words, keys and numbers. The text of an error may come from elsewhere, though: from the
org, a mail server or the database, and these quote what they refuse.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, MutableMapping
from typing import Any

SHORTEST_SECRET = 8
"""Shorter secrets are not looked for: they would mask ordinary words."""
MASK = "***"

_PATTERNS = {
    "detail": r"\bDETAIL:[^\n]*",  # PostgreSQL quotes the row in it
    "credentials": r"(?<=://)[^\s/:@]*:[^\s/@]*(?=@)",
    "token": r"Bearer [\w.~+/=!-]+|\b00D\w{12,15}![\w.]+|\beyJ[\w-]+\.[\w-]+\.[\w-]*|whsec_[\w+/=]+",
    "named": r"(?i:(?:pass(?:word|wd)|pwd|client_secret|api_?key|(?:access|refresh)_token)(?:\s*=|[\"']\s*:)\s*)"
    r"(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s\"'&;,)]+)",
    "email": r"[\w.+'-]+@[\w-]+(?:\.[\w-]+)+",
    "phone": r"\+\d[\d ()./-]{6,}\d",
}


class Redaction:
    """A processor of structlog."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = [
            re.escape(secret) for secret in sorted(secrets, key=len, reverse=True) if len(secret) >= SHORTEST_SECRET
        ]
        self._pattern = re.compile("|".join([*known, *_PATTERNS.values()]))

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for name, value in event.items():
            if name not in {"level", "timestamp"}:
                event[name] = self.mask(value)
        return event

    def mask(self, value: Any) -> Any:
        """The value with what must not be in a log masked, also inside of lists and documents."""
        match value:
            case str():
                return self._pattern.sub(MASK, value)
            case dict():
                return {self.mask(name): self.mask(item) for name, item in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self.mask(item) for item in value]
            case bool() | int() | float() | None:
                return value
            case _:
                return self._pattern.sub(MASK, str(value))
