"""Files that other people wrote: read whole and within a limit, or refused with one sentence that says why; and files
of our own that nobody else on the machine may read.

Only plain files are read: a folder, a pipe or a device would be read for ever, or not at all.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

LONGEST_LINE = 4_000_000  # characters


class UnusableFileError(Exception):
    """The text follows the name of the file: `cannot be read: it is a folder`."""

    def __init__(self, why: str, *, missing: bool = False) -> None:
        super().__init__(f"cannot be read: {why}")
        self.problem = str(self)
        self.missing = missing


def read_file(path: Path, most: int) -> bytes:
    """The content of a plain file of at most `most` bytes; UnusableFileError for anything else."""
    try:
        # Opening a pipe waits for its other end, unless told not to; it makes no difference to a file.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:
        raise _unusable(error) from None
    try:
        _need_plain(os.fstat(handle).st_mode)
        with open(handle, "rb", closefd=False) as file:
            content = file.read(most + 1)
    except OSError as error:
        raise _unusable(error) from None
    finally:
        os.close(handle)
    if len(content) > most:
        raise UnusableFileError(f"it is larger than {most:,} bytes")
    return content


def check_plain(path: Path) -> None:
    """UnusableFileError for what is no plain file, before a library opens it by its name."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise _unusable(error) from None
    _need_plain(mode)


def bounded_lines(file: IO[str], most: int = LONGEST_LINE) -> Iterator[str]:
    """The lines of an open file; UnusableFileError at one that is longer, for it would fill the memory."""
    number = 0
    while line := file.readline(most + 1):
        number += 1
        if len(line) > most:
            raise UnusableFileError(f"line {number} has more than {most:,} characters")
        yield line


def create_private(path: Path) -> None:
    """Make an empty file that only its owner may read, whatever the umask; one that is there stays as it is.

    What cannot be made is left to whoever writes it, who will say why.
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


def _need_plain(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise UnusableFileError("it is a folder, and a file is needed")
    if not stat.S_ISREG(mode):
        raise UnusableFileError("it is a pipe or a device, and a plain file is needed")


def _unusable(error: OSError | ValueError) -> UnusableFileError:
    said = error.strerror if isinstance(error, OSError) and error.strerror else "no file can have such a name"
    return UnusableFileError(said, missing=isinstance(error, FileNotFoundError))
