"""Values of ours that are held since an undo: in which fields, and their release."""

from __future__ import annotations

from dataclasses import dataclass

from connector.api.schemas import ReleaseBody
from connector.jobs.held_values import list_held, parse_place, release
from connector.model.change import EntityKind
from connector.model.record import FieldValue
from connector.model.role import Role
from connector.settings.salesforce import DEFAULT_ORG
from connector.store.queries.held_links import HeldRecord
from connector.web.pagination import MAX_LIMIT, limit_of
from connector.web.problem import ProblemError
from connector.web.routing import ApiResponse, BodyHandler, RequestContext, Route


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldFieldView:
    """A field: `ours` is not sent, the org was last known to have `in_org`. `hidden`: the values are for ops only."""

    field: str
    ours: FieldValue
    in_org: FieldValue
    hidden: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldRecordView:
    """A record with held values: of `entity` and `key`, and of the line or price `part`, if it is one."""

    org: str
    entity: str
    key: str
    part: str | None
    sobject: str
    record_id: str
    fields: list[HeldFieldView]


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldPageView:
    """Records with held values; `after` of the next page, None on the last one."""

    held: list[HeldRecordView]
    after: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Released:
    """How many fields are no longer held: the worker sends our values."""

    fields: int


async def get_held(call: RequestContext) -> ApiResponse:
    """List records with held values, page by page."""
    text, org = call.query_value("after"), call.query_value("org")
    after = None if text is None else parse_place(text)
    if text is not None and (after is None or "\0" in text):
        hint = "Use the `after` of the previous page."
        raise ProblemError(400, "query", f"after: invalid place {text[:80]!r}.", field="after", hint=hint)
    name = None if org is None else "" if org == DEFAULT_ORG else org
    page = await list_held(call.store, org=name, after=after, limit=limit_of(call))
    shown = [_view(record, page.orgs[record.org_id], call.token.role.covers(Role.OPS)) for record in page.records]
    return ApiResponse(value=HeldPageView(held=shown, after=page.after))


def _view(record: HeldRecord, org: str, with_values: bool) -> HeldRecordView:
    fields = [
        HeldFieldView(
            field=item.name, ours=item.ours if with_values else None, in_org=item.theirs if with_values else None,
            hidden=not with_values,
        )
        for item in record.fields
    ]  # fmt: skip
    return HeldRecordView(
        org=org or DEFAULT_ORG, entity=record.entity, key=record.key, part=record.part, sobject=record.sobject,
        record_id=record.record_id, fields=fields,
    )  # fmt: skip


async def release_held(call: RequestContext, body: ReleaseBody) -> ApiResponse:
    """Send our values again."""
    org = "" if body.org in {None, DEFAULT_ORG} else str(body.org)
    number = await release(
        call.store, EntityKind(body.entity), body.keys, fields=body.fields, org=org, actor=call.token.name
    )
    return ApiResponse(value=Released(fields=number), status=202)


ROUTES = (
    Route(method="GET", path="/held-values", role=Role.VIEWER, handler=get_held, result=HeldPageView,
          summary="Values of ours that are held since an undo, page by page; values are for ops only.",
          queries={"after": "list only those behind this place", "limit": f"page size, up to {MAX_LIMIT}",
                   "org": "only in the org of this name, `default` for the default one"}),
    Route(method="POST", path="/held-values/release", role=Role.OPS, handler=BodyHandler(ReleaseBody, release_held),
          result=Released, statuses=(202,),
          summary="Send held values of these entities after all, with those of their lines."),
)  # fmt: skip
