"""Dead letters: changes that the org refused, one by one and by cause; correct them, send them again, or give them
up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from connector.api.parked_schemas import CorrectionBody, DeadLettersBody
from connector.jobs.dead_letter_correction import Corrected, Correction, DeadLetterCorrector, find_version
from connector.model.cause import Cause
from connector.model.change import DeadLetter, EntityKind
from connector.model.dead_letter_group import DeadLetterGroup, find_correctable, fingerprint
from connector.model.outcome import RowError
from connector.model.role import Role
from connector.salesforce.fault import classify_row
from connector.settings.salesforce import DEFAULT_ORG
from connector.store import causes, dead_letters
from connector.store.dead_letters import Position
from connector.store.unit_of_work import UnitOfWork
from connector.web.pagination import MAX_LIMIT, limit_of
from connector.web.preconditions import checked_version, etag, version_of
from connector.web.problem import ProblemError
from connector.web.routing import ApiResponse, BodyHandler, RequestContext, Route


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetterView:
    """A dead letter. `record` names the record at fault (`order 10248`, `line 10248-2`), `source` the mapping line;
    `group` is the fingerprint of its cause. `message` is the org's, which may quote a value; a viewer gets what the
    code means, and `hidden` is true. `correction`: where other values can be posted, if that can help.
    `org`: the name of the org that refused it."""

    entity: str
    key: str
    code: str
    message: str
    field: str | None
    source: str | None
    record: str | None
    fix: str
    attempts: int
    captured_at: datetime
    refused_at: datetime
    group: str
    hidden: bool
    correction: str | None
    org: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetterPage:
    """The oldest dead letters, and how many there are in all; `after` of the next page, None on the last one."""

    dead_letters: list[DeadLetterView]
    total: int
    after: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetterDetail:
    """One dead letter; `explanation` says what its code means, `version` is that of the entity, for a correction."""

    dead_letter: DeadLetterView
    explanation: str
    version: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupView:
    """Dead letters with one cause: kind of entity, code, field and mapping line. `keys` are the first few, `sample` is
    the one that was refused first; `explanation` says what the code means, `fix` what to do. `message` is that of the
    sample. `assignee`, `note` and `snoozed_until` are what people said of it; the note is for ops and admin. `is_back`:
    it was snoozed, and its time is over or it has grown."""

    fingerprint: str
    entity: str
    code: str
    field: str | None
    source: str | None
    count: int
    first_refused_at: datetime
    last_refused_at: datetime
    keys: tuple[str, ...]
    message: str
    fix: str
    explanation: str
    sample: DeadLetterView
    assignee: str | None
    note: str | None
    snoozed_until: datetime | None
    is_snoozed: bool
    is_back: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupList:
    groups: list[GroupView]
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    """How many dead letters were replayed or discarded."""

    count: int


async def list_dead_letters(call: RequestContext) -> ApiResponse:
    """List dead letters, the oldest first; of one kind, or of one cause."""
    kind, name, limit, after = (
        call.query_choice("entity", EntityKind),
        call.query_value("group"),
        limit_of(call),
        _after(call),
    )
    async with call.store.reader() as connection:
        if name is None:
            found = await dead_letters.list_dead_letters(connection, entity=kind, after=after, limit=limit + 1)
            total = await dead_letters.count_dead_letters(connection, kind)
        else:
            group = await dead_letters.find_group(connection, name, kind)
            found = [] if group is None else await dead_letters.list_of_cause(connection, group, limit + 1, after=after)
            total = 0 if group is None else group.count
    following = None if len(found) <= limit else _position(found[limit - 1])
    views = [_view(item, is_hidden=_hides_messages(call)) for item in found[:limit]]
    return ApiResponse(value=DeadLetterPage(dead_letters=views, total=total, after=following))


async def get_dead_letter(call: RequestContext) -> ApiResponse:
    kind, key = _path_kind(call), call.path_key("key")
    async with call.store.reader() as connection:
        found = await dead_letters.list_dead_letters(connection, entity=kind, keys=[key])
        version = await find_version(connection, kind, key)
    if not found:
        raise ProblemError(404, "unknown", f"There is no dead letter of {kind} {key}.", field="key")
    [letter] = found
    view = _view(letter, is_hidden=_hides_messages(call))
    detail = DeadLetterDetail(dead_letter=view, explanation=_explanation(letter.refusal.code), version=version)
    return ApiResponse(value=detail, headers={} if version is None else etag(version), is_versioned=False)


async def correct(call: RequestContext, body: CorrectionBody) -> ApiResponse:
    """Change the entity, and send it again with what was refused because of it."""
    kind, key, if_match = _path_kind(call), call.path_key("key"), call.request.headers.get("If-Match")
    version = version_of(if_match) if if_match else body.version
    if version is None:
        hint = "Send `If-Match` with the ETag of the entity, or its `version`."
        raise ProblemError(428, "version", "The version of the entity is required.", field="version", hint=hint)
    correction = Correction(entity=kind, key=key, version=version, values=body.set, line_edits=body.line_edits)
    with checked_version(if_match):
        corrected = await DeadLetterCorrector(call.store, call.orders).correct(correction, actor=call.token.name)
    return ApiResponse(value=corrected, headers=etag(corrected.version))


async def list_groups(call: RequestContext) -> ApiResponse:
    """List the causes, the one with the most dead letters first."""
    async with call.store.reader() as connection:
        groups = await dead_letters.group_by_cause(connection, call.query_choice("entity", EntityKind))
        samples = [(await dead_letters.list_of_cause(connection, group, 1))[0] for group in groups]
        known = await causes.list_open(connection) if groups else {}
    hidden, now = _hides_messages(call), call.store.clock.now()
    views = [
        _group_view(group, _view(sample, is_hidden=hidden), known.get(group.fingerprint), now)
        for group, sample in zip(groups, samples, strict=True)
    ]
    return ApiResponse(value=GroupList(groups=views, total=sum(group.count for group in groups)))


async def replay(call: RequestContext, body: DeadLettersBody) -> ApiResponse:
    return await _change(call, body, "replay")


async def discard(call: RequestContext, body: DeadLettersBody) -> ApiResponse:
    return await _change(call, body, "discard")


async def _change(call: RequestContext, body: DeadLettersBody, action: str) -> ApiResponse:
    """Change the chosen dead letters. Those that are no longer dead letters are left out."""
    actor = call.token.name

    async def work(uow: UnitOfWork) -> int:
        if body.group is None:
            kind = None if body.entity is None else EntityKind(body.entity)
            return await dead_letters.change_by_person(uow, action, kind, body.keys, actor=actor)
        return await dead_letters.change_group_by_person(uow, action, body.group, actor=actor, keys=body.keys)

    return ApiResponse(value=Changed(count=await call.store.transact(work)))


def _after(call: RequestContext) -> Position | None:
    """The place behind which the page begins: time, kind and key, as `after` of the page before has them."""
    text = call.query_value("after")
    if text is None:
        return None
    parts = text.split(" ", 2)
    try:
        moment = datetime.fromisoformat(parts[0]).astimezone(UTC)
    except (ValueError, OverflowError):
        parts = []
    if len(parts) < 3:
        hint = "Use the `after` of the previous page."
        raise ProblemError(400, "query", f"after: invalid place {text[:80]!r}.", field="after", hint=hint)
    return moment, parts[1], parts[2]


def _position(item: DeadLetter) -> str:
    return f"{item.refused_at.isoformat()} {item.entity} {item.key}"


def _hides_messages(call: RequestContext) -> bool:
    """Messages of the org quote values, and viewers see no personal data; as in a journey."""
    return not call.token.role.covers(Role.OPS)


def _explanation(code: str) -> str:
    return classify_row(RowError(code=code, message="")).sentence


def _group_view(group: DeadLetterGroup, sample: DeadLetterView, cause: Cause | None, now: datetime) -> GroupView:
    return GroupView(
        fingerprint=group.fingerprint,
        entity=group.entity.value,
        code=group.code,
        field=group.field,
        source=group.source,
        count=group.count,
        first_refused_at=group.first_refused_at,
        last_refused_at=group.last_refused_at,
        keys=group.keys,
        message=sample.message,
        fix=group.fix,
        explanation=_explanation(group.code),
        sample=sample,
        assignee=None if cause is None else cause.assignee,
        note=None if cause is None or sample.hidden else cause.note,
        snoozed_until=None if cause is None else cause.snoozed_until,
        is_snoozed=cause is not None and cause.is_snoozed(group.count, now),
        is_back=cause is not None and cause.is_back(group.count, now),
    )


def _path_kind(call: RequestContext) -> EntityKind:
    text = call.path_key("entity")
    if text not in set(EntityKind):
        hint = f"Use one of {', '.join(EntityKind)}."
        raise ProblemError(404, "unknown", f"There is no entity {text[:80]!r}.", field="entity", hint=hint)
    return EntityKind(text)


def _view(item: DeadLetter, *, is_hidden: bool) -> DeadLetterView:
    refusal = item.refusal
    place = find_correctable(item.entity, item.key, refusal)
    return DeadLetterView(
        entity=item.entity.value,
        key=item.key,
        code=refusal.code,
        message=_explanation(refusal.code) if is_hidden else refusal.message,
        field=refusal.field,
        source=refusal.source,
        record=refusal.record,
        fix=refusal.fix,
        attempts=item.attempts,
        captured_at=item.captured_at,
        refused_at=item.refused_at,
        group=fingerprint(item.entity, refusal),
        hidden=is_hidden,
        correction=place and f"/api/v1/dead-letters/{place[0]}/{quote(place[1], safe='')}/correction",
        org=item.org or DEFAULT_ORG,
    )


_ENTITY = "only of this kind: customer, product, order, return"
ROUTES = (
    Route(method="GET", path="/dead-letters", role=Role.VIEWER, handler=list_dead_letters, result=DeadLetterPage,
          by_org=True,
          summary="Changes that the org refused, the oldest first, with what to do.",
          choices={"entity": EntityKind}, queries={"entity": _ENTITY, "group": "only with this cause",
                   "after": "list only those behind this place", "limit": f"how many, up to {MAX_LIMIT}"}),
    Route(method="GET", path="/dead-letters/groups", role=Role.VIEWER, handler=list_groups, result=GroupList,
          by_org=True,
          summary="Refused changes by cause: entity, error code, field and mapping line.",
          choices={"entity": EntityKind}, queries={"entity": _ENTITY}),
    Route(method="GET", path="/dead-letters/{entity}/{key}", role=Role.VIEWER, handler=get_dead_letter,
          summary="One refused change, what its code means, and the version of its entity.", result=DeadLetterDetail),
    Route(method="POST", path="/dead-letters/{entity}/{key}/correction", role=Role.OPS, result=Corrected,
          handler=BodyHandler(CorrectionBody, correct), headers=("If-Match",),
          summary="Change fields of an entity that was refused, or because of which others were, and send it again."),
    Route(method="POST", path="/dead-letters/replay", role=Role.OPS, result=Changed, by_org=True,
          handler=BodyHandler(DeadLettersBody, replay),
          summary="Make dead letters due again: some, all of a kind, all with one cause, or all."),
    Route(method="POST", path="/dead-letters/discard", role=Role.OPS, result=Changed, by_org=True,
          handler=BodyHandler(DeadLettersBody, discard),
          summary="Give dead letters up: their changes are not sent."),
)  # fmt: skip
