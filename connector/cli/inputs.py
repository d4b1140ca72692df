"""Files that are named on the command line."""

from __future__ import annotations

from pathlib import Path

from connector.errors import UsageError
from connector.files import UnusableFileError, check_plain


def check_input(path: Path) -> None:
    """UsageError for what is no plain file, before anything waits for a pipe or reads a device for ever."""
    try:
        check_plain(path)
    except UnusableFileError as error:
        raise UsageError(f"{path} {error.problem}.", hint="Name a file.") from None
