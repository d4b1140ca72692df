"""SOSL, an honest part of it: FIND {words} IN … FIELDS RETURNING objects with fields, WHERE, ORDER BY and LIMIT.

A word matches a whole word of a field, `*` and `?` stand for letters in it; words side by side must all be there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from connector.localorg.errors import Refusal
from connector.localorg.schema import Schema, SObject

MOST = 2_000
_KINDS = {
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
LONGEST = 100_000
LONGEST_TERM = 10_000
MOST_WORDS = 50
MOST_WILDCARDS = 10
Ask = Callable[[str], list[dict[str, Any]]]


def malformed(message: str) -> Refusal:
    return Refusal("MALFORMED_SEARCH", message)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One object of a search: its fields, and the rest of its query."""

    sobject: str
    fields: tuple[str, ...] = ("Id",)
    rest: str = ""


@dataclass(frozen=True, kw_only=True)
class Search:
    term: str
    among: str = "ALL"
    wanted: tuple[Wanted, ...] = ()
    limit: int = MOST


@dataclass
class _Words:
    """Words of which all must be there, and words of which none may be."""

    needed: list[str] = field(default_factory=list)
    barred: list[str] = field(default_factory=list)


def parse(text: str) -> Search:
    if len(text) > LONGEST:
        raise malformed(f"SOSL statements cannot be longer than {LONGEST} characters.")
    found = _FIND.match(text)
    if found is None:
        raise malformed("No search term found. The search term must be enclosed in braces.")
    term, rest = re.sub(r"\\(.)", r"\1", found[1]), text[found.end() :]
    among = "ALL"
    if found := _IN.match(rest):
        among, rest = found[1].upper(), rest[found.end() :]
    limit = MOST
    wanted: tuple[Wanted, ...] = ()
    if found := _RETURNING.match(rest):
        wanted, rest = _returned(rest[found.end() :])
    if found := _LIMIT.match(rest):
        limit, rest = int(found[1]), ""
    if rest.strip():
        raise malformed(f"unexpected token: '{rest.split()[0]}'")
    return Search(term=term, among=among, wanted=wanted, limit=limit)


def _returned(text: str) -> tuple[tuple[Wanted, ...], str]:
    """The objects after RETURNING, and what follows them."""
    found: list[Wanted] = []
    while True:
        piece = _PIECE.match(text)
        if piece is None:
            raise malformed(f"unexpected token: '{(text.split() or ['<EOF>'])[0]}'")
        text = text[piece.end() :]
        inside = ""
        if piece[0].endswith("("):
            end = _closing(text)
            inside, text = text[:end], text[end + 1 :].lstrip()
        comma = piece[0].endswith(",")
        fields, rest = _split(inside)
        names = tuple(name.strip() for name in fields.split(",") if name.strip())
        found.append(Wanted(sobject=piece[1], fields=names or ("Id",), rest=rest))
        if text.startswith(","):
            comma, text = True, text[1:]
        text = text.lstrip()
        if not comma:
            return tuple(found), text


def _split(inside: str) -> tuple[str, str]:
    parts = _TAIL.split(f" {inside}", maxsplit=1)
    return parts[0], parts[1] if len(parts) > 1 else ""


def _closing(text: str) -> int:
    depth, quoted = 1, False
    for place, char in enumerate(text):
        if char == "'" and text[place - 1 : place] != "\\":
            quoted = not quoted
        if not quoted:
            depth += (char == "(") - (char == ")")
        if not depth:
            return place
    raise malformed("unexpected token: '<EOF>'")


def run(schema: Schema, search: Search, ask: Ask) -> list[dict[str, Any]]:
    """The records found; `ask` answers SOQL. A term that is too long finds nothing."""
    if len(search.term) > LONGEST_TERM:
        return []
    groups = list(_groups(search.term))
    found: list[dict[str, Any]] = []
    for wanted in search.wanted or _everything(schema):
        sobject = schema.get(wanted.sobject)
        if sobject is None or sobject.event:
            raise Refusal("INVALID_TYPE", f"sObject type '{wanted.sobject}' is not supported.")
        ids = _matching(sobject, groups, search.among, ask)
        if ids:
            found += ask(_query(wanted, sobject, ids))
    return found[: search.limit]


