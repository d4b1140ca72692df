"""Check that the header of a file has the columns that are read from it. Other columns are ignored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

from connector.errors import UsageError
from connector.orders.importing.field_parsers import KINDS, quote_value
from connector.orders.importing.joins import joined_columns
from connector.orders.importing.profile import Profile, Section
from connector.orders.importing.reader import Table


def check_header(table: Table, sections: Mapping[str, Section], profile: Profile, name: str) -> None:
    """Check the header of `table`, which is `name` in the profile.

    Raises UsageError if a column of a section or join is missing or occurs twice; in the connector's own format also
    if there is a column that is no field.
    """
    needed = set(joined_columns(profile.joins()).get(name, ()))
    read_columns = set(needed)
    for kind, section in sections.items():
        for field, value in section.fields.items():
            read_columns |= value.columns()
            if not section.optional or field in KINDS[kind].keys:
                needed |= value.columns()
    place = f"{table.name}:{table.header_line}"
    missing = sorted(needed - set(table.header))
    if missing:
        raise UsageError(f"{table.name} has no column {_quoted(missing)}.", hint=_hint(table, missing, profile))
    for column in sorted(read_columns & set(table.header)):
        where = table.columns(column)
        if len(where) > 1:
            listed = " and ".join((", ".join(map(str, where[:-1])), str(where[-1])))
            raise UsageError(
                f"{place}: the header has {quote_value(column)} in columns {listed}.",
                hint="Rename all but the right one.",
            )
    for kind, section in sections.items():
        if section.optional:
            _reject_unknown_columns(table, kind)


def _reject_unknown_columns(table: Table, kind: str) -> None:
    fields = KINDS[kind].fields
    unknown = next((column for column in table.header if column and column not in fields), None)
    if unknown is None:
        return
    close = get_close_matches(unknown, fields, n=1)
    meant = f" (did you mean {close[0]}?)" if close else ""
    raise UsageError(
        f"{table.name} has an unknown column: {quote_value(unknown)}{meant}.",
        hint="Correct its name, remove it, or describe the file in a profile.",
    )


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{quote_value(name)[1:-1]}`" for name in names)


def _hint(table: Table, missing: Sequence[str], profile: Profile) -> str:
    hint = f"Its header has {_quoted(name for name in table.header if name)}."
    mark = next((mark for mark in ";\t|," if len(table.header) == 1 and mark in table.header[0]), None)
    if mark is not None:
        return f"{hint} Is {mark!r} the delimiter? Set it in a profile."
    if table.has_wider_rows():
        return (
            f"{hint} Does the header stand further below? `skip_lines` in a profile says how many lines are above it."
        )
    others = [name for name in table.header if name]
    pairs = [(name, close[0]) for name in missing if (close := get_close_matches(name, others, n=1))]
    if pairs:
        return f"{hint} {' '.join(f'Did you mean `{name}` by `{other}`?' for name, other in pairs)}"
    return f"{hint} Correct the header, or {'describe the file in a profile' if profile.own else 'the profile'}."
