"""What a resync is for, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from connector.model.resync import MOMENTS

MOST_KEYS = 5
_VERBS = {"push": "Send", "pull": "Read", "compare": "Compare"}


def describe_resync(mode: str, entity: str, chosen: Mapping[str, object]) -> str:
    """`Send customers: refused since 2026-11-29 00:00 UTC`; `chosen` is the filter as a document."""
    words = [" ".join(part for part in pair if part) for pair in filter_words(chosen, utc_minute)]
    return f"{_VERBS[mode]} {entity}s: {'; '.join(words) or 'all of them'}"


def filter_words(chosen: Mapping[str, object], show_moment: Callable[[str], str]) -> list[tuple[str, str]]:
    """Name and value of each part of a filter. A plan of mappings needs no value: its ID says nothing to people."""
    found = []
    for name, value in chosen.items():
        if name == "mapping_plan":
            found.append(("what the plan of a mapping changes, and what was changed since", ""))
        elif name == "keys" and isinstance(value, list):
            more = f" and {len(value) - MOST_KEYS:,} more" if len(value) > MOST_KEYS else ""
            found.append((name, ", ".join(map(str, value[:MOST_KEYS])) + more))
        else:
            found.append((name.replace("_", " "), show_moment(str(value)) if name in MOMENTS else str(value)))
    return found


def utc_minute(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M} UTC"
