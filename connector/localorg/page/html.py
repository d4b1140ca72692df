"""HTML that is safe by construction: every value that is not `Html` is escaped when it is inserted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from urllib.parse import quote, urlencode


class Html(str):
    """Markup that was built by this package."""

    __slots__ = ()


EMPTY = Html("")


def escape_value(value: object) -> Html:
    if isinstance(value, Html):
        return value
    return EMPTY if value is None else Html(escape(str(value)))


def html(template: str, *values: object, **named_values: object) -> Html:
    """Fill a template. The template is trusted, the values are escaped."""
    filled = {name: escape_value(value) for name, value in named_values.items()}
    return Html(template.format(*(escape_value(value) for value in values), **filled))


def join(parts: Iterable[object], between: str = "") -> Html:
    return Html(escape_value(between).join(escape_value(part) for part in parts))


def build_url(*segments: str, **params: object) -> str:
    """Return a path within the pages, with the parameters that have a value."""
    query = {name: str(value) for name, value in params.items() if value not in {None, "", False}}
    path = "/" + "/".join(quote(segment, safe="") for segment in segments)
    return f"{path}?{urlencode(query)}" if query else path


def link(to: str, text: object) -> Html:
    return html('<a href="{}">{}</a>', to, text)


def render_options(choices: Mapping[str, str], chosen: str) -> Html:
    """Render the options of a select: label by value."""
    return join(
        html('<option value="{}"{}>{}</option>', value, Html(" selected") if value == chosen else EMPTY, label)
        for value, label in choices.items()
    )
