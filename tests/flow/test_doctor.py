"""The doctor on both databases, with a real org: all is well, and then one thing after the other is broken."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select, text

from connector.cli.localorg import our_metadata
from connector.clock import SystemClock
from connector.jobs.doctor import org_survey
from connector.jobs.doctor.event_checks import MEMBERS
from connector.jobs.doctor.examine import examine
from connector.jobs.doctor.org_checks import PERMISSION_SET
from connector.jobs.doctor.shared_report import SharedReport
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg, Ports
from connector.mapping.loader import shipped_mappings
from connector.model.health_check import CheckStatus, DoctorReport, HealthCheck
from connector.model.worker import Worker
from connector.salesforce.metadata import build_package
from connector.service import running_service
from connector.settings import Settings
from connector.store import leases, orgs, schema, workers
from connector.store.budget_tables import api_calls
from connector.store.engine import Store
from tests.conftest import ManualClock
from tests.databases import Databases
from tests.flow.conftest import World
from tests.flow.pubsub import listening_settings

PASS, WARN, FAIL, SKIPPED = CheckStatus
LITE = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
CALLS = 4


@pytest.fixture(scope="module")
def edited_metadata(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our metadata, with a key that is not unique, one that ignores case, an event less and a member less."""
    root = tmp_path_factory.mktemp("metadata") / "project"
    shutil.copytree(our_metadata(), root)
    objects = root / "force-app/main/default/objects"
    for of, line in (("Order", "<unique>true</unique>"), ("Account", "<caseSensitive>true</caseSensitive>")):
        file = objects / of / "fields/External_Key__c.field-meta.xml"
        file.write_text(file.read_text().replace(line, line.replace("true", "false")))
    shutil.rmtree(objects / "Order_Status__e")
    grants = root / f"force-app/main/default/permissionsets/{PERMISSION_SET}.permissionset-meta.xml"
    blocks = re.sub(r"<objectPermissions>(?:(?!</objectPermissions>).)*Order_Status__e.*?</objectPermissions>", "",
                    grants.read_text(), flags=re.DOTALL)  # fmt: skip
    grants.write_text(blocks)
    members = root / "force-app/main/default/platformEventChannelMembers"
    (members / "Connector_chn_AccountChangeEvent.platformEventChannelMember-meta.xml").unlink()
    return root


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with (
        LocalOrg(OrgOptions(metadata_root=our_metadata()), Ports(grpc=0)) as org,
        running_service(listening_settings(org, database_url)) as service,
    ):
        yield World(org, service)


async def report_of(world: World, settings: Settings | None = None) -> DoctorReport:
    service = world.service
    return await examine(settings or service.settings, service.store, clock=service.clock)


def by_name(report: DoctorReport) -> Mapping[str, HealthCheck]:
    return {check.name: check for check in report.checks}


def bad(report: DoctorReport) -> dict[str, CheckStatus]:
    """What is not as it is in this test without anything broken: the files of the tests are open, no service runs."""
    usual = {"file modes", "roles"}
    return {
        check.name: check.status for check in report.checks if check.status in {WARN, FAIL} and check.name not in usual
    }


async def test_all_is_well_and_nothing_is_changed(world: World) -> None:
    report = await report_of(world)
    assert (bad(report), report.healthy, report.api_calls) == ({}, True, CALLS)
    assert {name for name, check in by_name(report).items() if check.status is SKIPPED} == {
        "messages",
        "webhooks",
        "alerts",
        "backups",
        "sign-in",
    }
    assert (world.writes, len(world.org.org.usage.log)) == (0, CALLS)
    async with world.service.store.reader() as connection:
        assert await orgs.list_orgs(connection) == []
        counted = await connection.execute(select(func.sum(api_calls.c.calls)))
    assert int(counted.scalar_one()) == CALLS  # as ours, not as those of other apps
    version = "SQLite 3" if world.service.store.dialect == "sqlite" else "PostgreSQL"
    assert version in by_name(report)["database"].text
    assert "reached through a pooler" not in by_name(report)["database"].text


