"""What reports of the default org, and of another one, say where one database serves several orgs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from aiohttp.test_utils import TestClient, TestServer

from connector.cli import link, org_deploy, show
from connector.cli.localorg import our_metadata
from connector.cli.status import load_status
from connector.cli.status_remarks import other_org_remarks, sync_remarks
from connector.errors import ConnectorError, SettingsError
from connector.jobs.doctor.examine import examine
from connector.jobs.link import Linker
from connector.jobs.reconcile import ReconcileOptions, is_reconciling
from connector.jobs.resync_loop import ResyncLoop
from connector.jobs.resync_request import preview_resync
from connector.jobs.schedule import define_jobs
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from connector.model.allowances import AllowancePolicies
from connector.model.change import EntityKind
from connector.model.health_check import CheckStatus
from connector.model.resync import Priority, ResyncFilter, ResyncMode
from connector.model.role import Role
from connector.process_roles import ResyncOrg, _when_nobody_compares, running_roles
from connector.service import LocalServices, org_services, running_service
from connector.settings import load_settings
from connector.store import dead_letters, leases, outbox_counts, resyncs, tokens
from connector.web.metrics import render_metrics
from tests.flow.conftest import PRODUCTS, World
from tests.flow.test_push import an_order
from tests.flow.test_several_orgs import HERE, THERE, local, other_org, settings_of, worlds

__all__ = ["local", "other_org", "worlds"]
ORDERS = [an_order("N-1", customer="C-1"), an_order("N-2", customer="C-2"), an_order("N-3", customer="C-2")]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, local: LocalServices) -> pytest.MonkeyPatch:
    """The settings of both orgs, as commands read them."""
    settings = local.settings
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", settings.database_url)
    for group, org in (("SALESFORCE", settings.salesforce), ("ORGS__EMEA", settings.orgs["emea"])):
        monkeypatch.setenv(f"CONNECTOR_{group}__LOGIN_URL", org.login_url)
        monkeypatch.setenv(f"CONNECTOR_{group}__CLIENT_ID", org.client_id)
        monkeypatch.setenv(f"CONNECTOR_{group}__CLIENT_SECRET", org.client_secret.get_secret_value())
    monkeypatch.setenv("CONNECTOR_ORGS__EMEA__CUSTOMERS", settings.orgs["emea"].customers)
    return monkeypatch


async def test_status_counts_each_org_and_names_the_others(
    local: LocalServices, worlds: tuple[World, World], environment: pytest.MonkeyPatch
) -> None:
    here, there = worlds
    await here.save(ORDERS[:1], some_customers=[HERE])
    assert (await here.push()).in_sync

    environment.setenv("CONNECTOR_ORG", "emea")
    before = await load_status(check_files=False)
    assert (before["org"], before["in_sync"], before["other_orgs"]) == (None, False, [])
    assert sync_remarks(before)[0].startswith("It has not been signed in to yet: `connector push`")
    environment.delenv("CONNECTOR_ORG")
    default = await load_status(check_files=False)
    assert default["in_sync"]
    assert [(o["name"], o["in_sync"]) for o in default["other_orgs"]] == [("emea", False)]

    # The first push sends all products, although nothing was due before.
    pushed = await there.push()
    assert (pushed.in_sync, pushed.stats.created["Product2"]) == (True, len(PRODUCTS))
    await here.save(ORDERS, some_customers=[HERE, THERE])
    assert (await there.push()).in_sync
    default = await load_status(check_files=False)
    counted = {kind: default["entities"][kind]["here"] for kind in ("customer", "order", "product")}
    assert counted == {"customer": 1, "order": 1, "product": len(PRODUCTS)}
    environment.setenv("CONNECTOR_ORG", "emea")
    after = await load_status(check_files=False)
    counted = {kind: (after["entities"][kind]["here"], after["entities"][kind]["in_org"]) for kind in after["entities"]}
    assert counted == {"customer": (1, 1), "order": (2, 2), "product": (len(PRODUCTS),) * 2, "return": (0, 0)}
    assert (after["in_sync"], sync_remarks(after)) == (True, [f"In sync with org {after['org']}."])

    # What waits in the other org is not counted here, but said.
    there.org.org.faults.status_count = 1000
    await there.save([an_order("N-4", customer="C-2")], some_customers=[HERE, THERE])
    assert not (await there.push()).in_sync
    environment.delenv("CONNECTOR_ORG")
    default = await load_status(check_files=False)
    assert (default["in_sync"], default["entities"]["order"]["due"]) == (True, 0)
    [emea] = default["other_orgs"]
    assert (emea["changes"], emea["in_sync"]) == (1, False)
    assert other_org_remarks([emea])[0].endswith("`CONNECTOR_ORG=emea connector status` says more.")
    with environment.context() as without:
        for name in ("LOGIN_URL", "CLIENT_ID", "CLIENT_SECRET", "CUSTOMERS"):
            without.delenv(f"CONNECTOR_ORGS__EMEA__{name}")
        [forgotten] = (await load_status(check_files=False))["other_orgs"]
    assert other_org_remarks([forgotten])[0].endswith("The settings name no such org.")
    metrics = (await render_metrics(local.store, AllowancePolicies(), [], [])).decode()
    for sample in (
        'org_outage{org=""} 0.0',
        'org_outage{org="emea"} 1.0',
        'api_lane_paused{lane="new",org="emea"} 0.0',
    ):
        assert f"connector_{sample}" in metrics
    async with local.store.transaction() as uow:
        token = await tokens.create(uow, "viewer", Role.VIEWER)
    async with TestClient(TestServer(local.web_app())) as client:
        answer = await (await client.get("/api/v1/status", headers={"Authorization": f"Bearer {token}"})).json()
    assert [(org["name"], org["changes"]) for org in answer["other_orgs"]] == [("emea", 1)]
    assert answer["summary"].startswith("The org emea has accepted nothing since ")
    assert emea["text"].startswith("Org emea: 1 change to be sent; 0 dead letters; it has accepted nothing since")


async def test_discarded_changes_and_orders_by_stage_are_those_of_the_org(
    local: LocalServices, worlds: tuple[World, World], environment: pytest.MonkeyPatch
) -> None:
    here, there = worlds
    long = replace(PRODUCTS[0], sku="P-long", name="Tea " * 80)
    some_products = [*PRODUCTS, long]
    await here.save(ORDERS[:1], some_customers=[replace(HERE, name="Long " * 60), THERE], some_products=some_products)
    await here.push()
    await there.push()
    for world, refused in ((here, ["order N-1", "product P-long"]), (there, ["product P-long"])):
        async with world.service.org_store.reader() as connection:
            dead = await dead_letters.list_dead_letters(connection)
        assert sorted(f"{item.entity} {item.key}" for item in dead) == refused
    async with here.service.org_store.transaction() as uow:
        assert await dead_letters.change_by_person(uow, "discard", None, None, actor="ann") == 2
    await there.save([*ORDERS, an_order("N-9", customer="C-2")], some_customers=[HERE, THERE])

    async def reported(org: str) -> list[str]:
        environment.setenv("CONNECTOR_ORG", org)
        document = await load_status(check_files=False)
        return [f"{item['entity']} {item['key']}" for item in document["discarded"]]

    assert await reported("emea") == []
    assert (await there.push()).discarded == 0
    # A product is in both orgs: each has a decision of its own, and what is sent to one hides nothing of the other.
    async with there.service.org_store.transaction() as uow:
        assert await dead_letters.change_by_person(uow, "discard", EntityKind.PRODUCT, None, actor="ann") == 1
    assert (await there.push()).discarded == 1
    assert await reported("emea") == ["product P-long"]
    environment.delenv("CONNECTOR_ORG")
    default = await load_status(check_files=False)
    assert [item["key"] for item in default["discarded"]] == ["N-1", "P-long"]
    await here.save(ORDERS[:1], some_customers=[HERE, THERE], some_products=[replace(long, name="Tea")])
    assert (await here.resync(EntityKind.ORDER, "N-1")).complete
    for world in worlds:
        assert (await world.push()).in_sync

    async with local.store.transaction() as uow:
        token = await tokens.create(uow, "viewer", Role.VIEWER)
    async with TestClient(TestServer(local.web_app())) as client:
        counted = {}
        for query in ("", "?org=default", "?org=emea"):
            answer = await client.get(f"/api/v1/status{query}", headers={"Authorization": f"Bearer {token}"})
            counted[query] = sum((await answer.json())["orders"].values())
    assert counted == {"": 4, "?org=default": 1, "?org=emea": 3}


async def test_dead_letter_names_the_settings_of_its_org(worlds: tuple[World, World]) -> None:
    here, there = worlds
    some_orders = [replace(order, header=replace(order.header, currency="CHF")) for order in ORDERS[:2]]
    await here.save(some_orders, some_customers=[HERE, THERE])
    for world, name in ((here, "CONNECTOR_SALESFORCE__CURRENCY"), (there, "CONNECTOR_ORGS__EMEA__CURRENCY")):
        [refused] = (await world.push()).refusals
        assert (refused.refusal.code, f"set {name} to it" in refused.refusal.fix) == ("INVALID_CURRENCY_ISO", True)


async def test_process_for_the_default_org_leaves_the_others_alone(
    worlds: tuple[World, World], environment: pytest.MonkeyPatch
) -> None:
    await worlds[0].save(ORDERS, some_customers=[HERE, THERE])
    for world in worlds:
        assert (await world.push()).in_sync
    environment.setenv("CONNECTOR_ORG", "default")
    settings = load_settings()
    assert [*dict.fromkeys(job.name.partition("@")[2] for job in define_jobs(settings))] == [""]
    async with running_roles(settings, ["worker"]) as states:
        assert {*states} >= {"worker", "resyncs"}
        assert not any("@" in name for name in states)
    async with running_service(settings) as service:
        assert service.store.org == ""
        preview = await preview_resync(
            service.store, EntityKind.ORDER, ResyncFilter(), ResyncMode.COMPARE, partitions=8
        )
        assert (preview.sample, preview.filter) == (["N-1"], {"org": "default"})
        loop = ResyncLoop(service.store.for_org(None), {"": ResyncOrg(service)}, ttl=30, works_for_all=False)
        for org, mode, is_workable in (
            (None, ResyncMode.PUSH, True),
            (None, ResyncMode.COMPARE, False),
            ("default", ResyncMode.COMPARE, True),
            ("emea", ResyncMode.PUSH, False),
        ):
            async with service.store.transaction() as uow:
                await resyncs.create(
                    uow, EntityKind.ORDER, ResyncFilter(org=org), mode=mode, priority=Priority.LOW, total=1, actor="a"
                )
                [made] = await resyncs.list_page(uow.connection, limit=1)
            assert loop._is_workable(made) is is_workable, (org, mode)
    document = await load_status(check_files=False)
    assert (document["other_orgs"], document["entities"]["order"]["here"]) == ([], 1)
    environment.setenv("CONNECTOR_ORG", "nowhere")
    with pytest.raises(SettingsError, match="CONNECTOR_ORG must be one of default, emea"):
        load_settings()


async def test_doctor_and_show_work_with_the_org_that_is_meant(
    worlds: tuple[World, World], environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = worlds
    await here.save(ORDERS, some_customers=[HERE, THERE])
    for world in worlds:
        assert (await world.push()).in_sync
    account = (await there.query("SELECT Id FROM Account"))[0]["Id"]

    report = await examine(load_settings(), here.service.store, clock=here.service.clock)
    [others] = [check for check in report.checks if check.name == "other orgs"]
    assert (report.healthy, others.status) == (True, CheckStatus.PASS)
    assert "Org emea: 0 changes to be sent" in others.text
    document = await show._load(EntityKind.CUSTOMER, "C-2")
    assert [link["salesforce_id"] for link in document["in_org"]] == [account]
    show._print(document)
    assert "begin commands for it with CONNECTOR_ORG=emea." in capsys.readouterr().out
    for kind, key in ((EntityKind.CUSTOMER, "C-2"), (EntityKind.ORDER, "N-2")):
        with pytest.raises(
            ConnectorError, match=f"{key} belongs to the org emea. Begin the command with CONNECTOR_ORG"
        ):
            await here.resync(kind, key)

    environment.setenv("CONNECTOR_ORG", "emea")
    report = await examine(load_settings(), here.service.store, clock=here.service.clock)
    [org] = [check for check in report.checks if check.name == "org"]
    assert (report.healthy, org.status) == (True, CheckStatus.PASS)
    show._print(await show._load(EntityKind.CUSTOMER, "C-1"))
    assert "default org: leave CONNECTOR_ORG out" in capsys.readouterr().out


async def test_expression_that_cannot_be_used_is_refused_by_every_report(
    worlds: tuple[World, World], environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("CONNECTOR_ORGS__EMEA__CUSTOMERS", "land == 'DE'")
    with pytest.raises(SettingsError, match=r"CONNECTOR_ORGS__EMEA__CUSTOMERS .*land"):
        await load_status(check_files=False)
    service = worlds[0].service
    report = await examine(load_settings(), service.store, clock=service.clock)
    [settings] = [check for check in report.checks if check.name == "settings"]
    assert (settings.status, "CONNECTOR_ORGS__EMEA__CUSTOMERS" in settings.text) == (CheckStatus.FAIL, True)


async def test_commands_without_an_org_work_with_the_default_one(
    worlds: tuple[World, World], environment: pytest.MonkeyPatch
) -> None:
    here, there = worlds
    await here.save(ORDERS, some_customers=[HERE, THERE])
    for world in worlds:
        assert (await world.push()).in_sync
    record = (await there.query("SELECT Id FROM Account"))[0]["Id"]

    async def link_there(linker: Linker) -> object:
        return await linker.link(EntityKind.CUSTOMER, "C-2", record, force=False, dry_run=False)

    for work in (link_there, lambda linker: linker.unlink(EntityKind.CUSTOMER, "C-2")):
        with pytest.raises(ConnectorError, match=r"C-2 belongs to the org emea\. Begin the command with CONNECTOR_ORG"):
            await link._run_linker(work)

    # Another org in the place of the default one: only what belongs to it is due.
    async with LocalOrg(OrgOptions(metadata_root=our_metadata())) as new:
        environment.setenv("CONNECTOR_SALESFORCE__LOGIN_URL", new.url)
        environment.setenv("CONNECTOR_SALESFORCE__CLIENT_ID", new.client_id)
        environment.setenv("CONNECTOR_SALESFORCE__CLIENT_SECRET", new.client_secret)
        async with running_service(load_settings()) as service:
            new_id = await service.client.connect()
        assert await org_deploy._use(new_id) == (1 + len(PRODUCTS) + 1, new.url)
    async with there.service.org_store.reader() as connection:
        assert not await outbox_counts.due_counts(connection, there.service.clock.now())


async def test_comparison_of_an_org_waits_for_another_one_of_it(
    worlds: tuple[World, World], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = worlds[1].service
    await there.client.connect()
    name = f"reconcile:{there.client.org_id}"
    assert await leases.acquire(there.org_store, name, "another", 30)
    assert await is_reconciling(there.org_store, there.client.org_id)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            await leases.release(there.org_store, name, "another", 1)

    monkeypatch.setattr(there.clock, "sleep", sleep)
    assert (await _when_nobody_compares(there, ReconcileOptions())).result.differing == 0
    assert len(slept) == 2


async def test_errors_name_the_settings_of_the_org_that_is_meant(
    local: LocalServices, org: LocalOrg, other_org: LocalOrg
) -> None:
    emea = local.settings.orgs["emea"]
    lost = settings_of(org, other_org, local.settings.database_url)
    lost.orgs["emea"] = emea.model_copy(update={"login_url": ""})
    wrong = settings_of(org, other_org, local.settings.database_url)
    wrong.orgs["emea"] = emea.model_copy(update={"client_id": "nobody"})
    closed = settings_of(org, other_org, local.settings.database_url)
    closed.orgs["emea"] = emea.model_copy(update={"login_url": "http://127.0.0.1:9"})
    for settings, words in (
        (lost, "CONNECTOR_ORGS__EMEA__LOGIN_URL is not set"),
        (wrong, "Check CONNECTOR_ORGS__EMEA__CLIENT_ID"),
        (closed, "CONNECTOR_ORGS__EMEA__LOGIN_URL"),
    ):
        with pytest.raises((ConnectorError, SettingsError)) as refused:
            async with org_services(LocalServices(
                settings=settings, store=local.store, orders=local.orders, current_composer=local.current_composer,
            ), "emea") as services:  # fmt: skip
                await services.client.connect()
        assert words in str(refused.value)
        assert "CONNECTOR_SALESFORCE__" not in str(refused.value)
