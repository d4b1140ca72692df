"""The mapping files in the console: the list, and the editor with a row for each field beside the text."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from connector.errors import MappingError
from connector.jobs.mappings.org_profiles import load_stored_orgs
from connector.jobs.mappings.views import PlanState, PlanSummary, VersionSummary
from connector.mapping.edit import EditError, read_scalar, remove_entry, set_entry
from connector.mapping.functions import FUNCTIONS
from connector.mapping.loader import SUFFIX, VALUES
from connector.mapping.mapper import EntityMapping, MappingSet
from connector.mapping.problems import FOLDER, Level
from connector.mapping.spec import Owner
from connector.mapping.text_folder import Texts
from connector.mapping.transforms import TRANSFORMS
from connector.mapping.version import read_texts
from connector.model.describe import SObjectDescribe
from connector.model.record import FieldValue
from connector.model.role import Role
from connector.store import mapping_versions
from connector.web.console.frame import GIVEN, ConsoleAction, ConsolePage, Done, Form, FormError, Redraw
from connector.web.console.mappings.rows import MappedObject, MappingRow, list_objects, list_paths, mark_changes
from connector.web.console.mappings.samples import load_samples
from connector.web.console.mappings.tables import (
    DRAFTS,
    NEW,
    STARTER,
    add_table,
    apply_rows,
    draft_texts,
    dump_drafts,
    list_tables,
    model_of,
    name_of,
    open_new,
    path_of,
    read_drafts,
    without_rows,
)
from connector.web.problem import ProblemError
from connector.web.routing import RequestContext

MOST_PREVIEWS = 5
REPORTED_WITHIN = timedelta(minutes=5)
"""A process repeats the problems of its files once a minute."""
_KEYS = {"path": "path", "expression": "expr", "constant": "const"}
OWNER_TEXTS: Mapping[str, str] = {
    Owner.LOCAL: "ours",
    Owner.SALESFORCE: "Salesforce",
    Owner.NEWEST: "the latest change",
    Owner.ASK: "a person decides",
}
"""Whose value stands, in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRow:
    """A file of the list. `owners`: how many fields belong to whom; `objects`: with how much of each is mapped."""

    path: str
    kind: str
    objects: Sequence[MappedObject]
    owners: Mapping[str, int]
    errors: int
    warnings: int


@dataclass(frozen=True, kw_only=True, slots=True)
class EditedEntry:
    """The entry whose form is open; `row` is None for a new one."""

    child: str
    name: str
    row: MappingRow | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """The files that are used, and their version; None if none was made active yet."""

    version: VersionSummary | None
    texts: Texts

    @property
    def number(self) -> int:
        return 0 if self.version is None else self.version.number


async def load_base(call: RequestContext) -> Base:
    """The active version; before the first one, the files of this process."""
    active = await call.mappings.get_active()
    if active is not None and active.has_content:
        return Base(version=active, texts=active.texts)
    return Base(version=None, texts=read_texts(call.mappings.settings.mappings_dir))


async def load_files(call: RequestContext) -> Mapping[str, object]:
    base = await load_base(call)
    report = await call.mappings.lint(base.texts)
    describes = await _describes(call)
    since = call.store.clock.now() - REPORTED_WITHIN
    async with call.store.reader() as connection:
        reported = await mapping_versions.list_problems(connection, since)
    rows = []
    for path, mapping in _entity_files(await call.mappings.read(base.texts)):
        own = [item for item in report.problems if item.file == f"{FOLDER}/{path}"]
        objects = list_objects(mapping, describes, own)
        fields = [row for item in objects for row in item.rows]
        rows.append(
            FileRow(
                path=path,
                kind=mapping.kind.value,
                objects=objects,
                owners={owner: count for owner in Owner if (count := sum(row.owner is owner for row in fields))},
                errors=sum(item.level is Level.ERROR for item in own),
                warnings=sum(item.level is Level.WARNING for item in own),
            )
        )
    return {
        "base": base,
        "rows": rows,
        "tables": sorted(path for path in base.texts if path.startswith(f"{VALUES}/")),
        "reported": reported,
        "shadow": await call.mappings.get_shadow(),
        "previews": await _list_previews(call),
        "drifts": await call.mappings.list_drift(),
        "may_edit": call.token.role.covers(Role.ADMIN),
        "orgs": report.orgs,
        "problems": report.problems,
        "owner_texts": OWNER_TEXTS,
    }


async def _list_previews(call: RequestContext) -> list[PlanSummary]:
    """The latest plans that can still be applied, for those who may."""
    if not call.token.role.covers(Role.ADMIN):
        return []
    return [item for item in await call.mappings.list_plans(MOST_PREVIEWS) if item.state is PlanState.OPEN]


async def accept_drift(call: RequestContext, form: Form) -> Done:
    """Take the orgs as they are now."""
    await call.mappings.accept_drift(actor=call.token.name)
    left = await call.mappings.list_drift()
    told = "The orgs are taken as they are now."
    return Done(where="/mappings", told=f"{told} What they would refuse stays here." if left else told)


