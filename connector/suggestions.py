"""What a person may have meant by a word that is not an option."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def suggestion(word: str, options: Iterable[str]) -> str:
    """` Did you mean `x`?` if an option is close, else the options themselves, else nothing."""
    known = {option.lower(): option for option in sorted(options, reverse=True)}
    close = get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    if close:
        return f" Did you mean `{known[close[0]]}`?"
    return f" Use one of: {listed(known.values())}." if 0 < len(known) <= 30 else ""


def listed(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in sorted(words))
