"""Value tables in the editor: their rows as a form, and drafts of tables that become live with the file."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from connector.mapping.edit import EditError
from connector.mapping.loader import SUFFIX, VALUES
from connector.mapping.parser import CHILDREN, MODELS
from connector.mapping.paths import PathError, resolve
from connector.mapping.table_edit import MOST_ROWS, NAME, RowEdit, change_rows, list_rows, new_table
from connector.mapping.text_folder import Texts
from connector.model.change import EntityKind
from connector.web.console.frame import Done, Form, FormError
from connector.web.console.mappings.rows import MappedObject
from connector.web.routing import RequestContext

DRAFTS = "tables"
"""The field of the form with the tables that are changed together with the file."""
NEW = "+"
"""The choice of a table that is made for the field."""
STARTER = '"*": null\n'


@dataclass(frozen=True, kw_only=True, slots=True)
class TableForm:
    """A table with its rows as they stand in the form; `is_long`: too many for a form. `choices`: values that the
    fields have that use it. `mark`: `new` or `changed`."""

    name: str
    path: str
    rows: Sequence[RowEdit]
    is_long: bool
    mark: str
    choices: Sequence[str]


def path_of(name: str) -> str:
    return f"{VALUES}/{name}{SUFFIX}"


def name_of(path: str) -> str:
    """The name of the table that a file has; empty for a file that is none."""
    folder, _, name = path.rpartition("/")
    stem = name.removesuffix(SUFFIX)
    return stem if folder == VALUES and name.endswith(SUFFIX) and NAME.fullmatch(stem) else ""


def read_drafts(form: Form) -> dict[str, str]:
    """The texts of the tables that are changed together with the file, by name."""
    try:
        document = orjson.loads(form.get(DRAFTS, "") or "{}")
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(document, dict):
        return {}
    return {
        name: text.replace("\r\n", "\n")
        for name, text in document.items()
        if NAME.fullmatch(name) and isinstance(text, str)
    }


def dump_drafts(drafts: Mapping[str, str]) -> str:
    return orjson.dumps(dict(drafts)).decode()


def draft_texts(drafts: Mapping[str, str]) -> Texts:
    """The drafts by their path."""
    return {path_of(name): text for name, text in drafts.items()}


async def apply_rows(form: Form, path: str, text: str, drafts: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The text of the file and the drafts, with what was changed in the rows of tables. Raises EditError."""
    own, changed = name_of(path), dict(drafts)
    if own:
        text = await asyncio.to_thread(change_rows, text, _list_edits(form, own))
    for name in drafts:
        changed[name] = await asyncio.to_thread(change_rows, drafts[name], _list_edits(form, name))
    return text, changed


def _list_edits(form: Form, name: str) -> list[RowEdit]:
    edits = []
    for number in range(MOST_ROWS + 1):
        ours = form.get(f"ours-{name}-{number}")
        if ours is None:
            continue
        edits.append(
            RowEdit(
                ours=ours.strip(),
                theirs=form.get(f"theirs-{name}-{number}", "").strip(),
                former_ours=form.get(f"was-{name}-{number}", ""),
                former_theirs=form.get(f"had-{name}-{number}", ""),
            )
        )
    return edits


def without_rows(form: Form) -> dict[str, str]:
    """The form without the rows of tables: they are drawn as they stand in the texts."""
    parts = ("ours-", "theirs-", "was-", "had-")
    return {name: value for name, value in form.items() if not name.startswith(parts)}


def model_of(kind: EntityKind, child: str) -> type:
    """The model whose attributes fill the fields of an object."""
    return CHILDREN[kind][child][1] if child else MODELS[kind]


def add_table(
    name: str, known: Texts, drafts: Mapping[str, str], *, model: type, source: str, choices: Sequence[str]
) -> dict[str, str]:
    """The drafts with a new table for a field that is filled from the path `source`, and can have these `choices`.
    Raises FormError for a name that cannot be used."""
    if not NAME.fullmatch(name):
        raise FormError({"new_table": "Name the new table with letters, digits, _ and -."})
    if path_of(name) in known or name in drafts:
        raise FormError({"new_table": f"There is a table {name} already: choose it, or use another name."})
    try:
        ours = resolve(model, source).choices
    except PathError:
        ours = ()
    return {**drafts, name: new_table(ours, choices)}


def list_tables(
    given: Form, path: str, text: str, drafts: Mapping[str, str], live: Texts, objects: Sequence[MappedObject]
) -> list[TableForm]:
    """The tables whose rows are shown: the one of the file, and the drafts. `objects` have the fields that use them."""
    shown = {own: text} if (own := name_of(path)) else dict(drafts)
    forms = []
    for name, content in shown.items():
        try:
            rows = list_rows(content)
        except EditError:
            continue  # lint says what is wrong with its text
        before = live.get(path_of(name))
        typed = [edit for edit in _list_edits(given, name) if edit.is_change]
        forms.append(
            TableForm(
                name=name,
                path=path_of(name),
                rows=_list_edits(given, name) if typed else [*map(_unchanged, rows), RowEdit(ours="", theirs="")],
                is_long=len(rows) > MOST_ROWS,
                mark="new" if before is None else "changed" if before != content else "",
                choices=_list_choices(name, objects),
            )
        )
    return forms


def _unchanged(row: tuple[str, str]) -> RowEdit:
    ours, theirs = row
    return RowEdit(ours=ours, theirs=theirs, former_ours=ours, former_theirs=theirs)


def _list_choices(name: str, objects: Sequence[MappedObject]) -> list[str]:
    """The values that the fields have that use the table."""
    fields = [row.org for item in objects for row in item.rows if row.table_name == name and row.org is not None]
    return list(dict.fromkeys(choice for field in fields for choice in field.choices))


async def open_new(call: RequestContext, form: Form) -> Done:
    """Lead to the editor of a table that is to be made."""
    name = form.get("name", "").strip()
    if not NAME.fullmatch(name):
        raise FormError({"name": "Name the table with letters, digits, _ and -."})
    return Done(where=f"/mappings/files/{VALUES}%2F{name}{SUFFIX}", told="")
