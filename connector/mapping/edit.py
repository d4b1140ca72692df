"""Changes entries of a mapping file as text: comments, quotes and the order of entries stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import RoundTripRepresenter

from connector.mapping.yaml_nodes import BadYamlError, compose_document
from connector.model.record import FieldValue

MOST_CHARACTERS = 100_000
_WIDTH = 4096
"""Longer lines than anybody writes: an entry is never broken into several."""


class EditError(Exception):
    """A file that cannot be changed by entries; its text is one sentence that says what to do."""


class _Representer(RoundTripRepresenter):
    """Writes `null` where nothing is meant, as people do."""


_Representer.add_representer(
    type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
)


def set_entry(text: str, child: str, name: str, entry: Mapping[str, FieldValue] | str) -> str:
    """Return the file with this entry instead of the one of that name, or behind all others. `child`: `lines` for the
    lines of an order, else empty; `entry`: a path alone, or the parts of the entry. Raises EditError."""
    document = load_document(text)
    fields = _fields(document, child)
    if isinstance(entry, str):
        fields[name] = entry
    else:
        written = CommentedMap(entry)
        written.fa.set_flow_style()
        fields[name] = written
    return dump_document(document)


def read_scalar(text: str) -> Any:
    """One value as YAML has it: `0` is a number, `'0'` a text. Raises EditError if it is more than one value."""
    try:
        value = _yaml().load(text)
    except (YAMLError, ValueError):
        value = []
    if isinstance(value, dict | list):
        raise EditError(f"{text[:80]} is not one value: put it between quotes if it is a text.")
    return value


def remove_entry(text: str, child: str, name: str) -> str:
    """Return the file without this entry. Raises EditError."""
    document = load_document(text)
    fields = _fields(document, child)
    if name not in fields:
        raise EditError(f"There is no entry {name}.")
    del fields[name]
    return dump_document(document)


def load_document(text: str) -> CommentedMap:
    """The document of a file, to be changed. Raises EditError.

    Comments and order cost much time: only files that people write are changed by entries."""
    if len(text) > MOST_CHARACTERS:
        raise EditError(f"The file has more than {MOST_CHARACTERS:,} characters: change its text, or divide it.")
    try:
        compose_document(text.encode())  # its limits, before anything is made of it
    except BadYamlError as error:
        raise EditError(f"The file {error.problem}") from None
    try:
        document = _yaml().load(text)
    except (YAMLError, ValueError):
        raise EditError("The file is not valid YAML: correct it first.") from None
    if not isinstance(document, CommentedMap):
        raise EditError("The file is not a mapping: correct it first.")
    return document


def _fields(document: CommentedMap, child: str) -> CommentedMap:
    record: Any = document
    if child:
        children = document.get("children")
        record = children.get(child) if isinstance(children, CommentedMap) else None
    fields = record.get("fields") if isinstance(record, CommentedMap) else None
    if not isinstance(fields, CommentedMap):
        raise EditError(f"The file has no `fields`{f' of `{child}`' if child else ''}: write them first.")
    return fields


def dump_document(document: CommentedMap) -> str:
    """The text of a document."""
    written = StringIO()
    _yaml().dump(document, written)
    return written.getvalue()


def _yaml() -> YAML:
    yaml = YAML(typ="rt")
    yaml.width = _WIDTH
    yaml.preserve_quotes = True
    yaml.Representer = _Representer
    return yaml
