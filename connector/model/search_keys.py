"""How names, emails and phones are compared when somebody searches for them. PURE."""

from __future__ import annotations

import re
import unicodedata

SHORTEST_PHONE = 5
"""Digits. Fewer would find too many."""
LONGEST_WORD, MOST_WORDS = 40, 12
_PLAIN = str.maketrans(
    {"ø": "o", "æ": "ae", "œ": "oe", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "ł": "l", "ŋ": "n", "þ": "th", "ŧ": "t"}
)
"""Letters that do not consist of a plain one and an accent."""
_WORD = re.compile(r"[^\W_]+")


def name_words(text: str) -> list[str]:
    """The words of a name as they are searched for, without capital letters and accents, each once:
    `Épicerie Sørensen` has `epicerie` and `sorensen`. An apostrophe divides no word: `O'Neill` is `oneill`."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in parts if not unicodedata.combining(letter) and letter not in "'’`")
    words = (word[:LONGEST_WORD] for word in _WORD.findall(plain.translate(_PLAIN)))
    return list(dict.fromkeys(words))[:MOST_WORDS]


def email_key(text: str | None) -> str | None:
    """The email as it is searched for, whatever its capital letters."""
    return (text or "").strip().casefold() or None


def phone_key(text: str | None) -> str | None:
    """The digits of a phone number from the last to the first, so that `0170 555 123` finds `+49 170 555123` by the
    beginning they share; None if they are too few."""
    digits = "".join(letter for letter in text or "" if letter.isascii() and letter.isdigit())
    return digits[::-1] if len(digits) >= SHORTEST_PHONE else None


def typed_phone_key(text: str) -> str | None:
    """The beginning of `phone_key` that a typed number stands for; None if it is no phone number."""
    if any(letter.isalpha() for letter in text):
        return None
    found = phone_key(text)
    return None if found is None else phone_key(found[::-1].lstrip("0"))
