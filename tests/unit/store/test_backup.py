"""Copies of a SQLite database: made while others write, checked, and put in the place of a database."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import insert, select
from structlog.testing import capture_logs

from connector.errors import ConnectorError, StoreError, UsageError
from connector.jobs.backup import back_up, back_up_regularly, list_backups, made_at, restore
from connector.jobs.doctor.local_checks import check_backups
from connector.model.alert import AlertRule, Condition, compare
from connector.model.change import EntityKind
from connector.model.customer import Customer
from connector.model.health_check import CheckStatus
from connector.model.job_run import JobState
from connector.model.resync import Priority, ResyncFilter, ResyncMode, ResyncState
from connector.model.role import Role
from connector.model.worker import Worker
from connector.process_roles import running_roles
from connector.settings import Settings
from connector.store import (
    alerts,
    customers,
    job_runs,
    job_schedules,
    journal,
    leases,
    resyncs,
    schema,
    tokens,
    workers,
)
from connector.store import backup as backups
from connector.store.engine import Store
from connector.store.restoration import Stopped
from connector.store.tables import outbox as outbox_table
from tests.conftest import ManualClock
from tests.databases import Databases

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
pytestmark = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)


def settings_for(store: Store, **more: Any) -> Settings:
    return Settings.model_validate({"_env_file": None, "database_url": f"sqlite:///{store.file}", **more})


async def save(store: Store, *numbers: str) -> None:
    async with store.transaction() as uow:
        await customers.save(uow, [Customer(number=number, name="Name") for number in numbers])


def files_in(folder: Path) -> list[str]:
    """Copies, and what is left of them."""
    return sorted(file.name for file in folder.iterdir() if file.suffix in {".db", ".part"})


async def numbers_in(file: Path) -> list[str]:
    def read() -> list[str]:
        with closing(sqlite3.connect(file)) as connection:
            return [row[0] for row in connection.execute("SELECT number FROM customers ORDER BY number")]

    return await asyncio.to_thread(read)


@pytest.fixture
async def closed(store: Store) -> Store:
    """The database with a customer, and no process that has it open."""
    await save(store, "C-1")
    await store.close()
    return store


async def test_copy_of_a_database_that_is_written_to(store: Store, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(backups, "PAGES", 1)
    await save(store, "before")
    written, steps = 0, 0
    loop = asyncio.get_running_loop()

    def on_step(done: int, total: int) -> None:
        nonlocal steps, written
        steps += 1
        if steps <= 20:  # in the middle of the copy
            asyncio.run_coroutine_threadsafe(save(store, f"during-{steps}"), loop).result(30)
            written += 1

    copy = await back_up(store, tmp_path / "copy.db", on_step)
    assert (written, steps >= 100) == (20, True)
    assert await numbers_in(copy.file) == ["before"]  # the snapshot, although others wrote
    assert (copy.revision, copy.rows["customers"]) == (schema.HEAD, 1)
    assert stat.S_IMODE(copy.file.stat().st_mode) == 0o600
    assert files_in(tmp_path) == ["copy.db"]
    async with store.reader() as connection:
        assert await customers.count(connection) == 21


async def test_copy_that_cannot_be_made_leaves_nothing(store: Store, tmp_path: Path, monkeypatch: Any) -> None:
    taken = tmp_path / "taken.db"
    taken.touch()
    for target, word in ((taken, "exists already"), (tmp_path / "no" / "x.db", "There is no folder")):
        with pytest.raises(UsageError, match=word):
            await back_up(store, target)
    counts = iter([{"customers": 1}, {"customers": 2}])
    with monkeypatch.context() as patch:
        patch.setattr(backups, "_rows", lambda _: next(counts))
        with pytest.raises(StoreError, match="does not have the rows"):
            await back_up(store, tmp_path / "other.db")

    def on_step(done: int, total: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="The backup cannot be made: no space left on device"):
        await back_up(store, tmp_path / "full.db", on_step)
    seen: list[tuple[int, int]] = []

    def stop_while_checking(*position: int) -> None:
        seen.append(position)  # type: ignore[arg-type]
        if position[0] == position[1] > 0 and seen.count(seen[-1]) > 2:  # all is copied
            raise StoreError("The copy was stopped.")

    with monkeypatch.context() as patch:
        patch.setattr(backups, "INSTRUCTIONS", 1)
        with pytest.raises(StoreError, match=r"The copy was stopped\."):
            await back_up(store, tmp_path / "checked.db", stop_while_checking)
    assert seen[-1][0] == seen[-1][1] > 0
    with monkeypatch.context() as patch:
        patch.setattr(backups.shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 10))
        with pytest.raises(StoreError, match="has 0 MB free, and the copy needs"):
            await back_up(store, tmp_path / "large.db")
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    with monkeypatch.context() as patch:
        patch.setattr(backups, "PAGES", 1)
        stopped = asyncio.create_task(
            back_up(store, tmp_path / "stopped.db", lambda *_: loop.call_soon_threadsafe(begun.set))  # type: ignore[arg-type,return-value]
        )
        await begun.wait()
        stopped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopped
    assert files_in(tmp_path) == ["taken.db"]


async def test_restored_database_replaces_the_other_one(closed: Store, tmp_path: Path) -> None:
    copy = await back_up(closed, tmp_path / "copy.db")
    await closed.close()
    await save(closed, "C-2")
    await closed.close()
    restored = await restore(settings_for(closed), copy.file, now=NOW)
    assert closed.file is not None
    assert (await numbers_in(closed.file), restored.due, restored.messages) == (["C-1"], 1, 0)
    assert restored.kept == closed.file.with_name(f"{closed.file.name}.replaced-20260301T120000Z")
    assert await numbers_in(restored.kept) == ["C-1", "C-2"]
    assert stat.S_IMODE(closed.file.stat().st_mode) == 0o600
    async with closed.reader() as connection:
        [entry] = await journal.read(connection, "database", closed.file.name)
    assert (entry.action, entry.detail["from"]) == ("restored", str(copy.file))
    assert entry.actor == journal.command_line_actor()


async def test_restored_database_lets_nothing_of_then_go_on(closed: Store, tmp_path: Path) -> None:
    async with closed.transaction() as uow:
        for name in ("stays", "leaves"):
            await tokens.create(uow, name, Role.OPS)
        await job_runs.begin(uow, "reconcile", NOW, worker="host:1", ttl=30)
        await job_runs.request(uow, "prune", actor="ann")
        resync = await resyncs.create(
            uow, EntityKind.CUSTOMER, ResyncFilter(), mode=ResyncMode.PUSH, priority=Priority.LOW, total=1, actor="ann"
        )
        alert = Condition(rule=AlertRule.CONFLICTS, text="Some wait.", fix="Decide.")
        change = (await uow.connection.execute(select(outbox_table))).mappings().one()
        await uow.connection.execute(insert(outbox_table).values({**change, "org": "emea"}))
        await alerts.apply(uow, compare([], [alert], NOW, timedelta(0)), ["mail"])
    copy = await back_up(closed, tmp_path / "copy.db")
    async with closed.transaction() as uow:
        await tokens.revoke(uow, "leaves")
        await tokens.create(uow, "later", Role.OPS)
    await closed.close()
    settings = settings_for(closed)

    restored = await restore(settings, copy.file, now=NOW)
    assert restored.stopped == Stopped(
        jobs=("push", "reconcile", "heal", "push@emea", "reconcile@emea", "heal@emea", "notifications", "webhooks"),
        tokens=1, runs=2, resyncs=1, alerts=1,
    )  # fmt: skip
    assert restored.due == 2  # of both orgs
    async with closed.reader() as connection:
        assert list((await tokens.list_unrevoked(connection)).values()) == ["stays"]
        assert {run.state for run in await job_runs.list_page(connection, limit=9)} == {JobState.FAILED}
        found = await resyncs.get(connection, resync.id)
        assert found is not None
        assert found.state is ResyncState.PAUSED
        assert await alerts.list_due(connection, NOW + timedelta(days=1), 9) == []
        paused = [name for name, schedule in (await job_schedules.load(connection)).items() if schedule.paused]
        assert sorted(paused) == sorted(restored.stopped.jobs)
    await closed.close()

    assert closed.file is not None
    for keep, valid in ((True, 2), (False, 0)):  # no former database says which tokens are valid
        closed.file.unlink()
        restored = await restore(settings, copy.file, now=NOW, keep_tokens=keep)
        async with closed.reader() as connection:
            assert len(await tokens.list_unrevoked(connection)) == valid
        await closed.close()
    assert files_in(tmp_path) == ["copy.db"]


async def test_folder_without_hard_links(closed: Store, tmp_path: Path, monkeypatch: Any) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    def named(*_: object) -> None:
        (tmp_path / "later.db").touch()
        refuse()

    monkeypatch.setattr(backups.os, "link", refuse)
    copy = await back_up(closed, tmp_path / "copy.db")
    await closed.close()
    restored = await restore(settings_for(closed), copy.file, now=NOW)
    assert closed.file is not None
    assert restored.kept is not None
    assert [await numbers_in(file) for file in (copy.file, closed.file, restored.kept)] == [["C-1"]] * 3
    monkeypatch.setattr(backups.os, "link", named)
    with pytest.raises(UsageError, match="exists already"):  # somebody was faster
        await back_up(closed, tmp_path / "later.db")
    assert (tmp_path / "later.db").read_bytes() == b""
    assert [file for file in files_in(tmp_path) if file.endswith(".part")] == []


async def test_damaged_database_is_replaced_and_kept(closed: Store, tmp_path: Path) -> None:
    copy = await back_up(closed, tmp_path / "copy.db")
    await closed.close()
    assert closed.file is not None
    closed.file.write_bytes(b"damaged")
    other = await asyncio.create_subprocess_exec(
        "tail", "-f", str(closed.file), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert other.stdout is not None
    await other.stdout.readexactly(len(b"damaged"))
    with pytest.raises(StoreError, match=rf"open: {other.pid} \(tail\)\."):
        await restore(settings_for(closed), copy.file, now=NOW)
    assert closed.file.read_bytes() == b"damaged"
    other.kill()
    await other.wait()
    restored = await restore(settings_for(closed), copy.file, now=NOW)
    assert (await numbers_in(closed.file), restored.kept and restored.kept.read_bytes()) == (["C-1"], b"damaged")


async def test_nothing_is_restored_while_something_runs(closed: Store, tmp_path: Path, clock: ManualClock) -> None:
    copy = await back_up(closed, tmp_path / "copy.db")
    settings = settings_for(closed)
    await save(closed, "C-2")
    with pytest.raises(StoreError, match="Another process has the database"):  # it is open here
        await restore(settings, copy.file, now=NOW)
    await closed.close()
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT 1 FROM orders'); print(); input()"
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(closed.file), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert other.stdout is not None
    await other.stdout.readline()
    with pytest.raises(StoreError, match=rf"Another process has the database \S+ open: {other.pid} \(python.*\)\."):
        await restore(settings, copy.file, now=NOW)
    await other.communicate(b"\n")
    running = Store.open(settings.database_url)
    await leases.acquire(running, "drain:1", "host:7:abc", 60)
    now = running.clock.now()
    idle = Worker(
        id="w", host="other", pid=8, roles=("api",), engine="embedded", started_at=now, seen_at=now, alive=True
    )
    async with running.transaction() as uow:
        await workers.report(uow, idle, ttl=60)
    await running.close()
    await closed.close()
    with pytest.raises(StoreError, match="in use by host:7, other:8; nothing was changed"):
        await restore(settings, copy.file, now=NOW)
    assert closed.file is not None
    assert await numbers_in(closed.file) == ["C-1", "C-2"]


async def test_files_that_cannot_be_restored(closed: Store, tmp_path: Path) -> None:
    copy = await back_up(closed, tmp_path / "copy.db")
    await closed.close()
    settings = settings_for(closed)

    async def refusal(file: Path) -> str:
        with pytest.raises(ConnectorError) as caught:
            await restore(settings, file, now=NOW)
        return str(caught.value)

    def set_revision(revision: str) -> None:
        with closing(sqlite3.connect(copy.file)) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))

    def add_orphan(file: Path) -> None:
        shutil.copy(copy.file, file)
        with closing(sqlite3.connect(file)) as connection, connection:  # which checks no references by default
            connection.execute("INSERT INTO prices (sku, currency, unit_price) VALUES ('none', 'EUR', '1')")

    assert "cannot be read: No such file" in await refusal(tmp_path / "none.db")
    assert "it is a folder" in await refusal(tmp_path)
    (tmp_path / "text.db").write_text("text" * 500)
    assert "is not a whole database of ours" in await refusal(tmp_path / "text.db")
    damaged = tmp_path / "damaged.db"
    content = bytearray(copy.file.read_bytes())
    content[8192:12288] = b"\xff" * 4096
    damaged.write_bytes(content)
    assert "is not a whole database of ours" in await refusal(damaged)
    orphaned = tmp_path / "orphaned.db"
    await asyncio.to_thread(add_orphan, orphaned)
    assert "orphaned.db has rows that refer to missing ones" in await refusal(orphaned)
    await asyncio.to_thread(set_revision, schema.REVISIONS[0])
    assert "made by an earlier release" in (text := await refusal(copy.file))
    assert f"sqlite:///{copy.file}.upgraded connector db upgrade" in text
    await asyncio.to_thread(set_revision, "9999")
    assert "made by a newer release (revision 9999" in await refusal(copy.file)
    assert closed.file is not None
    assert await numbers_in(closed.file) == ["C-1"]


async def test_job_keeps_the_newest_backups(store: Store, tmp_path: Path, clock: ManualClock) -> None:
    folder = tmp_path / "backups"
    settings = settings_for(store, backup={"folder": folder, "keep": 2})
    with pytest.raises(UsageError, match="backups of CONNECTOR_BACKUP__FOLDER does not exist"):
        await back_up_regularly(store, settings)
    with capture_logs() as logs:
        async with running_roles(settings, ["scheduler"]):
            pass
    assert any("does not exist" in line["error"] for line in logs if line["event"] == "backups cannot be made")
    checked = check_backups(settings, store)
    assert (checked.status, "does not exist" in checked.text) == (CheckStatus.FAIL, True)
    folder.touch()
    assert "is a file" in check_backups(settings, store).text
    folder.unlink()
    folder.mkdir()
    results = []
    for _ in range(3):
        results.append(await back_up_regularly(store, settings))
        clock.advance(86400)
    (folder / "mine.db").touch()
    abandoned, running = (folder / f".connector-20260301T120000Z.db.{number}.part" for number in (7, 8))
    for file, hours in ((abandoned, 13), (running, 1)):
        file.touch()
        os.utime(file, times=(time.time() - hours * 3600,) * 2)
    assert [file.name for file in list_backups(folder)] == [
        "connector-20260302T120000Z.db", "connector-20260303T120000Z.db",
    ]  # fmt: skip
    assert made_at(list_backups(folder)[1]) == NOW + timedelta(days=2)
    assert check_backups(settings, store).status is CheckStatus.PASS
    clock.advance(3 * 86400)
    assert "days old" in check_backups(settings, store).text
    assert [item["deleted"] for item in results] == [0, 0, 1]
    await back_up_regularly(store, settings)
    assert (abandoned.exists(), running.exists()) == (False, True)


async def test_postgresql_is_left_to_its_own_programs(databases: Databases, tmp_path: Path) -> None:
    settings = Settings.model_validate({"_env_file": None, "database_url": "postgresql://u:secret@host:5433/shop"})
    store = Store.open(settings.database_url)
    with pytest.raises(UsageError) as caught:
        await back_up(store, tmp_path / "copy.dump")
    assert f"`pg_dump --format=custom --file={tmp_path}/copy.dump 'postgresql://u@host:5433/shop'`" in str(caught.value)
    with pytest.raises(UsageError, match="pg_restore --clean") as caught:
        await restore(settings, tmp_path / "copy.dump", now=NOW)
    assert "secret" not in str(caught.value)