def _everything(schema: Schema) -> Sequence[Wanted]:
    return [
        Wanted(sobject=item.name)
        for item in schema
        if item.get("Name") is not None and item.queryable and not item.event
    ]


def _query(wanted: Wanted, sobject: SObject, ids: Sequence[str]) -> str:
    listed = ", ".join(f"'{record_id}'" for record_id in ids)
    condition = f"Id IN ({listed})"
    rest = wanted.rest.strip()
    if rest[:5].upper() == "WHERE":
        parts = re.split(r"\s(?=(?:ORDER\s+BY|LIMIT|OFFSET)\s)", rest[5:], maxsplit=1, flags=re.IGNORECASE)
        condition += f" AND ({parts[0].strip()})"
        rest = parts[1] if len(parts) > 1 else ""
    return f"SELECT {', '.join(wanted.fields)} FROM {sobject.name} WHERE {condition} {rest}"  # noqa: S608


def _matching(sobject: SObject, groups: list[_Words], among: str, ask: Ask) -> list[str]:
    kinds = _KINDS[among]
    names = [
        item.name
        for item in sobject.fields.values()
        if item.type in kinds and item.filterable and item.stored and (among != "NAME" or "Name" in item.name)
    ]
    if not names:
        return []
    ids: dict[str, None] = {}
    for words in groups:
        conditions = " AND ".join(
            "(" + " OR ".join(f"{name} LIKE '{_like(word)}'" for name in names) + ")" for word in words.needed
        )
        text = f"SELECT {', '.join(['Id', *names])} FROM {sobject.name} WHERE {conditions} LIMIT {MOST}"  # noqa: S608
        for row in ask(text):
            told = "\n".join(str(row[name]) for name in names if row[name] is not None)
            if all(_has(told, word) for word in words.needed) and not any(_has(told, word) for word in words.barred):
                ids[row["Id"]] = None
    return list(ids)


def _groups(term: str) -> Iterator[_Words]:
    words, barred, counted, number = _Words(), False, 0, 0
    for quoted, plain in _TOKEN.findall(term.replace("(", " ").replace(")", " ")):
        match plain.upper():
            case "OR":
                if words.needed:
                    yield words
                words = _Words()
            case "AND":
                pass
            case "NOT":
                barred = True
            case _:
                word = quoted or plain
                number += 1
                if number > MOST_WORDS or word.count("*") + word.count("?") > MOST_WILDCARDS:
                    limits = f"{MOST_WORDS} words, and {MOST_WILDCARDS} wildcards in a word"
                    raise malformed(f"search term has more than {limits}")
                (words.barred if barred else words.needed).append(word)
                counted += len((quoted or plain).strip("*?"))
                barred = False
    if counted < 2:
        raise malformed(f"search term must be longer than one character: {term.strip()}")
    if words.needed:
        yield words


def _like(word: str) -> str:
    escaped = re.sub(r"([\\'%_])", r"\\\1", word)
    return "%" + escaped.replace("*", "%").replace("?", "_") + "%"


def _has(text: str, word: str) -> bool:
    """Whether the text has the word, `*` standing for any letters of it and `?` for one.

    What stands between two `*` is taken where it comes first and never looked for again: trying all places would take
    for ever in a word with many of them.
    """
    first, *rest = (re.escape(piece).replace(r"\?", r"\w") for piece in re.split(r"\*+", word))
    middle = "".join(rf"(?>\w*?{piece})" for piece in rest[:-1])
    last = rf"\w*{rest[-1]}" if rest else ""
    return re.search(rf"(?<!\w){first}{middle}{last}(?!\w)", text, re.IGNORECASE) is not None
