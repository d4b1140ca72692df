"""Keys identify entities. Each key has one spelling, whether it comes by HTTP, command line, import or rules. PURE.

Two keys are the same entity here exactly when they are the same record in the org. The org trims `External_Key__c` and
compares it case-sensitively. So white space around a key is removed, white space inside it becomes one space, and
letters are composed (NFC): spellings that look the same are the same key. Invisible characters are rejected.
"""

from __future__ import annotations

import re
import unicodedata

LONGEST = 80
"""Length of `External_Key__c`, in characters."""
LONGEST_ORDER_NUMBER = 60
"""Limit for the number of a new order. It leaves room for suffixes: `-S1` (a split), `-RMA1` (a return), `-500` (a
line)."""

_PLAIN = re.compile(r"[!-~]+(?: [!-~]+)*")
_AROUND = re.compile("^[\\s\u200b-\u200d\u2060\ufeff]+|[\\s\u200b-\u200d\u2060\ufeff]+$")
_REFUSED = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Rejected Unicode categories: control, format (zero width, bidirectional), surrogate, private use, line and paragraph
separator."""
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""Characters that are letters or marks by category, but invisible."""
_COMPOSED = 4
"""NFC composes at most this many characters into one."""


def normalize_key(text: str) -> str:
    """Return the key in its one spelling. Raises ValueError if it cannot be a key; the message continues a sentence
    that begins with the name of the field."""
    if len(text) <= LONGEST and _PLAIN.fullmatch(text):
        return text
    key = _AROUND.sub("", text)
    if not key:
        raise ValueError("is empty; it needs a value")
    if len(key) > LONGEST * _COMPOSED:
        raise _too_long(key)
    for character in key:
        if _is_refused(character):
            raise ValueError(f"has an invisible character ({_describe_character(character)}); remove it")
    key = unicodedata.normalize("NFC", " ".join(key.split()))
    if len(key) > LONGEST:
        raise _too_long(key)
    return key


def is_normal(text: str) -> bool:
    """Return whether `text` is a key in its one spelling."""
    try:
        return normalize_key(text) == text
    except ValueError:
        return False


def visible_key(text: str) -> str:
    """Return the visible part of `text` as a key, cut to the maximal length; empty if nothing is visible."""
    seen = "".join(" " if character.isspace() else character for character in text)
    seen = "".join(character for character in seen if not _is_refused(character))
    return unicodedata.normalize("NFC", " ".join(seen.split()))[:LONGEST].strip()


def check_new_order_number(number: str) -> None:
    """Raise ValueError if the keys of the order's lines and returns could become too long for the org."""
    if len(number) > LONGEST_ORDER_NUMBER:
        raise ValueError(
            f"has {len(number)} characters; the number of a new order has at most {LONGEST_ORDER_NUMBER}, because"
            f" its lines and returns add theirs: shorten it"
        )


def _is_refused(character: str) -> bool:
    return unicodedata.category(character) in _REFUSED or _BLANK.match(character) is not None


def _describe_character(character: str) -> str:
    name = unicodedata.name(character, "").lower()
    return f"U+{ord(character):04X}{f', {name}' if name else ''}"


def _too_long(text: str) -> ValueError:
    return ValueError(f"has {len(text):,} characters; a key has at most {LONGEST}: shorten it")