async def test_each_broken_thing_is_named_by_its_check(world: World) -> None:
    service = world.service
    control = service.client.control

    [held] = await world.query("SELECT Id, PermissionSetId, AssigneeId FROM PermissionSetAssignment"
                               f" WHERE PermissionSet.Name = '{PERMISSION_SET}'")  # fmt: skip
    await control.run(lambda org: org.PermissionSetAssignment.delete(held["Id"]))
    report = await report_of(world)
    assert bad(report)["fields"] is FAIL
    assert bad(report)["user"] is WARN
    assert "connector org deploy" in by_name(report)["fields"].fix
    values = {name: held[name] for name in ("PermissionSetId", "AssigneeId")}
    await control.run(lambda org: org.PermissionSetAssignment.create(values))

    [book] = await world.query("SELECT Id FROM Pricebook2 WHERE IsStandard = true")
    await control.run(lambda org: org.Pricebook2.update(book["Id"], {"IsActive": False}))
    assert bad(await report_of(world)) == {"price book": FAIL}
    await control.run(lambda org: org.Pricebook2.update(book["Id"], {"IsActive": True}))

    secret = service.settings.salesforce.model_copy(update={"client_secret": SecretStr("wrong")})
    report = await report_of(world, service.settings.model_copy(update={"salesforce": secret}))
    assert bad(report) == {"login": FAIL}
    assert by_name(report)["login"].text.startswith("Credentials: Salesforce refused the sign-in")
    unset = service.settings.salesforce.model_copy(update={"client_id": ""})
    report = await report_of(world, service.settings.model_copy(update={"salesforce": unset}))
    assert by_name(report)["login"].text.startswith("Settings: CONNECTOR_SALESFORCE__CLIENT_ID is not set")
    nobody = service.settings.salesforce.model_copy(update={"login_url": "http://127.0.0.1:9"})
    report = await report_of(world, service.settings.model_copy(update={"salesforce": nobody}))
    assert by_name(report)["login"].text.startswith("Connection: ")

    async with service.store.transaction() as uow:
        await orgs.put(uow, "00D000000000001AAA", login_url="https://x", instance_url="https://x", is_active=True)
    report = await report_of(world)
    assert bad(report) == {"org": FAIL}
    assert "connector org use" in by_name(report)["org"].fix

    class FastClock(SystemClock):
        def now(self) -> datetime:
            return super().now() + timedelta(minutes=5)

    fast = await examine(service.settings, service.store, clock=FastClock())
    assert bad(fast)["clock"] is FAIL
    assert "ahead of that of the org" in by_name(fast)["clock"].text

    usage = world.org.org.usage
    usage.limit = usage.used + CALLS
    assert bad(await report_of(world))["API limits"] is WARN


@LITE
async def test_metadata_that_is_not_ours(edited_metadata: Path, database_url: str) -> None:
    async with (
        LocalOrg(OrgOptions(metadata_root=edited_metadata), Ports(grpc=0)) as org,
        running_service(listening_settings(org, database_url)) as service,
    ):
        report = await report_of(World(org, service))
        assert bad(report) == {"external IDs": FAIL, "events": FAIL, "channel": FAIL}
        checks = by_name(report)
        assert any("`External_Key__c` of Order is not unique" in line for line in checks["external IDs"].details)
        assert "Order_Status__e" in checks["events"].text
        assert "AccountChangeEvent" in checks["channel"].text


@LITE
async def test_bare_org(database_url: str) -> None:
    async with (
        LocalOrg(OrgOptions(), Ports(grpc=0)) as org,
        running_service(listening_settings(org, database_url)) as service,
    ):
        report = await report_of(World(org, service))
        wrong = {"user": WARN, "fields": FAIL, "events": FAIL, "channel": FAIL, "topics": FAIL}
        assert bad(report) == wrong
        assert all("connector org deploy" in by_name(report)[name].fix for name in wrong)


async def test_database_of_another_release(databases: Databases) -> None:
    settings = Settings.model_validate({"_env_file": None})
    store = Store.open(databases.empty())
    try:
        report = await examine(settings, store, clock=store.clock)
        assert bad(report) == {"settings": WARN, "database": FAIL, "login": WARN}
        assert by_name(report)["database"].fix == "Run `connector db upgrade`."
        assert by_name(report)["queue"].status is SKIPPED
        await schema.upgrade(store)
        async with store.transaction() as uow:
            await uow.connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        report = await examine(settings, store, clock=store.clock)
        assert "was made by a newer release (revision 9999)" in by_name(report)["database"].text
    finally:
        await store.close()


