"""How a person's email and phone are compared when somebody searches for them. PURE."""

from __future__ import annotations

SHORTEST_PHONE = 5
"""Digits. Fewer would find too many."""


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
