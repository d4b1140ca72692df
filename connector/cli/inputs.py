"""Checks of files that are named on the command line."""

from __future__ import annotations

from pathlib import Path

from connector.errors import UsageError
from connector.files import UnusableFileError, check_plain


def check_input(path: Path) -> None:
    """Raise UsageError for a path that is no plain file, before a command waits for a pipe or reads a device
    forever."""
    try:
        check_plain(path)
    except UnusableFileError as error:
        raise UsageError(f"{path} {error.problem}.", hint="Name a plain file.") from None
