"""Keys on the command line: the parser of every argument and option that names an entity."""

from __future__ import annotations

import typer


def key(text: str) -> str:
    """The key in its one spelling; typer names the argument or option in front of what is wrong with it."""
    from connector.model.keys import normalize_key

    try:
        return normalize_key(text)
    except ValueError as error:
        raise typer.BadParameter(f"{error}.") from None