async def load_editor(call: RequestContext) -> Mapping[str, object]:
    """A file with its rows: as it is used, or as it stands in the form that was sent."""
    path = call.request.match_info["path"]
    base = await load_base(call)
    given: Form = call.request.get(GIVEN, {})
    may_edit, is_ops = call.token.role.covers(Role.ADMIN), call.token.role.covers(Role.OPS)
    if path not in base.texts and not (may_edit and name_of(path)):
        raise ProblemError(404, "unknown", f"There is no mapping file {path}.", hint="Choose one of the list.")
    text = given.get("text", base.texts.get(path, STARTER))
    drafts = read_drafts(given)
    texts = {**base.texts, **draft_texts(drafts), path: text}
    report = await call.mappings.lint(texts)
    files = {f"{FOLDER}/{name}" for name in (path, *draft_texts(drafts))}
    own = [item for item in report.problems if item.file in files]
    drafted = dict(_entity_files(await call.mappings.read(texts))).get(path)
    in_use = dict(_entity_files(await call.mappings.read(base.texts)))
    live = in_use.get(path)
    mapping = drafted or live
    objects: list[MappedObject] = []
    if mapping is not None:
        entities: Sequence[Any] = ()
        if is_ops:
            async with call.store.reader() as connection:
                entities = await load_samples(connection, mapping.kind)
        objects = list_objects(mapping, await _describes(call), own, entities)
        if live is not None:
            objects = mark_changes(objects, list_objects(live, {}, ()))
    using: Sequence[MappedObject] = objects
    if name_of(path):
        describes = await _describes(call)
        using = [item for one in in_use.values() for item in list_objects(one, describes, ())]
    shown = {(row.child, row.name) for item in objects for row in item.rows if row.problems}
    return {
        "title": f"Mapping {path}",
        "file": path,
        "base": base,
        "text": text,
        "is_changed": text != base.texts.get(path),
        "is_new": path not in base.texts,
        "table_forms": list_tables(given, path, text, drafts, base.texts, using),
        "drafts": dump_drafts(drafts),
        "is_behind": bool(given) and given.get("base") != str(base.number),
        "began_with": given.get("base", ""),
        "objects": objects,
        "is_old": drafted is None and mapping is not None,
        "problems": own,
        "elsewhere": [item for item in report.problems if item not in own and item.level is Level.ERROR],
        "row_problems": shown,
        "orgs": report.orgs,
        "may_edit": may_edit,
        "with_samples": is_ops,
        "editing": _find_edited(given, objects),
        "paths": {} if mapping is None else {item.child: list_paths(mapping.kind, item.child) for item in objects},
        "tables": sorted(name for path_ in texts if (name := name_of(path_))),
        "transforms": [(item.name, item.about) for item in TRANSFORMS.values()],
        "functions": [(item.name, item.about) for item in FUNCTIONS.values()],
        "owner_texts": OWNER_TEXTS,
    }


def _find_edited(given: Form, objects: Sequence[MappedObject]) -> EditedEntry | None:
    """The entry whose form is open: one that is there, or a new one."""
    do, _, where = given.get("do", "").partition(":")
    if do not in {"edit", "add", "set"}:
        return None
    child, _, name = where.partition("/")
    row = next((row for item in objects for row in item.rows if (row.child, row.name) == (child, name)), None)
    return EditedEntry(child=child, name=name, row=row)


async def change_file(call: RequestContext, form: Form) -> Done | Redraw:
    """What the buttons of the editor do. Nothing is stored before the plan."""
    do, _, where = form.get("do", "check").partition(":")
    text = form.get("text", "").replace("\r\n", "\n")
    child, _, name = where.partition("/")
    drafts = read_drafts(form)
    if do == "check" and "HX-Request" in call.request.headers:  # somebody types in the text
        return Redraw(form={**form, "text": text})
    try:
        text, drafts = await apply_rows(form, call.request.match_info["path"], text, drafts)
        drawn = {**without_rows(form), "text": text, DRAFTS: dump_drafts(drafts)}
        match do:
            case "edit" | "add" | "check" | "close":
                return Redraw(form=drawn)
            case "rows":
                return Redraw(form={**drawn, "do": "close", "opened": where})
            case "table":
                base = await load_base(call)
                drafts.setdefault(where, base.texts.get(path_of(where), STARTER))
                return Redraw(form={**drawn, DRAFTS: dump_drafts(drafts), "do": "close", "opened": where})
            case "set":
                name, entry = _read_entry(form, name)
                if form.get("values") == NEW:
                    drafts = await _add_table(call, form, child, name, drafts)
                    drawn |= {DRAFTS: dump_drafts(drafts), "opened": form.get("new_table", "").strip()}
                changed = await asyncio.to_thread(set_entry, text, child, name, entry)
                return Redraw(form={**drawn, "text": changed, "do": "close", "written": f"{child}/{name}"})
            case "remove":
                changed = await asyncio.to_thread(remove_entry, text, child, name)
                return Redraw(form={**drawn, "text": changed, "do": "close"})
            case "rebase":
                base = await load_base(call)
                return Redraw(form={**drawn, "base": str(base.number), "do": "close"})
            case "plan":
                return await _plan(call, drawn)
    except EditError as error:
        raise FormError({"": str(error)}) from None
    raise ProblemError(422, "input", "This form asks for nothing.", hint="Reload the page, and repeat it.")


