"""Our own writes are not delivered back to us: the channel drops them inside the org. A poll locks nothing for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from connector.cli.localorg import our_metadata
from connector.inbound.apply import Applier
from connector.inbound.context import ApplyReport
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg, Ports
from connector.model.customer import Customer
from connector.model.inbound_change import RemoteRecord
from connector.service import running_service
from tests.flow.conftest import World, settings_for
from tests.flow.test_listen import listening, until
from tests.flow.test_pull import NUMBER, begin, customer_here

SOME = [Customer(number=f"C-{number}", name=f"Customer {number}") for number in range(1, 201)]


@pytest.fixture
async def org() -> AsyncIterator[LocalOrg]:
    async with LocalOrg(OrgOptions(metadata_root=our_metadata()), Ports(grpc=0)) as started:
        yield started


@pytest.fixture(autouse=True)
def no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.inbound.topic_listener.SETTLE_SECONDS", 0.2)


@pytest.fixture
async def world(org: LocalOrg, database_url: str) -> AsyncIterator[World]:
    settings = settings_for(org, database_url)
    salesforce = settings.salesforce.model_copy(update={"pubsub_endpoint": org.pubsub_endpoint})
    async with running_service(settings.model_copy(update={"salesforce": salesforce})) as service:
        yield World(org, service)


async def test_thousand_local_changes_bring_no_echo_and_a_change_by_a_rep_is_delivered(world: World) -> None:
    await world.save(some_customers=SOME, some_products=())
    await world.push()
    await world.service.pull()
    usage = world.org.org.usage
    async with listening(world.service) as job:
        before = usage.delivered.used
        for phone in range(5):
            await world.save(some_customers=[replace(item, phone=f"+49 {phone}") for item in SOME], some_products=())
            summary = await world.push()
            assert summary.stats.updated == {"Account": len(SOME)}
        await world.change_in_org("Account", "C-1", BillingCity="Kiel")

        async def arrived() -> bool:
            return (await customer_here(world)).city == "Kiel"

        await until(arrived)  # events come in the order of the commits: echoes would have come before
        assert usage.delivered.used - before == 1
        assert (job.stats.events, job.stats.echoes) == (1, 0)


async def test_change_by_a_person_with_the_connectors_user_is_found_by_the_poll_alone(world: World) -> None:
    await world.save(some_customers=SOME[:2], some_products=())
    await world.push()
    await world.service.pull()
    [row] = await world.query("SELECT Id FROM Account WHERE External_Key__c = 'C-1'")
    async with listening(world.service) as job:
        [outcome] = await world.service.client.collections_update([("Account", str(row["Id"]), {"Phone": "+49 7"})])
        assert outcome.success
        await world.change_in_org("Account", "C-2", Phone="+49 8")

        async def arrived() -> bool:
            return (await customer_here(world, "C-2")).phone == "+49 8"

        await until(arrived)
        assert (job.stats.events, (await customer_here(world)).phone) == (1, None)
    assert (await world.service.pull()).applied.taken == {"Account.Phone": 1}
    assert (await customer_here(world)).phone == "+49 7"


async def test_poll_that_reads_only_what_is_known_applies_and_locks_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await begin(world)
    apply, applied = Applier.apply, list[RemoteRecord]()

    async def noted(self: Applier, records: Sequence[RemoteRecord], *more: Any) -> ApplyReport:
        applied.extend(records)
        return await apply(self, records, *more)

    monkeypatch.setattr(Applier, "apply", noted)
    first = await world.service.pull()
    await world.change_in_org("Order", NUMBER, Description="by a rep")
    second = await world.service.pull()
    assert (first.applied.echoes, len(applied)) == (first.applied.records, 1)
    assert (second.applied.records, second.applied.echoes) == (first.applied.records, first.applied.records - 1)
