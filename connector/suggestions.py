"""Suggests the option that a person may have meant by a mistyped word."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def suggestion(word: str, options: Iterable[str]) -> str:
    """` Did you mean `x`?` if an option is close, else the options themselves, else nothing."""
    options_by_lower_case = {option.lower(): option for option in sorted(options, reverse=True)}
    close = get_close_matches(word.lower(), options_by_lower_case, n=1, cutoff=0.6)
    if close:
        return f" Did you mean `{options_by_lower_case[close[0]]}`?"
    longer = [option for option in options_by_lower_case if option.startswith(f"{word.lower()}_")]
    if len(longer) == 1:
        return f" Did you mean `{options_by_lower_case[longer[0]]}`?"
    return f" Use one of: {listed(options_by_lower_case.values())}." if 0 < len(options_by_lower_case) <= 30 else ""


def listed(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in sorted(words))