async def test_traces_of_processes(store: Store, clock: ManualClock) -> None:
    settings = Settings.model_validate({"_env_file": None})
    await leases.acquire(store, "drain:1", "host:7:abc", 30)
    worker = Worker(id="host:7:abc", host="host", pid=7, roles=("api", "worker"), engine="embedded",
                    started_at=clock.now(), seen_at=clock.now(), alive=True)  # fmt: skip
    async with store.transaction() as uow:
        await workers.report(uow, worker, ttl=30)
    found = by_name(await examine(settings, store, clock=clock))
    assert found["roles"].text == "1 process runs the roles api, worker. No process is a scheduler."
    assert found["leases"].status is PASS
    clock.advance(60)
    found = by_name(await examine(settings, store, clock=clock))
    assert (found["leases"].status, "host:7:abc" in found["leases"].text) == (WARN, True)
    assert found["roles"].text == "No process of the service runs on this database."


@LITE
@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # apprise imports it
async def test_whom_alerts_reach(store: Store) -> None:
    told = {"url": "https://ops.example/hook", "secrets": "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
    settings = Settings.model_validate({"_env_file": None, "alerts": told})
    assert "go out by webhook;" in by_name(await examine(settings, store, clock=store.clock))["alerts"].text
    settings = Settings.model_validate({"_env_file": None, "alerts": {"apprise_urls": "nothing://x"}})
    wrong = by_name(await examine(settings, store, clock=store.clock))["alerts"]
    assert (wrong.status, "apprise does not know the address number 1" in wrong.text) == (FAIL, True)


@LITE
async def test_files_that_are_open_to_others(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mappings = tmp_path / "mappings"
    shutil.copytree(str(shipped_mappings()), mappings)
    settings = Settings.model_validate({"_env_file": None, "mappings_dir": mappings})
    assert store.file is not None
    store.file.chmod(0o600)
    for file in (mappings, *mappings.rglob("*")):
        file.chmod(0o755 if file.is_dir() else 0o644)
    assert by_name(await examine(settings, store, clock=store.clock))["file modes"].status is PASS
    env = tmp_path / ".env"
    env.touch(mode=0o644)
    (mappings / "order.yaml").chmod(0o666)
    found = by_name(await examine(settings, store, clock=store.clock))["file modes"]
    assert (found.status, list(found.details)) == (
        WARN, [".env: others can read it", f"{mappings / 'order.yaml'}: others can change it"],
    )  # fmt: skip
    (mappings / "order.yaml").write_text("entity: order\n")
    assert by_name(await examine(settings, store, clock=store.clock))["mapping files"].status is FAIL


async def test_report_is_shared_for_some_seconds(clock: ManualClock) -> None:
    made = 0

    async def examined() -> DoctorReport:
        nonlocal made
        made += 1
        return DoctorReport(checked_at=clock.now(), seconds=30, api_calls=0, healthy=True, checks=())

    shared = SharedReport(examined, clock)
    assert await shared.get() is await shared.get()
    clock.advance(41)
    await shared.get()
    assert made == 2


def test_channel_members_are_those_of_our_metadata() -> None:
    package = build_package(our_metadata(), version="66.0", replacements={"CONNECTOR_USER_ID": "005"})
    assert set(package.members["PlatformEventChannelMember"]) == {f"Connector_chn_{name}" for name in MEMBERS}
    assert set(package.members["PermissionSet"]) == {PERMISSION_SET}


@LITE
async def test_org_that_answers_with_errors_or_too_late(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = world.org.org.faults
    faults.configure({"status": 503, "count": 1000})
    report = await report_of(world)
    assert bad(report) == {"objects": FAIL, "API limits": FAIL}
    assert "HTTP 503" in by_name(report)["objects"].text
    assert {by_name(report)[name].status for name in ("fields", "clock", "deliveries", "channel")} == {SKIPPED}
    faults.clear()
    faults.configure({"latency_ms": 5000})
    monkeypatch.setattr(org_survey, "SECONDS", 0.3)
    report = await report_of(world)
    assert bad(report) == {"objects": FAIL, "API limits": FAIL, "topics": FAIL}
    assert by_name(report)["objects"].text == "The org has not answered within 0.3 s."
