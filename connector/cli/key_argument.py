"""The parser of arguments and options that are keys of entities."""

from __future__ import annotations

import typer


def key(text: str) -> str:
    """Return the normalized key. Typer puts the name of the argument or option before the error."""
    from connector.model.keys import normalize_key

    try:
        return normalize_key(text)
    except ValueError as error:
        raise typer.BadParameter(f"{error}.") from None
