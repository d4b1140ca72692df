"""Actions of operators, as they stand in answers and documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from connector.store.journal import JournalRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditView:
    """One action. `actor` is the name of a token, or who used the command line; `entity` and `key` say what was acted
    on (`job` `push`, `token` `shop`, `order` `10248`); `request` is the ID of the HTTP request, if it was one."""

    id: int
    at: datetime
    actor: str
    action: str
    entity: str
    key: str
    detail: Mapping[str, object]
    request: str | None
    org_id: str | None


def view_action(record: JournalRecord) -> AuditView:
    return AuditView(
        id=record.id,
        at=record.at,
        actor=record.actor or "",
        action=record.action,
        entity=record.entity,
        key=record.key,
        detail={name: value for name, value in record.detail.items() if name != "by"},
        request=record.request,
        org_id=record.org_id,
    )


def readable_detail(detail: Mapping[str, object]) -> list[tuple[str, str]]:
    """The details of an action as people write them; without what says nothing, and digests, which are in the CSV."""
    named = [(name.replace("_", " "), _words(value)) for name, value in detail.items() if name not in _OF_MACHINES]
    return [(name, text) for name, text in named if text]


_OF_MACHINES = frozenset({"digest", "plan"})


def _words(value: object) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        parts = ((str(name).replace("_", " "), _words(part)) for name, part in value.items())
        return ", ".join(f"{name} {text}" for name, text in parts if text)
    if isinstance(value, list | tuple):
        return ", ".join(filter(None, map(_words, value)))
    return str(value)
