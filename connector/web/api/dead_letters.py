"""Dead letters: changes that the org refused, one by one and by cause; send them again, or give them up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from connector.api.schemas import DeadLettersBody
from connector.model.change import DeadLetter, EntityKind
from connector.model.dead_letter_group import DeadLetterGroup, fingerprint
from connector.model.role import Role
from connector.store import dead_letters
from connector.store.engine import Connection
from connector.store.unit_of_work import UnitOfWork
from connector.web.pagination import MAX_LIMIT, limit_of
from connector.web.problem import ProblemError
from connector.web.routing import ApiResponse, BodyHandler, RequestContext, Route


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetterView:
    """A dead letter. `record` names the record at fault (`order 10248`, `line 10248-2`), `source` the mapping line;
    `group` is the fingerprint of its cause."""

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


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetterPage:
    """The oldest dead letters, and how many there are in all."""

    dead_letters: list[DeadLetterView]
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupList:
    groups: list[DeadLetterGroup]
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    """How many dead letters were replayed or discarded."""

    count: int


async def list_dead_letters(call: RequestContext) -> ApiResponse:
    """List dead letters, the oldest first; of one kind, or of one cause."""
    kind, name, limit = _kind(call), call.query_value("group"), limit_of(call)
    async with call.store.reader() as connection:
        if name is None:
            found = await dead_letters.list_dead_letters(connection, entity=kind, limit=limit)
            total = await dead_letters.count_dead_letters(connection, kind)
        else:
            group = await _find_group(connection, name, kind)
            found = [] if group is None else await dead_letters.list_of_cause(connection, group, limit)
            total = 0 if group is None else group.count
    return ApiResponse(value=DeadLetterPage(dead_letters=[_view(item) for item in found], total=total))


async def list_groups(call: RequestContext) -> ApiResponse:
    """List the causes, the one with the most dead letters first."""
    async with call.store.reader() as connection:
        groups = await dead_letters.group_by_cause(connection, _kind(call))
    return ApiResponse(value=GroupList(groups=groups, total=sum(group.count for group in groups)))


async def _find_group(connection: Connection, name: str, kind: EntityKind | None = None) -> DeadLetterGroup | None:
    groups = await dead_letters.group_by_cause(connection, kind)
    return next((group for group in groups if group.fingerprint == name), None)


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
        group = await _find_group(uow.connection, body.group)
        if group is None:
            return 0
        keys = [item.key for item in await dead_letters.list_of_cause(uow.connection, group)]
        return await dead_letters.change_by_person(uow, action, group.entity, keys, actor=actor)

    return ApiResponse(value=Changed(count=await call.store.transact(work)))


def _kind(call: RequestContext) -> EntityKind | None:
    text = call.query_value("entity")
    if text is None:
        return None
    if text not in set(EntityKind):
        hint = f"Use one of {', '.join(EntityKind)}."
        raise ProblemError(400, "query", f"entity: invalid value {text[:80]!r}.", field="entity", hint=hint)
    return EntityKind(text)


def _view(item: DeadLetter) -> DeadLetterView:
    refusal = item.refusal
    return DeadLetterView(
        entity=item.entity.value,
        key=item.key,
        code=refusal.code,
        message=refusal.message,
        field=refusal.field,
        source=refusal.source,
        record=refusal.record,
        fix=refusal.fix,
        attempts=item.attempts,
        captured_at=item.captured_at,
        refused_at=item.refused_at,
        group=fingerprint(item.entity, refusal),
    )


_ENTITY = "only of this kind: customer, product, order, return"
ROUTES = (
    Route(method="GET", path="/dead-letters", role=Role.VIEWER, handler=list_dead_letters, result=DeadLetterPage,
          summary="Changes that the org refused, the oldest first, with what to do.",
          queries={"entity": _ENTITY, "group": "only with this cause", "limit": f"how many, up to {MAX_LIMIT}"}),
    Route(method="GET", path="/dead-letters/groups", role=Role.VIEWER, handler=list_groups, result=GroupList,
          summary="Refused changes by cause: entity, error code, field and mapping line.",
          queries={"entity": _ENTITY}),
    Route(method="POST", path="/dead-letters/replay", role=Role.OPS, result=Changed,
          handler=BodyHandler(DeadLettersBody, replay),
          summary="Make dead letters due again: some, all of a kind, all with one cause, or all."),
    Route(method="POST", path="/dead-letters/discard", role=Role.OPS, result=Changed,
          handler=BodyHandler(DeadLettersBody, discard),
          summary="Give dead letters up: their changes are not sent."),
)  # fmt: skip
