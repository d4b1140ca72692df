"""SOSL: FIND {words} IN … FIELDS RETURNING objects with fields, WHERE, ORDER BY and LIMIT. Frozen: see README.md.

A word matches a whole word of a field; `*` and `?` stand for letters in it. Words side by side must all occur.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from connector.localorg.errors import Refusal
from connector.localorg.schema import Schema, SObject

MAX_RECORDS = 2_000
_FIELD_GROUPS = {
    "ALL": {"string", "textarea", "phone", "email", "url", "picklist", "combobox"},
    "NAME": {"string"},
    "EMAIL": {"email"},
    "PHONE": {"phone"},
    "SIDEBAR": {"string", "phone", "email"},
}
_FIND = re.compile(r"\s*FIND\s*\{((?:\\.|[^}\\])*)\}\s*", re.IGNORECASE | re.DOTALL)
_IN = re.compile(r"IN\s+(ALL|NAME|EMAIL|PHONE|SIDEBAR)\s+FIELDS\s*", re.IGNORECASE)
_RETURNING = re.compile(r"RETURNING\s+", re.IGNORECASE)
_LIMIT = re.compile(r"LIMIT\s+(\d+)\s*\Z", re.IGNORECASE)
_PIECE = re.compile(r"(\w+)(?:\s*(?:\(|,|\Z)|(?=\s+LIMIT\b))", re.IGNORECASE)
_TOKEN = re.compile(r'"([^"]*)"|(\S+)')
_TAIL = re.compile(r"\s(?=(?:WHERE|ORDER\s+BY|LIMIT|OFFSET)\s)", re.IGNORECASE)
MAX_LENGTH = 100_000
MAX_TERM_LENGTH = 10_000
MAX_WORDS = 50
MAX_WILDCARDS = 10
RunSoql = Callable[[str], list[dict[str, Any]]]


def malformed_search(message: str) -> Refusal:
    return Refusal("MALFORMED_SEARCH", message)


@dataclass(frozen=True, kw_only=True)
class ReturnedObject:
    """One object after RETURNING: its fields, and the rest of its query."""

    sobject: str
    fields: tuple[str, ...] = ("Id",)
    rest: str = ""


@dataclass(frozen=True, kw_only=True)
class SoslSearch:
    term: str
    field_group: str = "ALL"
    returning: tuple[ReturnedObject, ...] = ()
    limit: int = MAX_RECORDS


@dataclass
class _WordGroup:
    """Words that must all occur, and words that must not."""

    required: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)


def parse_search(text: str) -> SoslSearch:
    if len(text) > MAX_LENGTH:
        raise malformed_search(f"SOSL statements cannot be longer than {MAX_LENGTH} characters.")
    match = _FIND.match(text)
    if match is None:
        raise malformed_search("No search term found. The search term must be enclosed in braces.")
    term, rest = re.sub(r"\\(.)", r"\1", match[1]), text[match.end() :]
    among = "ALL"
    if match := _IN.match(rest):
        among, rest = match[1].upper(), rest[match.end() :]
    limit = MAX_RECORDS
    returning: tuple[ReturnedObject, ...] = ()
    if match := _RETURNING.match(rest):
        returning, rest = _parse_returning(rest[match.end() :])
    if match := _LIMIT.match(rest):
        limit, rest = int(match[1]), ""
    if rest.strip():
        raise malformed_search(f"unexpected token: '{rest.split()[0]}'")
    return SoslSearch(term=term, field_group=among, returning=returning, limit=limit)


def _parse_returning(text: str) -> tuple[tuple[ReturnedObject, ...], str]:
    """Return the objects after RETURNING, and the text after them."""
    objects: list[ReturnedObject] = []
    while True:
        piece = _PIECE.match(text)
        if piece is None:
            raise malformed_search(f"unexpected token: '{(text.split() or ['<EOF>'])[0]}'")
        text = text[piece.end() :]
        inside = ""
        if piece[0].endswith("("):
            end = _closing_parenthesis(text)
            inside, text = text[:end], text[end + 1 :].lstrip()
        comma = piece[0].endswith(",")
        fields, rest = _split_fields(inside)
        names = tuple(name.strip() for name in fields.split(",") if name.strip())
        objects.append(ReturnedObject(sobject=piece[1], fields=names or ("Id",), rest=rest))
        if text.startswith(","):
            comma, text = True, text[1:]
        text = text.lstrip()
        if not comma:
            return tuple(objects), text


def _split_fields(inside: str) -> tuple[str, str]:
    parts = _TAIL.split(f" {inside}", maxsplit=1)
    return parts[0], parts[1] if len(parts) > 1 else ""


def _closing_parenthesis(text: str) -> int:
    depth, quoted = 1, False
    for index, char in enumerate(text):
        if char == "'" and text[index - 1 : index] != "\\":
            quoted = not quoted
        if not quoted:
            depth += (char == "(") - (char == ")")
        if not depth:
            return index
    raise malformed_search("unexpected token: '<EOF>'")


def run_search(schema: Schema, search: SoslSearch, run_soql: RunSoql) -> list[dict[str, Any]]:
    """Return the records of a search; `run_soql` runs queries. A term that is too long finds nothing."""
    if len(search.term) > MAX_TERM_LENGTH:
        return []
    groups = list(_word_groups(search.term))
    records: list[dict[str, Any]] = []
    for returned in search.returning or _searchable_objects(schema):
        sobject = schema.get(returned.sobject)
        if sobject is None or sobject.event:
            raise Refusal("INVALID_TYPE", f"sObject type '{returned.sobject}' is not supported.")
        ids = _matching_ids(sobject, groups, search.field_group, run_soql)
        if ids:
            records += run_soql(_build_query(returned, sobject, ids))
    return records[: search.limit]


def _searchable_objects(schema: Schema) -> Sequence[ReturnedObject]:
    return [
        ReturnedObject(sobject=item.name)
        for item in schema
        if item.get("Name") is not None and item.queryable and not item.event
    ]


def _build_query(returned: ReturnedObject, sobject: SObject, ids: Sequence[str]) -> str:
    listed = ", ".join(f"'{record_id}'" for record_id in ids)
    condition = f"Id IN ({listed})"
    rest = returned.rest.strip()
    if rest[:5].upper() == "WHERE":
        parts = re.split(r"\s(?=(?:ORDER\s+BY|LIMIT|OFFSET)\s)", rest[5:], maxsplit=1, flags=re.IGNORECASE)
        condition += f" AND ({parts[0].strip()})"
        rest = parts[1] if len(parts) > 1 else ""
    return f"SELECT {', '.join(returned.fields)} FROM {sobject.name} WHERE {condition} {rest}"  # noqa: S608


def _matching_ids(sobject: SObject, groups: list[_WordGroup], among: str, run_soql: RunSoql) -> list[str]:
    kinds = _FIELD_GROUPS[among]
    names = [
        item.name
        for item in sobject.fields.values()
        if item.type in kinds and item.filterable and item.stored and (among != "NAME" or "Name" in item.name)
    ]
    if not names:
        return []
    ids: dict[str, None] = {}
    for group in groups:
        conditions = " AND ".join(
            "(" + " OR ".join(f"{name} LIKE '{_like_pattern(word)}'" for name in names) + ")" for word in group.required
        )
        text = f"SELECT {', '.join(['Id', *names])} FROM {sobject.name} WHERE {conditions} LIMIT {MAX_RECORDS}"  # noqa: S608
        for row in run_soql(text):
            text_of_row = "\n".join(str(row[name]) for name in names if row[name] is not None)
            if all(_contains_word(text_of_row, word) for word in group.required) and not any(
                _contains_word(text_of_row, word) for word in group.excluded
            ):
                ids[row["Id"]] = None
    return list(ids)


def _word_groups(term: str) -> Iterator[_WordGroup]:
    group, exclude_next, letters, number = _WordGroup(), False, 0, 0
    for quoted, plain in _TOKEN.findall(term.replace("(", " ").replace(")", " ")):
        match plain.upper():
            case "OR":
                if group.required:
                    yield group
                group = _WordGroup()
            case "AND":
                pass
            case "NOT":
                exclude_next = True
            case _:
                word = quoted or plain
                number += 1
                if number > MAX_WORDS or word.count("*") + word.count("?") > MAX_WILDCARDS:
                    limits = f"{MAX_WORDS} words, and {MAX_WILDCARDS} wildcards in a word"
                    raise malformed_search(f"search term has more than {limits}")
                (group.excluded if exclude_next else group.required).append(word)
                letters += len((quoted or plain).strip("*?"))
                exclude_next = False
    if letters < 2:
        raise malformed_search(f"search term must be longer than one character: {term.strip()}")
    if group.required:
        yield group


def _like_pattern(word: str) -> str:
    escaped = re.sub(r"([\\'%_])", r"\\\1", word)
    return "%" + escaped.replace("*", "%").replace("?", "_") + "%"


def _contains_word(text: str, word: str) -> bool:
    """Whether the text has the word; `*` stands for any letters and `?` for one.

    A part between two `*` matches at its first occurrence only. Trying all of them would take very long for a word with
    many `*`.
    """
    first, *rest = (re.escape(piece).replace(r"\?", r"\w") for piece in re.split(r"\*+", word))
    middle = "".join(rf"(?>\w*?{piece})" for piece in rest[:-1])
    last = rf"\w*{rest[-1]}" if rest else ""
    return re.search(rf"(?<!\w){first}{middle}{last}(?!\w)", text, re.IGNORECASE) is not None
