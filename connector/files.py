"""Reads files of other authors completely and within a limit, or refuses them with one sentence; creates private files.

Only plain files are read: reading a folder, a pipe or a device would fail or never end.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

MAX_LINE_CHARACTERS = 4_000_000  # characters


class UnusableFileError(Exception):
    """The text follows the name of the file: `cannot be read: it is a folder`."""

    def __init__(self, why: str, *, missing: bool = False) -> None:
        super().__init__(f"cannot be read: {why}")
        self.problem = str(self)
        self.missing = missing


def read_file(path: Path, max_bytes: int) -> bytes:
    """The content of a plain file of at most `max_bytes` bytes; UnusableFileError for anything else."""
    try:
        # Opening a pipe waits for its other end, unless told not to; it makes no difference to a file.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:
        raise _unusable(error) from None
    try:
        _require_plain_file(os.fstat(handle).st_mode)
        with open(handle, "rb", closefd=False) as file:
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise _unusable(error) from None
    finally:
        os.close(handle)
    if len(content) > max_bytes:
        raise UnusableFileError(f"it is larger than {max_bytes:,} bytes")
    return content


def check_plain(path: Path) -> None:
    """Raise UnusableFileError for a path that is no plain file, before a library opens it by name."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise _unusable(error) from None
    _require_plain_file(mode)


def bounded_lines(file: IO[str], max_characters: int = MAX_LINE_CHARACTERS) -> Iterator[str]:
    """The lines of an open file. Raises UnusableFileError at a line that is too long, because it would fill
    the memory."""
    number = 0
    while line := file.readline(max_characters + 1):
        number += 1
        if len(line) > max_characters:
            raise UnusableFileError(f"line {number} has more than {max_characters:,} characters")
        yield line


def create_private(path: Path) -> None:
    """Create an empty file that only its owner may read, whatever the umask; an existing file stays as it is.

    Errors are left to the code that writes the file, which will report them.
    """
    with suppress(OSError, ValueError):
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(handle, 0o600)
        finally:
            os.close(handle)


def readable_by_others(path: Path) -> bool:
    """Whether other users of the machine may read or write the file."""
    try:
        return bool(path.stat().st_mode & 0o077)
    except (OSError, ValueError):
        return False


def writable_by_others(path: Path) -> bool:
    """Whether other users of the machine may change the file, or what is in the folder."""
    try:
        return bool(path.stat().st_mode & 0o022)
    except (OSError, ValueError):
        return False


def _require_plain_file(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise UnusableFileError("it is a folder, and a file is needed")
    if not stat.S_ISREG(mode):
        raise UnusableFileError("it is a pipe or a device, and a plain file is needed")


def _unusable(error: OSError | ValueError) -> UnusableFileError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else "no file can have such a name"
    return UnusableFileError(reason, missing=isinstance(error, FileNotFoundError))
