"""Normalized keys: spellings that look the same are equal, and invisible characters are rejected."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as some

from connector.model.keys import LONGEST, is_normal, normalize_key, visible_key


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("M-1", "M-1"),
        ("M-1 ", "M-1"),
        ("\u00a0M-1\u3000\t\n", "M-1"),
        ("\ufeffM-1\u200b", "M-1"),
        (" \u200b M-1", "M-1"),
        ("A  B", "A B"),
        ("A\u00a0B", "A B"),
        ("A\u2009\u3000B", "A B"),
        ("Cafe\u0301", "Caf\u00e9"),
        ("\u212a-1", "K-1"),
        ("a/b%20'\"\\", "a/b%20'\"\\"),
        ("m-1", "m-1"),
        ("\uff11", "\uff11"),
        ("x" * 80 + " ", "x" * 80),
        ("e\u0301" * 80, "\u00e9" * 80),
    ],
)  # fmt: skip
def test_spellings_that_look_the_same_are_normalized_to_one_key(text: str, key: str) -> None:
    assert normalize_key(text) == key
    assert is_normal(key)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        (" \u200b\u00a0", "is empty"),
        ("M\t1", "U+0009"),
        ("M\x001", "U+0000"),
        ("M\x7f1", "U+007F"),
        ("M\x851", "U+0085"),
        ("M\u200b1", "U+200B, zero width space"),
        ("M\u20281", "U+2028"),
        ("\u202eM-1", "U+202E, right-to-left override"),
        ("M-1\u200f", "U+200F, right-to-left mark"),
        ("M\u00ad1", "U+00AD, soft hyphen"),
        ("M\ufe0f1", "U+FE0F"),
        ("M\u31641", "U+3164"),
        ("M\U000e00411", "U+E0041"),
        ("M\ud8001", "U+D800"),
        ("x" * 81, "has 81 characters; a key has at most 80"),
        ("x" * 2_000_000, "has 2,000,000 characters"),
    ],
)
def test_key_that_is_empty_too_long_or_has_invisible_characters_is_rejected(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"(is empty|invisible|at most)") as caught:
        normalize_key(text)
    assert why in str(caught.value)
    assert not is_normal(text)


ODD = some.text(
    some.one_of(some.characters(), some.sampled_from("aA1-/ \u00a0\u200b\u202e\u0301\u0323\u1100\u1161\u11a8\u2126")),
    max_size=90,
)


@given(ODD)
def test_normalized_key_is_stable_and_has_nothing_to_trim(text: str) -> None:
    try:
        key = normalize_key(text)
    except ValueError:
        return
    assert normalize_key(key) == key
    assert key == key.strip() == unicodedata.normalize("NFC", key)
    assert 0 < len(key) <= LONGEST


@given(ODD)
def test_visible_key_of_any_text_is_a_key_or_empty(text: str) -> None:
    seen = visible_key(text)
    assert not seen or is_normal(seen)
