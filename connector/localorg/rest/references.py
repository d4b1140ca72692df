"""References `@{id.path}` between subrequests: find them, order the subrequests by them, resolve them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from connector.localorg.errors import Refusal, json_parser_error

_REFERENCE = re.compile(r"@\{\s*([A-Za-z0-9_]+)((?:\.[A-Za-z0-9_]+|\[\d+\])*)\s*\}")
_STEP = re.compile(r"\.([A-Za-z0-9_]+)|\[(\d+)\]")
_REFERENCE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*\Z")
_METHODS = {"GET", "POST", "PATCH", "PUT", "DELETE", "HEAD"}

ROLLED_BACK = "The transaction was rolled back since another operation in the same transaction failed."


@dataclass(frozen=True, slots=True)
class Subrequest:
    """One subrequest as it was sent."""

    index: int
    method: str
    url: str
    reference_id: str
    body: Any
    headers: dict[str, str]
    references: frozenset[str]


def processing_halted(message: str = ROLLED_BACK) -> Refusal:
    return Refusal("PROCESSING_HALTED", message, status=400)


def parse_subrequests(listed: Any) -> list[Subrequest]:
    """Return the subrequests of one composite or graph. A malformed one fails the whole request."""
    if not isinstance(listed, list) or not listed:
        raise json_parser_error("compositeRequest: a list of at least one subrequest is needed at [line:1, column:1]")
    subs: list[Subrequest] = []
    seen: set[str] = set()
    for index, item in enumerate(listed):
        if not isinstance(item, dict):
            raise json_parser_error(
                "Cannot deserialize a composite subrequest: an object is needed at [line:1, column:1]"
            )
        method, url, reference_id = item.get("method"), item.get("url"), item.get("referenceId")
        for name, value in (("method", method), ("url", url), ("referenceId", reference_id)):
            if not isinstance(value, str) or not value:
                raise json_parser_error(f"{name} is required for every composite subrequest at [line:1, column:1]")
        assert isinstance(method, str)
        assert isinstance(url, str)
        assert isinstance(reference_id, str)
        if method.upper() not in _METHODS:
            raise json_parser_error(f"Unknown method '{method}' in a composite subrequest at [line:1, column:1]")
        if not _REFERENCE_ID.match(reference_id):
            raise json_parser_error(f"Invalid reference ID '{reference_id}': letters, digits and underscores only")
        if reference_id in seen:
            raise json_parser_error(f"Duplicate reference ID '{reference_id}' in one request")
        seen.add(reference_id)
        body = item.get("body", item.get("richInput"))
        headers = item.get("httpHeaders") or {}
        if not isinstance(headers, dict):
            raise json_parser_error("httpHeaders: an object is needed")
        sub_headers = {str(name).lower(): str(value) for name, value in headers.items()}
        needs = _find_references(url) | _find_references(body)
        subs.append(Subrequest(index, method.upper(), url, reference_id, body, sub_headers, frozenset(needs)))
    return subs


def _find_references(value: Any) -> set[str]:
    if isinstance(value, str):
        return {match[1] for match in _REFERENCE.finditer(value)} if "@{" in value else set()
    if isinstance(value, dict):
        return set().union(*map(_find_references, value.values())) if value else set()
    if isinstance(value, list):
        return set().union(*map(_find_references, value)) if value else set()
    return set()


def dependency_levels(subs: Sequence[Subrequest]) -> list[list[Subrequest]]:
    """Group subrequests by level: level n refers only to earlier levels. Refusal for a circle of references."""
    reference_ids = {sub.reference_id for sub in subs}
    waiting, done, levels = list(subs), set[str](), []
    while waiting:
        ready = [sub for sub in waiting if not ((sub.references & reference_ids) - done)]
        if not ready:
            raise json_parser_error("The references of the subrequests form a circle.")
        levels.append(ready)
        done |= {sub.reference_id for sub in ready}
        waiting = [sub for sub in waiting if sub.reference_id not in done]
    return levels


def shuffled_groups(
    level: Sequence[Subrequest], kind: Callable[[Subrequest], Hashable], source: random.Random
) -> list[list[Subrequest]]:
    """Group one level by kind and return the groups in random order."""
    groups: dict[Hashable, list[Subrequest]] = {}
    for sub in level:
        groups.setdefault(kind(sub), []).append(sub)
    ordered = list(groups.values())
    source.shuffle(ordered)
    return ordered


def resolve_references(value: Any, answers: dict[str, Any]) -> Any:
    """Replace every reference in a value. A text that is one reference becomes the referenced value, with its type."""
    if isinstance(value, str):
        if "@{" not in value:
            return value
        single = _REFERENCE.fullmatch(value)
        if single:
            return _look_up(single[1], single[2], answers)
        return _REFERENCE.sub(lambda match: str(_look_up(match[1], match[2], answers)), value)
    if isinstance(value, dict):
        return {name: resolve_references(item, answers) for name, item in value.items()}
    if isinstance(value, list):
        return [resolve_references(item, answers) for item in value]
    return value


def _look_up(reference_id: str, path: str, answers: dict[str, Any]) -> Any:
    value = answers.get(reference_id)
    for name, index in _STEP.findall(path):
        if index:
            value = value[int(index)] if isinstance(value, list) and int(index) < len(value) else None
        else:
            value = value.get(name) if isinstance(value, dict) else None
    if value is None or not path:
        raise processing_halted(
            f"Invalid reference specified. No value for {reference_id}{path} found in {reference_id}"
        )
    return value
