"""Keys: what identifies an entity, in one spelling at every door (HTTP, command line, import, rules). PURE.

Two keys are the same entity here exactly when they are the same record in the org, whose `External_Key__c` trims and
tells capital letters from small ones. So white space around a key is dropped, inside it becomes one ordinary space, and
letters are composed (NFC): spellings that look the same are the same key. What nobody can see is refused.
"""

from __future__ import annotations

import re
import unicodedata

LONGEST = 80
"""Characters of `External_Key__c`."""
LONGEST_ORDER_NUMBER = 60
"""Of a new order: leaves room for what is added to it, `-S1` (a split), `-RMA1` (a return), `-500` (a line)."""

_PLAIN = re.compile(r"[!-~]+(?: [!-~]+)*")
_AROUND = re.compile("^[\\s\u200b-\u200d\u2060\ufeff]+|[\\s\u200b-\u200d\u2060\ufeff]+$")
_REFUSED = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Unicode categories: control, format (zero width, bidirectional), surrogate, private use, line and paragraph."""
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""Letters and marks by their category that show nothing."""
_COMPOSED = 4
"""At most so many characters become one."""


def normalize_key(text: str) -> str:
    """The one spelling of a key. ValueError, to follow the name of the field, if it cannot be a key."""
    if len(text) <= LONGEST and _PLAIN.fullmatch(text):
        return text
    found = _AROUND.sub("", text)
    if not found:
        raise ValueError("is empty; it needs a value")
    if len(found) > LONGEST * _COMPOSED:
        raise _too_long(found)
    for character in found:
        if _is_refused(character):
            raise ValueError(f"has a character that cannot be seen ({_named(character)}); take it out")
    found = unicodedata.normalize("NFC", " ".join(found.split()))
    if len(found) > LONGEST:
        raise _too_long(found)
    return found


def is_normal(text: str) -> bool:
    """Whether `text` is a key in its one spelling."""
    try:
        return normalize_key(text) == text
    except ValueError:
        return False


def visible_key(text: str) -> str:
    """The key that somebody reads in `text`: without what cannot be seen, cut to length. Empty if nothing is left."""
    seen = "".join(" " if character.isspace() else character for character in text)
    seen = "".join(character for character in seen if not _is_refused(character))
    return unicodedata.normalize("NFC", " ".join(seen.split()))[:LONGEST].strip()


def check_new_order_number(number: str) -> None:
    """ValueError if the keys of its lines and returns could become too long for the org."""
    if len(number) > LONGEST_ORDER_NUMBER:
        raise ValueError(
            f"has {len(number)} characters; the number of a new order has at most {LONGEST_ORDER_NUMBER}, because"
            f" its lines and returns add theirs: shorten it"
        )


def _is_refused(character: str) -> bool:
    return unicodedata.category(character) in _REFUSED or _BLANK.match(character) is not None


def _named(character: str) -> str:
    name = unicodedata.name(character, "").lower()
    return f"U+{ord(character):04X}{f', {name}' if name else ''}"


def _too_long(text: str) -> ValueError:
    return ValueError(f"has {len(text):,} characters; a key has at most {LONGEST}: shorten it")