async def _add_table(
    call: RequestContext, form: Form, child: str, field: str, drafts: Mapping[str, str]
) -> dict[str, str]:
    """The drafts with the new table that the row's form names."""
    path, base = call.request.match_info["path"], await load_base(call)
    mapping = dict(_entity_files(await call.mappings.read(base.texts))).get(path)
    if mapping is None:
        raise FormError({"values": "Correct the file first, or choose another table."})
    spec = mapping.spec.children[child] if child else mapping.spec.record
    describe = (await _describes(call)).get(spec.sobject)
    target = None if describe is None else describe.fields.get(field)
    return add_table(
        form.get("new_table", "").strip(),
        base.texts,
        drafts,
        model=model_of(mapping.kind, child),
        source=form.get("source", "").strip(),
        choices=() if target is None else target.picklist,
    )


async def _plan(call: RequestContext, form: Form) -> Done:
    """Compute what the file would change, and lead to that. Raises FormError if it cannot be made live so."""
    path, base = call.request.match_info["path"], await load_base(call)
    if form.get("base") != str(base.number):
        raise FormError({"": f"Version {base.number} was made live meanwhile: look at it, then go on from there."})
    texts = {**base.texts, **draft_texts(read_drafts(form)), path: form["text"]}
    if texts == base.texts:
        raise FormError({"": "Nothing has changed: the file is as it is live."})
    try:
        plan = await call.mappings.plan(texts, actor=call.token.name)
    except MappingError as error:
        raise FormError({"": " ".join(error.problems)}) from None
    return Done(where=f"/mappings/plans/{plan.id}", told="")


def _read_entry(form: Form, name: str) -> tuple[str, Mapping[str, FieldValue] | str]:
    """The entry that the row's form describes. Raises FormError at the field that is wrong."""
    name = name or form.get("name", "").strip()
    source, kind = form.get("source", "").strip(), form.get("source_kind", "path")
    if not name:
        raise FormError({"name": "Choose a field of Salesforce."})
    if kind not in _KEYS:
        raise FormError({"source_kind": "Choose where the value comes from."})
    if not source and kind != "constant":
        raise FormError({"source": "Say where the value comes from."})
    entry: dict[str, FieldValue] = {_KEYS[kind]: _scalar("source", source) if kind == "constant" else source}
    if transforms := form.get("transform", "").split():
        entry["transform"] = transforms[0] if len(transforms) == 1 else transforms  # type: ignore[assignment]
    if form.get("values"):
        entry["values"] = form["values"] if form["values"] != NEW else form.get("new_table", "").strip()
    if form.get("default", "").strip():
        entry["default"] = _scalar("default", form["default"])
    if form.get("owner", Owner.LOCAL) != Owner.LOCAL:
        entry["owner"] = form["owner"]
    return name, (source if entry.keys() == {"path"} else entry)


def _scalar(name: str, text: str) -> FieldValue:
    try:
        value: FieldValue = read_scalar(text)
    except EditError as error:
        raise FormError({name: str(error)}) from None
    return value


async def _describes(call: RequestContext) -> Mapping[str, SObjectDescribe]:
    """What the first known org says of its objects; empty if none is known."""
    known = await load_stored_orgs(call.mappings.store, call.mappings.settings)
    return known[0].profile.describes if known else {}


def _entity_files(mappings: MappingSet | None) -> list[tuple[str, EntityMapping[Any]]]:
    if mappings is None:
        return []
    files: list[tuple[str, EntityMapping[Any] | None]] = [
        ("customer", mappings.customer), ("person", mappings.person), ("product", mappings.product),
        ("order", mappings.order), ("return", mappings.reduction), ("return_order", mappings.return_order),
    ]  # fmt: skip
    return [(f"{name}{SUFFIX}", mapping) for name, mapping in files if mapping is not None]


LIST = ConsolePage(path="/mappings", title="Mappings", template="mappings.html.j2", load=load_files, follows=False)
EDITOR = ConsolePage(
    path="/mappings/files/{path}", title="Mapping", template="mapping.html.j2", load=load_editor, follows=False
)
PAGES = (LIST, EDITOR)
ACTIONS = (
    ConsoleAction(path="/mappings/files/{path}", act=change_file, role=Role.ADMIN, page=EDITOR),
    ConsoleAction(path="/mappings/tables", act=open_new, role=Role.ADMIN, page=LIST),
    ConsoleAction(path="/mappings/drift/accept", act=accept_drift, role=Role.ADMIN),
)
