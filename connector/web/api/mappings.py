"""Mappings: the active files by entity, versions, plans, and what files have wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from connector.api.mapping_schemas import (
    MappingApplyBody,
    MappingBody,
    MappingFilesBody,
    MappingPlanBody,
    MappingShadowBody,
)
from connector.errors import CommandError, MappingError
from connector.jobs.mappings.activation import Request
from connector.jobs.mappings.drift import DriftView
from connector.jobs.mappings.planning import PlanRequest
from connector.jobs.mappings.rejections import InvalidMappingsError
from connector.jobs.mappings.views import (
    Applied,
    FileDiff,
    LintReport,
    MappingPlan,
    PlanSummary,
    VersionDetail,
    VersionSummary,
)
from connector.mapping.loader import SUFFIX, VALUES, list_file_names
from connector.mapping.tables import tables_named_in
from connector.model.mapping_shadow import Shadow
from connector.model.role import Role
from connector.web.pagination import MAX_LIMIT, limit_of
from connector.web.path_number import path_number, query_number
from connector.web.preconditions import checked_version, etag, version_of
from connector.web.problem import ProblemError
from connector.web.routing import ApiResponse, BodyHandler, RequestContext, Route

SOURCE = "HTTP API"


@dataclass(frozen=True, kw_only=True, slots=True)
class MappingFile:
    """The active mapping of an entity: the text of its file, and those of the value tables that it names. `version` is
    the number of the active version, which is the ETag."""

    entity: str
    version: int
    text: str
    tables: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class MappingChanged:
    """What became of a change: it was applied, or, for a dry run, planned."""

    applied: Applied | None = None
    plan: MappingPlan | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MappingVersions:
    """Versions, the newest first; `before` of the next page, None on the last one."""

    versions: list[VersionSummary]
    before: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class MappingDiff:
    """The files that differ between two versions."""

    files: list[FileDiff]


@dataclass(frozen=True, kw_only=True, slots=True)
class MappingShadow:
    """The version that is computed beside the active one, and writes nothing; None if there is none."""

    shadow: Shadow | None


class DriftState(StrEnum):
    OPEN = "open"
    ALL = "all"


@dataclass(frozen=True, kw_only=True, slots=True)
class MappingDrifts:
    """What admins changed in the orgs that concerns the active version, errors first."""

    drifts: list[DriftView]


@dataclass(frozen=True, kw_only=True, slots=True)
class MappingPlans:
    """The plans that were made last, the newest first."""

    plans: list[PlanSummary]


async def get_mapping(call: RequestContext) -> ApiResponse:
    """The active mapping of an entity."""
    active = await _active(call)
    entity, path = _file_of(call, active)
    text = active.texts[path]
    tables = {name: active.texts[f"{VALUES}/{name}{SUFFIX}"] for name in tables_named_in(text, active.texts)}
    answer = MappingFile(entity=entity, version=active.number, text=text, tables=tables)
    return ApiResponse(value=answer, headers=etag(active.number))


async def put_mapping(call: RequestContext, body: MappingBody) -> ApiResponse:
    """Change the mapping of an entity; with `dry_run`, plan that."""
    if_match = call.request.headers.get("If-Match")
    expected = version_of(if_match)
    active = await _active(call)
    _, path = _file_of(call, active, may_be_new=True)
    tables = {f"{VALUES}/{name}{SUFFIX}": text for name, text in body.tables.items()}
    texts = {name: text for name, text in {**active.texts, path: body.text, **tables}.items() if text is not None}
    with problems_listed():
        if body.dry_run:
            plan = await call.mappings.plan(texts, actor=call.token.name)
            return ApiResponse(value=MappingChanged(plan=plan), headers=etag(active.number), is_versioned=False)
        base = active.number if expected is None else expected
        request = Request(actor=call.token.name, note=body.note, source=SOURCE, base=base, resync=body.resync)
        with checked_version(if_match):
            applied = await call.mappings.apply(texts, request)
    return ApiResponse(value=MappingChanged(applied=applied), headers=etag(applied.version.number), is_versioned=False)


async def list_versions(call: RequestContext) -> ApiResponse:
    """Versions, the newest first."""
    limit, before = limit_of(call), query_number(call, "before")
    found = await call.mappings.list_versions(before=before, limit=limit + 1)
    following = found[limit - 1].number if len(found) > limit else None
    return ApiResponse(value=MappingVersions(versions=found[:limit], before=following))


async def get_version(call: RequestContext) -> ApiResponse:
    return ApiResponse(value=await call.mappings.get_version(path_number(call, "id", "version")))


async def diff_version(call: RequestContext) -> ApiResponse:
    """What a version changed, compared with the one that it replaced, or with another."""
    number, other = path_number(call, "id", "version"), query_number(call, "with")
    found = await call.mappings.get_version(number)
    base = found.base if other is None else other
    files = [] if base is None else await call.mappings.diff_versions(base, number)
    return ApiResponse(value=MappingDiff(files=files))


async def lint_files(call: RequestContext, body: MappingFilesBody) -> ApiResponse:
    """What is wrong with these files. A report with errors is a successful answer."""
    return ApiResponse(value=await call.mappings.lint(body.files, refresh=body.refresh))


async def list_plans(call: RequestContext) -> ApiResponse:
    return ApiResponse(value=MappingPlans(plans=await call.mappings.list_plans(limit_of(call))))


async def post_plan(call: RequestContext, body: MappingPlanBody) -> ApiResponse:
    request, actor = PlanRequest(limit=body.limit, orders=tuple(body.orders)), call.token.name
    with problems_listed():
        if body.rollback_to is not None:
            plan = await call.mappings.plan_rollback(body.rollback_to, actor=actor, request=request)
        else:
            texts = {**(await _active(call)).texts, **(body.files or {})}
            given = {path: text for path, text in texts.items() if text is not None}
            plan = await call.mappings.plan(given, actor=actor, request=request)
    return ApiResponse(value=plan, status=201, headers={"Location": f"/api/v1/mappings/plans/{plan.id}"})


async def get_plan(call: RequestContext) -> ApiResponse:
    return ApiResponse(value=await call.mappings.get_plan(call.path_key("plan")))


async def apply_plan(call: RequestContext, body: MappingApplyBody) -> ApiResponse:
    request = Request(actor=call.token.name, note=body.note, source=SOURCE, resync=body.resync)
    with problems_listed():
        applied = await call.mappings.apply_plan(call.path_key("plan"), request)
    return ApiResponse(value=applied, headers=etag(applied.version.number), is_versioned=False)


async def get_shadow(call: RequestContext) -> ApiResponse:
    """The version that is computed beside the active one, and how it differed."""
    return ApiResponse(value=MappingShadow(shadow=await call.mappings.get_shadow()))


async def put_shadow(call: RequestContext, body: MappingShadowBody) -> ApiResponse:
    texts = {**(await _active(call)).texts, **body.files}
    given = {path: text for path, text in texts.items() if text is not None}
    with problems_listed():
        started = await call.mappings.start_shadow(given, actor=call.token.name, note=body.note)
    return ApiResponse(value=MappingShadow(shadow=started), is_versioned=False)


async def delete_shadow(call: RequestContext) -> ApiResponse:
    await call.mappings.discard_shadow(actor=call.token.name)
    return ApiResponse(value=MappingShadow(shadow=None), is_versioned=False)


async def apply_shadow(call: RequestContext, body: MappingApplyBody) -> ApiResponse:
    request = Request(actor=call.token.name, note=body.note, source=SOURCE, resync=body.resync)
    with problems_listed():
        applied = await call.mappings.apply_shadow(request)
    return ApiResponse(value=applied, headers=etag(applied.version.number), is_versioned=False)


async def list_drift(call: RequestContext) -> ApiResponse:
    """What admins changed in the orgs that concerns the active version."""
    healed = call.query_choice("state", DriftState) is DriftState.ALL
    return ApiResponse(value=MappingDrifts(drifts=await call.mappings.list_drift(healed=healed)))


async def _active(call: RequestContext) -> VersionDetail:
    active = await call.mappings.get_active()
    if active is None or not active.has_content:
        raise CommandError(
            "No version of the mappings is stored yet.",
            hint="A running service stores the one that it uses; `connector mappings apply` makes one active.",
            field="entity",
            rule="unknown",
        )
    return active


def _file_of(call: RequestContext, active: VersionDetail, *, may_be_new: bool = False) -> tuple[str, str]:
    """The entity in the path, and the path of its file."""
    entity = call.path_key("entity")
    path, names = f"{entity}{SUFFIX}", list_file_names()
    if entity not in names or not (may_be_new or path in active.texts):
        hint = f"Use one of {', '.join(name for name in names if may_be_new or f'{name}{SUFFIX}' in active.texts)}."
        raise ProblemError(404, "unknown", f"There is no mapping {entity}.", field="entity", hint=hint)
    return entity, path


@contextmanager
def problems_listed() -> Iterator[None]:
    """In this block, files that cannot be used are a problem with a list of errors, each with its place."""
    try:
        yield
    except InvalidMappingsError as error:
        errors = [
            {
                "field": item.field,
                "rule": "mapping",
                "detail": str(item),
                "file": item.file,
                "line": str(item.line),
                "column": str(item.column),
            }
            for item in error.found
        ]
        raise _invalid(error, errors) from None
    except MappingError as error:
        errors = [{"field": "files", "rule": "mapping", "detail": line} for line in error.problems]
        raise _invalid(error, errors) from None


def _invalid(error: MappingError, errors: list[dict[str, str]]) -> ProblemError:
    number = len(error.problems)
    detail = f"The mapping files have {number} problem{'s' if number > 1 else ''}; nothing was changed."
    return ProblemError(422, "mapping", detail, field="files", hint="Correct the lines in `errors`.", errors=errors)


_MAPPINGS = "/mappings"
ROUTES = (
    Route(method="GET", path=f"{_MAPPINGS}/versions", role=Role.VIEWER, handler=list_versions, result=MappingVersions,
          summary="Versions of the mappings, the newest first, page by page.",
          queries={"before": "list only smaller numbers", "limit": f"page size, up to {MAX_LIMIT}"}),
    Route(method="GET", path=f"{_MAPPINGS}/versions/{{id}}", role=Role.VIEWER, handler=get_version,
          result=VersionDetail, summary="One version with its files."),
    Route(method="GET", path=f"{_MAPPINGS}/versions/{{id}}/diff", role=Role.VIEWER, handler=diff_version,
          result=MappingDiff, summary="The lines that a version changed.",
          queries={"with": "the number of the version to compare with; else the one that it replaced"}),
    Route(method="GET", path=f"{_MAPPINGS}/drift", role=Role.VIEWER, handler=list_drift, result=MappingDrifts,
          summary="What admins changed in the org that breaks the active mappings, or may concern them.",
          queries={"state": "open (the default), or all, with what is over"},
          choices={"state": tuple(DriftState)}),
    Route(method="GET", path=f"{_MAPPINGS}/shadow", role=Role.ADMIN, handler=get_shadow, result=MappingShadow,
          summary="The version that is computed beside the active one, and how it differed, with samples."),
    Route(method="PUT", path=f"{_MAPPINGS}/shadow", role=Role.ADMIN,
          handler=BodyHandler(MappingShadowBody, put_shadow), result=MappingShadow,
          summary="Compute files beside the active version for all that is sent; nothing of it is written."),
    Route(method="DELETE", path=f"{_MAPPINGS}/shadow", role=Role.ADMIN, handler=delete_shadow, result=MappingShadow,
          summary="End the shadow."),
    Route(method="POST", path=f"{_MAPPINGS}/shadow/apply", role=Role.ADMIN,
          handler=BodyHandler(MappingApplyBody, apply_shadow), result=Applied,
          summary="End the shadow, and make its files the active version."),
    Route(method="POST", path=f"{_MAPPINGS}/lint", role=Role.ADMIN, handler=BodyHandler(MappingFilesBody, lint_files),
          result=LintReport, summary="What is wrong with mapping files, also compared with the org."),
    Route(method="GET", path=f"{_MAPPINGS}/plans", role=Role.ADMIN, handler=list_plans, result=MappingPlans,
          summary="The plans that were made last, the newest first.",
          queries={"limit": f"how many, up to {MAX_LIMIT}"}),
    Route(method="POST", path=f"{_MAPPINGS}/plans", role=Role.ADMIN, handler=BodyHandler(MappingPlanBody, post_plan),
          result=MappingPlan, statuses=(201,),
          summary="Compute what mapping files, or a return to a version, would change; nothing is changed."),
    Route(method="GET", path=f"{_MAPPINGS}/plans/{{plan}}", role=Role.ADMIN, handler=get_plan, result=MappingPlan,
          summary="One plan, with a sample of real records."),
    Route(method="POST", path=f"{_MAPPINGS}/plans/{{plan}}/apply", role=Role.ADMIN,
          handler=BodyHandler(MappingApplyBody, apply_plan), result=Applied,
          summary="Make the files of a plan the active version; refused if another version became active since."),
    Route(method="GET", path=f"{_MAPPINGS}/{{entity}}", role=Role.VIEWER, handler=get_mapping, result=MappingFile,
          summary="The active mapping of an entity: its file and value tables."),
    Route(method="PUT", path=f"{_MAPPINGS}/{{entity}}", role=Role.ADMIN, handler=BodyHandler(MappingBody, put_mapping),
          result=MappingChanged, headers=("If-Match",),
          summary="Change the mapping of an entity, for every running process at once; with `dry_run`, plan that."),
)  # fmt: skip
