"""The journey of an entity: everything that was done with it, in both directions, step by step in the order of time.

Steps are made of rows that are stored anyway: the history of an order, the journal, actions of reps, conflicts,
messages to customers and notices to other systems.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from connector.api.event_text import WriteMoney, event_text
from connector.model.change import ChangeState
from connector.model.change_notice import NoticeState
from connector.model.conflict import Conflict, ConflictState
from connector.model.field_notes import FieldNote
from connector.model.lane import Lane
from connector.model.notification import MessageState
from connector.model.record import FieldValue
from connector.store.journal import JournalRecord
from connector.store.queries.journey import JourneySources


class Direction(StrEnum):
    """Where a step leads: from here to the org, from the org to here, or nowhere (something changed here)."""

    HERE = "here"
    TO_ORG = "to_org"
    FROM_ORG = "from_org"


@dataclass(frozen=True, kw_only=True, slots=True)
class JourneyField:
    """One field. `value` is what was sent, `before` what it replaced, if that was known (`has_before`). `base`,
    `local` and `remote` are what both sides had agreed on, the value here and that of the org; `effect` says what
    became of it (`taken`, `restored`, `conflict`, …) and `why` why. `personal`: it is personal data; `hidden`: its
    values are left out, because of the reader's role or the settings.
    """

    sobject: str
    record: str
    field: str
    personal: bool
    hidden: bool
    value: FieldValue = None
    base: FieldValue = None
    local: FieldValue = None
    remote: FieldValue = None
    effect: str | None = None
    why: str | None = None
    before: FieldValue = None
    has_before: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class JourneyCall:
    """The API call of a send. `status` is None without an answer; `requests` counts its repeats too; `id` is in the log
    of the service (`salesforce_call`)."""

    id: str
    method: str
    path: str
    status: int | None
    requests: int
    milliseconds: int


@dataclass(frozen=True, kw_only=True, slots=True)
class JourneyStep:
    """One step. `kind` is a word (`event`, `captured`, `sent`, `refused`, `postponed`, `received`, `action`,
    `conflict`, …), `text` says it as a sentence; `actor` is who did it; `request` is the HTTP request that caused it,
    `run` the run that it belongs to.
    """

    number: int
    at: datetime
    direction: Direction
    kind: str
    entity: str
    key: str
    text: str
    actor: str | None = None
    request: str | None = None
    lane: str | None = None
    mapping_version: int | None = None
    run: str | None = None
    attempts: int | None = None
    code: str | None = None
    call: JourneyCall | None = None
    fields: tuple[JourneyField, ...] = ()
    detail: Mapping[str, object] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JourneyWait:
    """A change that is not in the org yet: since when it waits, when it is tried next, and why it was postponed or
    refused."""

    state: str
    captured_at: datetime
    due_at: datetime
    attempts: int
    error: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Journey:
    """The steps of one entity, oldest first; `after` is the number behind which the next page begins, None on the last
    one. `waiting` is what is not in the org yet. `is_cut`: there were more steps than can be read."""

    entity: str
    key: str
    steps: list[JourneyStep]
    after: int | None
    waiting: JourneyWait | None
    is_cut: bool


def build_journey(
    entity: str,
    key: str,
    sources: JourneySources,
    *,
    with_personal: bool,
    after: int = 0,
    limit: int | None = None,
    money: WriteMoney | None = None,
) -> Journey:
    """The steps behind number `after`, up to `limit`. `with_personal`: with the values of personal data, what people
    typed, and the texts of the org. `money` writes amounts."""
    steps = [*_steps(entity, key, sources, with_personal=with_personal, money=money)]
    steps.sort(key=lambda step: step.at)  # a stable sort: steps of one moment stay in their sequence
    chosen = steps[after:] if limit is None else steps[after : after + limit]
    numbered = [
        replace(step, number=number, **({} if with_personal else _redacted(step)))
        for number, step in enumerate(chosen, start=after + 1)
    ]
    is_last = after + len(numbered) >= len(steps)
    return Journey(
        entity=entity,
        key=key,
        steps=numbered,
        after=None if is_last or not numbered else numbered[-1].number,
        waiting=_waiting(sources, with_personal=with_personal),
        is_cut=sources.is_cut,
    )


def _waiting(sources: JourneySources, *, with_personal: bool) -> JourneyWait | None:
    for unsent in sources.unsent:
        error = unsent.error if unsent.refusal is None else f"{unsent.refusal.code}: {unsent.refusal.message}"
        if error is not None and not with_personal:
            error = error.partition(":")[0]  # the code: what follows can quote a value
        return JourneyWait(
            state=unsent.state.word,
            captured_at=unsent.captured_at,
            due_at=unsent.due_at,
            attempts=unsent.attempts,
            error=error if unsent.state is ChangeState.DUE or unsent.refusal is None else unsent.refusal.code,
        )
    return None


def _redacted(step: JourneyStep) -> dict[str, Any]:
    """The parts of a step without values of personal data, and without what people typed."""
    hidden = tuple(
        replace(field, hidden=True, value=None, base=None, local=None, remote=None, before=None, has_before=False)
        if field.personal
        else field
        for field in step.fields
    )
    return {"fields": hidden, "detail": _without_typed(step.detail or {}) or None}


def _without_typed(detail: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in detail.items() if name not in _TYPED_BY_PEOPLE}


_TYPED_BY_PEOPLE = frozenset({"reason", "requested_by", "note", "message"})


def _steps(
    entity: str, key: str, sources: JourneySources, *, with_personal: bool, money: WriteMoney | None
) -> Iterator[JourneyStep]:
    for event in sources.events:
        payload = event.payload if with_personal else _without_typed(event.payload)
        text = event_text({**payload, "stage": event.after}, sources.currency, money).removesuffix(".")
        moved = "" if event.before in {None, event.after} else f" ({event.before} → {event.after})"
        text = f"{text[:1].upper()}{text[1:]}{moved}."
        yield _here(entity, key, event.at, "event", text, actor=event.actor, detail=event.payload)
    captured: set[tuple[str, str, object]] = set()
    for entry in sources.entries:
        if entry.entity == "order" and entry.actor and "stage" in entry.detail:
            continue  # what the audit says of an event of the history
        since = entry.detail.get("captured_at")
        if since is not None and (entry.entity, entry.key, since) not in captured:
            captured.add((entry.entity, entry.key, since))
            yield _captured(entry, datetime.fromisoformat(since))
        yield _journaled(entry)
    for action in sources.actions:
        request = action.request
        yield JourneyStep(
            number=0, at=action.received_at, direction=Direction.FROM_ORG, kind="action", entity=entity, key=key,
            text=f"{(request.action or 'an action').capitalize()} was asked for in the org: {action.state}.",
            actor=request.user_id,
            detail={
                "action": request.action, "event_id": request.event_id, "published_at": request.published_at,
                "state": action.state.value, "reason": request.reason, "requested_by": request.requested_by,
                "message": action.message,
            },
        )  # fmt: skip
    for conflict in sources.conflicts:
        yield from _conflict_steps(conflict)
    for message in sources.messages:
        sent = message.state is MessageState.SENT and message.sent_at is not None
        yield _here(
            entity, key, message.sent_at if sent and message.sent_at else message.captured_at, "message",
            f"Message to the customer, {message.kind.words}: {message.state}.",
            attempts=message.attempts, detail={"id": message.id, "kind": message.kind.value, "error": message.error},
        )  # fmt: skip
    for notice in sources.notices:
        sent = notice.state is NoticeState.SENT and notice.sent_at is not None
        yield _here(
            entity, key, notice.sent_at if sent and notice.sent_at else notice.captured_at, "notice",
            f"Notice to other systems, {notice.type}: {notice.state}.",
            attempts=notice.attempts, detail={"id": notice.message_id, "error": notice.error},
        )  # fmt: skip


def _here(entity: str, key: str, at: datetime, kind: str, text: str, **more: Any) -> JourneyStep:
    return JourneyStep(number=0, at=at, direction=Direction.HERE, kind=kind, entity=entity, key=key, text=text, **more)


def _captured(entry: JournalRecord, at: datetime) -> JourneyStep:
    lane = _lane(entry.detail.get("lane"))
    text = f"The change is to be sent{'' if lane is None else f', in the lane {lane}'}."
    return JourneyStep(
        number=0, at=at, direction=Direction.TO_ORG, kind="captured", entity=entry.entity, key=entry.key, text=text,
        lane=lane,
    )  # fmt: skip


def _lane(number: object) -> str | None:
    if not isinstance(number, int):
        return None
    return Lane(min(number, Lane.DEPRIORITIZED)).word


_DIRECTIONS = {
    **dict.fromkeys(("written", "refused", "postponed", "unlinked", "relinked"), Direction.TO_ORG),
    **dict.fromkeys(
        ("received", "restored", "overruled", "conflict", "adopted", "deleted", "undeleted", "merged", "line added",
         "line removed", "unreadable"), Direction.FROM_ORG
    ),
}  # fmt: skip
_IN_CALL = frozenset({"call", "captured_at", "lane", "attempts", "mapping_version", "code", "by"})


def _journaled(entry: JournalRecord) -> JourneyStep:
    detail = entry.detail
    call = _call(detail.get("call"))
    kind = "sent" if entry.action == "written" and call is not None else entry.action
    rest = {name: value for name, value in detail.items() if name not in _IN_CALL and value not in (None, "", [])}
    return JourneyStep(
        number=0,
        at=entry.at,
        direction=_DIRECTIONS.get(entry.action, Direction.HERE),
        kind=kind,
        entity=entry.entity,
        key=entry.key,
        text=_sentence(kind, entry, call),
        actor=entry.actor or detail.get("by"),
        request=entry.request,
        lane=_lane(detail.get("lane")),
        mapping_version=detail.get("mapping_version"),
        run=entry.run,
        attempts=detail.get("attempts"),
        code=detail.get("code"),
        call=call,
        fields=tuple(_field(note) for note in entry.notes),
        detail=rest or None,
    )


def _call(detail: Mapping[str, Any] | None) -> JourneyCall | None:
    if detail is None:
        return None
    return JourneyCall(
        id=detail["id"],
        method=detail["method"],
        path=detail["path"],
        status=detail["status"],
        requests=detail["requests"],
        milliseconds=detail["ms"],
    )


def _sentence(kind: str, entry: JournalRecord, call: JourneyCall | None) -> str:
    detail = entry.detail
    where = "" if call is None else f" by {call.method} {call.path}"
    by = f" by {detail['by']}" if detail.get("by") else ""
    names = ", ".join(str(name) for name in detail.get("fields", ()))
    match kind:
        case "sent":
            count = len({(note.sobject, note.key) for note in entry.notes})
            records = f" {count} record{'' if count == 1 else 's'}" if count else ""
            return f"Sent{records}{where}: accepted."
        case "written":
            return f"The org has it as {detail.get('sobject')} {detail.get('id')}."
        case "refused":
            field = f" on {detail['field']}" if detail.get("field") else ""
            return f"Refused{where}{field}: {detail.get('code')}."
        case "postponed":
            return f"Postponed{where}: {detail.get('code')}."
        case "received":
            return f"Changed in the org{by}, and taken over here: {names}."
        case "restored":
            return f"Changed in the org{by}; the value here stands: {names}."
        case "overruled":
            return f"The org changes what is sent; the value here is no longer sent: {names}."
        case "conflict":
            return f"Changed on both sides; a person decides: {names}."
        case "resolved":
            return f"Conflict on {detail.get('field')} decided{by}: {detail.get('choice')}."
        case "adopted":
            return f"Created in the org{by}, and taken over here."
        case "corrected":
            return f"Corrected{by}, as the org had refused it: {names}."
    return f"{entry.action[:1].upper()}{entry.action[1:]}{by}."


def _field(note: FieldNote) -> JourneyField:
    return JourneyField(
        sobject=note.sobject,
        record=note.key,
        field=note.field,
        personal=note.is_personal,
        hidden=not note.is_kept,
        value=note.value,
        base=note.base,
        local=note.local,
        remote=note.remote,
        effect=note.effect,
        why=note.why,
        before=note.before,
        has_before=note.has_before,
    )


def _conflict_steps(conflict: Conflict) -> Iterator[JourneyStep]:
    """When it was opened; and when both sides came to the same value, which the journal does not say."""
    field = JourneyField(
        sobject=conflict.sobject, record=conflict.key, field=conflict.field, personal=True, hidden=False,
        base=conflict.base, local=conflict.local, remote=conflict.remote, effect="conflict",
    )  # fmt: skip
    text = f"{conflict.sobject}.{conflict.field} was changed on both sides: conflict {conflict.id} is open."
    yield JourneyStep(
        number=0, at=conflict.opened_at, direction=Direction.FROM_ORG, kind="conflict", entity=conflict.entity,
        key=conflict.key, text=text, actor=conflict.remote_changed_by, fields=(field,), detail={"id": conflict.id},
    )  # fmt: skip
    if conflict.state is ConflictState.CLOSED and conflict.resolved_at is not None:
        yield JourneyStep(
            number=0, at=conflict.resolved_at, direction=Direction.FROM_ORG, kind="resolved", entity=conflict.entity,
            key=conflict.key, text=f"Conflict {conflict.id} ended: both sides came to the same value.",
            detail={"id": conflict.id},
        )  # fmt: skip
