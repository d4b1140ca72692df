"""In a new clone, one worker compiles the tests and the others wait for it: otherwise, each would compile them all."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TESTS = Path(__file__).parent


def is_needed(tests: Path) -> bool:
    """Return whether the tests can be compiled and are not."""
    if sys.dont_write_bytecode or sys.pycache_prefix is not None or not os.access(tests, os.W_OK):
        return False
    return not any((tests / "web").glob("__pycache__/test_*-pytest-*.pyc"))


@contextmanager
def first_alone(folder: Path) -> Iterator[None]:
    """The first process that comes is alone inside; the others come in when it has left, or has died, all at once."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)
