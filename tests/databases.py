"""Databases for tests: copies of a template, which is migrated once for all workers of a run."""

from __future__ import annotations

import asyncio
import fcntl
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, make_url

from connector.store import schema
from connector.store.engine import Store
from tests.postgres_connections import KEPT


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Only one worker of the run is inside at a time."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Databases:
    """Makes databases of one kind and removes them again; `migrated` ones are copies of a template of their
    revision, which begins as a copy of that of an earlier one.

    A database of PostgreSQL at the latest revision is emptied after the test and used again, which costs a fraction of
    a new one. One that a test has altered, blown up or left locked is dropped.
    """

    def __init__(self, folder: Path, server: str | None, shared: Path | None = None) -> None:
        """`shared`: the folder of the run, if the workers share the template."""
        self._folder = folder
        self._server = server
        self._shared = shared
        self._templates: dict[str, str] = {}
        self._made: list[str] = []
        self._used: list[Reusable] = []
        self._free: list[Reusable] = []
        self._admin_connection: psycopg.Connection[Any] | None = None

    def empty(self) -> str:
        """The URL of a new database without tables."""
        name = self._create()
        self._made.append(name)
        return self._url(name)

    def migrated(self, revision: str = schema.HEAD) -> str:
        """The URL of a new database at a revision: the latest one, or an earlier one."""
        template = self._template(revision)
        if self._server is not None and revision == schema.HEAD:
            if not self._free:
                name = self._create(template)
                self._free.append(Reusable(name, psycopg.connect(self._url(name), autocommit=True)))
            self._used.append(self._free.pop())
            return self._url(self._used[-1].name)
        name = self._create(template)
        self._made.append(name)
        if self._server is None:
            self.copy_template(self._folder / f"{name}.db", revision)
        return self._url(name)

    def copy_template(self, file: Path, revision: str = schema.HEAD) -> None:
        """Make `file` a database of SQLite at a revision."""
        shutil.copyfile((self._shared or self._folder) / f"{self._template(revision)}.db", file)

    def drop_all(self) -> None:
        """Everything made since the last call, the template apart."""
        for used in self._used:
            if used.emptied():
                self._free.append(used)
            else:
                used.connection.close()
                self._made.append(used.name)
        self._used.clear()
        for name in self._made:
            if self._server is None:
                for file in self._folder.glob(f"{name}.db*"):
                    file.unlink()
            else:
                KEPT.forget(name)
                self._admin(f"DROP DATABASE {name} WITH (FORCE)")
        self._made.clear()

    def close(self) -> None:
        self.drop_all()
        for free in self._free:
            free.connection.close()
            self._made.append(free.name)
        self._free.clear()
        if self._shared is None:
            self._made += self._templates.values()
        self.drop_all()
        if self._admin_connection is not None:
            self._admin_connection.close()

    def _template(self, revision: str) -> str:
        if revision not in self._templates:
            self._templates[revision] = self._make_template(revision)
        return self._templates[revision]

    def _make_template(self, revision: str) -> str:
        if self._shared is None:
            name = self._create()
            _migrate(self._url(name), revision)
            return name
        kind = "sqlite" if self._server is None else "postgresql"
        with one_at_a_time(self._shared):
            done = self._shared / f"template-{kind}-{revision}"
            if not done.exists():
                lower = max((item for item in self._shared.glob(f"template-{kind}-*") if item < done), default=None)
                template = None if lower is None else lower.read_text()
                name = self._create(template)
                url = self._url(name)
                if self._server is None:
                    url = f"sqlite:///{self._shared / name}.db"
                    if template is not None:
                        shutil.copyfile(self._shared / f"{template}.db", self._shared / f"{name}.db")
                _migrate(url, revision)
                done.write_text(name)
            return done.read_text()

    def _create(self, template: str | None = None) -> str:
        name = f"connector_{uuid4().hex[:12]}"
        if self._server is not None:
            self._admin(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
        return name

    def _url(self, name: str) -> str:
        if self._server is None:
            return f"sqlite:///{self._folder / name}.db"
        return make_url(self._server).set(database=name).render_as_string(hide_password=False)

    def _admin(self, statement: str) -> None:
        assert self._server is not None
        if self._admin_connection is None:
            self._admin_connection = psycopg.connect(self._server, autocommit=True)
        self._admin_connection.execute(statement.encode())


class Reusable:
    """A migrated database in PostgreSQL that can be emptied."""

    LARGEST = 4 << 20
    """How many bytes it may grow."""

    def __init__(self, name: str, connection: psycopg.Connection[Any]) -> None:
        self.name = name
        self.connection = connection
        connection.execute("SET session_replication_role = replica")  # rows go in any order
        connection.execute("SET lock_timeout = '2s'")
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        names = [f'"{table}"' for (table,) in tables if table != "alembic_version"]
        filled = [table for table in names if self._one(f"SELECT EXISTS (SELECT FROM {table})")]
        assert not filled, f"migrations fill {filled}, and emptied() does not know"
        self._empty = "; ".join(f"DELETE FROM {table}" for table in names)
        self._shape = self._look()
        self._size = self._one("SELECT pg_database_size(current_database())")

    def emptied(self) -> bool:
        """Whether it is as new."""
        try:
            if self._look() != self._shape or self._one("SELECT count(*) FROM alembic_version") != 1:
                return False
            self.connection.execute(self._empty.encode())
            self.connection.execute(
                "SELECT setval(oid::regclass, 1, false) FROM pg_class"
                " WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace"
            )
            return bool(self._one("SELECT pg_database_size(current_database())") < self._size + self.LARGEST)
        except psycopg.Error:
            return False

    def _look(self) -> tuple[int, str]:
        """Changes with every change of a table, and with statistics that the planner would use."""
        parts = ("class", "attribute", "attrdef", "constraint", "index", "trigger", "statistic")
        latest = " UNION ALL ".join(f"SELECT max(xmin::text::bigint) AS x FROM pg_{part}" for part in parts)
        return self._one(f"SELECT max(x) FROM ({latest}) AS all_parts"), self._one(
            "SELECT version_num FROM alembic_version"
        )

    def _one(self, query: str) -> Any:
        row = self.connection.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]


def _migrate(url: str, revision: str) -> None:
    async def work() -> None:
        store = Store.open(url)
        await store.migrate(partial(_upgrade, revision=revision))
        await store.close()

    with ThreadPoolExecutor(1) as pool:  # the caller may or may not have a loop
        pool.submit(asyncio.run, work()).result()
    KEPT.forget(make_url(url).database)  # PostgreSQL copies no database that somebody is connected to


def _upgrade(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
