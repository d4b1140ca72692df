"""Conflicts: fields that both sides changed to different values."""

from __future__ import annotations

from connector.api.schemas import ResolutionBody
from connector.api.serializers import serialize_conflict, serialize_conflict_rule
from connector.model.conflict import ConflictState
from connector.model.role import Role
from connector.store import conflict_rules, conflicts, orgs
from connector.web import answers
from connector.web.path_number import is_number, path_number
from connector.web.preconditions import checked_version, etag, version_of
from connector.web.problem import ProblemError
from connector.web.routing import ApiResponse, BodyHandler, RequestContext, Route

PAGE_SIZE = 200


async def list_conflicts(call: RequestContext) -> ApiResponse:
    """List conflicts, the oldest first, one page per request."""
    state = call.query_choice("state", ConflictState) or ConflictState.OPEN
    after = call.query_value("after") or "0"
    if not is_number(after):
        raise ProblemError(
            400, "query", f"after: invalid id {after!r}.", field="after", hint="Use the `after` of the previous page."
        )
    async with call.store.reader() as connection:
        page = await conflicts.list_page(connection, state=state, after=int(after), limit=PAGE_SIZE + 1)
    following = page[PAGE_SIZE - 1].id if len(page) > PAGE_SIZE else None
    return ApiResponse(value={"conflicts": [serialize_conflict(item) for item in page[:PAGE_SIZE]], "after": following})


async def resolve_conflict(call: RequestContext, body: ResolutionBody) -> ApiResponse:
    conflict_id = path_number(call, "id", "conflict")
    choice, if_match = ConflictState(body.take), call.request.headers.get("If-Match")
    with checked_version(if_match):
        resolved = await call.conflict_resolver().resolve(
            conflict_id, choice, actor=call.token.name, always=bool(body.always), version=version_of(if_match)
        )
    also = {"also_resolved": list(resolved.also_resolved)}
    return ApiResponse(value=serialize_conflict(resolved.conflict) | also)


async def list_rules(call: RequestContext) -> ApiResponse:
    async with call.store.reader() as connection:
        rules = [
            rule
            for org_id in await orgs.list_active_ids(connection)
            for rule in await conflict_rules.list_all(connection, org_id)
        ]
    return ApiResponse(value={"rules": [serialize_conflict_rule(rule) for rule in rules]})


async def remove_rule(call: RequestContext) -> ApiResponse:
    sobject, field = call.path_key("sobject"), call.path_key("field")
    async with call.store.transaction() as uow:
        removed = [
            await conflict_rules.remove(uow, org_id, sobject, field, actor=call.token.name)
            for org_id in await orgs.list_active_ids(uow.connection)
        ]
    if not any(removed):
        raise ProblemError(404, "unknown", f"There is no rule for {sobject}.{field}.", field="field")
    return ApiResponse(value={"removed": f"{sobject}.{field}"})


async def get_conflict(call: RequestContext) -> ApiResponse:
    conflict_id = path_number(call, "id", "conflict")
    async with call.store.reader() as connection:
        item = await conflicts.get(connection, conflict_id)
    if item is None:
        raise ProblemError(404, "unknown", f"There is no conflict {conflict_id}.", field="id")
    return ApiResponse(value=serialize_conflict(item), headers=etag(item.version))


ROUTES = (
    Route(
        method="GET",
        path="/conflicts",
        result=answers.CONFLICT_PAGE,
        role=Role.VIEWER,
        summary="Fields that both sides changed to different values, page by page.",
        handler=list_conflicts,
        by_org=True,
        choices={"state": ConflictState},
        queries={
            "state": "only in this state; default: open",
            "after": "list only ids after this one",
        },
    ),
    Route(
        method="GET",
        path="/conflicts/{id}",
        result=answers.CONFLICT,
        role=Role.VIEWER,
        summary="One conflict: both values, and what both sides agreed on before.",
        handler=get_conflict,
    ),
    Route(
        method="POST",
        path="/conflicts/{id}/resolution",
        result=answers.RESOLVED,
        role=Role.OPS,
        summary="Let one side's value stand on both sides; with `always`, also in later conflicts of the field.",
        handler=BodyHandler(ResolutionBody, resolve_conflict),
        headers=("If-Match",),
    ),
    Route(
        method="GET",
        path="/conflict-rules",
        result=answers.RULES,
        role=Role.VIEWER,
        summary="Answers to conflicts that are kept as rules.",
        handler=list_rules,
        by_org=True,
    ),
    Route(
        method="DELETE",
        path="/conflict-rules/{sobject}/{field}",
        result=answers.RemovedRule,
        role=Role.OPS,
        summary="Ask again about a field, instead of answering by a rule.",
        handler=remove_rule,
        by_org=True,
    ),
)
