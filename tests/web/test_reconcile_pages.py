"""The pages of comparisons: the proof by org, drift by field, values only for ops, and both buttons."""

from __future__ import annotations

import re
from datetime import timedelta

from connector.model.job_run import JobState
from connector.model.reconciliation import (
    FieldDifference,
    Finding,
    Healing,
    Reconciliation,
    RecordState,
    RunState,
)
from connector.model.role import Role
from connector.store import job_runs, leases, orgs, reconcile_runs
from connector.store.queries.change_mark import load_change_mark
from tests.conftest import ManualClock
from tests.web.conftest import Api
from tests.web.test_console import HOSTILE, open_page, send, sign_in

PHONE = FieldDifference(
    field="Phone", owner="newest", base="1", local="+49 251 1", remote="=cmd|x", has_base=True, healing=Healing.TAKE
)


async def put_run(api: Api, *, org_id: str = "00D", drifted: int = 0, full: bool = True) -> int:
    result = Reconciliation(limit=100)
    for number in range(8):
        result.count("order", RecordState.VERIFIED, f"W-{number}")
    for number in range(drifted):
        key, fields = f"C-{number}" if number else HOSTILE[:60], (PHONE,)
        result.add(
            Finding(
                entity="customer", key=key, state=RecordState.DRIFTED, sobject="Account", record_id="001", fields=fields
            )
        )
    if drifted:
        lost = Finding(entity="order", key="W-9", state=RecordState.MISSING_IN_ORG, sobject="Order", record_id=None)
        stray = Finding(entity="order", key=None, state=RecordState.MISSING_HERE, sobject="Order", record_id="801X")
        for finding in (lost, stray):
            result.add(finding)
    async with api.store.transaction() as uow:
        number = await reconcile_runs.begin(uow, org_id, full=full, scope={} if full else {"order": ["W-1"]})
        await reconcile_runs.finish(uow, number, result, state=RunState.FINISHED, calls=7)
    return number


async def put_org(api: Api, org_id: str = "00D", name: str = "") -> None:
    async with api.store.for_org(name).transaction() as uow:
        await orgs.put(uow, org_id, login_url="", instance_url="https://org.example", is_active=True)


async def test_proof_is_shown_by_entity_and_org_and_compared_anew(api: Api, clock: ManualClock) -> None:
    await sign_in(api)
    assert "No org has answered yet" in (await open_page(api, "/reconcile"))[1]
    await put_org(api)
    assert "never compared as a whole" in (await open_page(api, "/reconcile"))[1]
    await put_run(api)
    await put_org(api, "00E", "emea")
    await put_run(api, org_id="00E", drifted=2)
    _, text = await open_page(api, "/reconcile")
    for part in (
        "8 of 8",
        "Nothing differs.",
        "8 of 11",
        "4 differ",
        "emea",
        "Not verified: ",
        "2 drifted",
    ):
        assert part in text, part
    refused = Reconciliation(limit=9)
    for state, key in ((RecordState.VERIFIED, "W-1"), (RecordState.REFUSED, "W-2"), (RecordState.NOT_SYNCED, "W-3")):
        refused.count("order", state, key, "the change was refused: TOO_LONG" if key == "W-2" else "")
    async with api.store.transaction() as uow:
        number = await reconcile_runs.begin(uow, "00D", full=True, scope={})
        await reconcile_runs.finish(uow, number, refused, state=RunState.FINISHED, calls=1)
    _, text = await open_page(api, "/reconcile")
    assert "Nothing differs." not in text
    for part in ("Not verified: ", ">1 refused</a>", ">1 left out of the synchronization</a>"):
        assert part in text, part
    assert f'href="/reconcile/{number}/records?state=refused&amp;entity=order"' in text
    _, text = await open_page(api, f"/reconcile/{number}/records?state=refused")
    assert ('href="/orders/W-2"' in text, "refused: TOO_LONG" in text, "1 refused" in text) == (True, True, True)
    status, text = await send(api, "/reconcile/start", org="default")
    assert (status, "Both sides are compared as soon as a scheduler takes it" in text) == (303, True)
    assert "ops of tests asked for one" in text
    async with api.store.transaction() as uow:
        [run] = await job_runs.take_waiting(uow, ["reconcile"], worker="host:1", ttl=15)
    assert await leases.acquire(api.store, "reconcile:00D", "host:1", ttl=60) is not None
    async with api.store.transaction() as uow:
        number = await reconcile_runs.begin(uow, "00D", full=True, scope={}, planned=2_000)
        mark = await load_change_mark(uow.connection)
        await reconcile_runs.note_progress(uow, number, compared=1_400, calls=7)
        assert await load_change_mark(uow.connection) != mark
    _, text = await open_page(api, "/reconcile")
    assert "A comparison is under way" in text
    assert "1,400 of 2,000 records" in text
    async with api.store.transaction() as uow:
        await job_runs.finish(uow, run, JobState.FAILED, error="ann@shop.example is wrong", fix="Correct it.")
    clock.advance(timedelta(days=3).total_seconds())
    await sign_in(api)
    _, text = await open_page(api, "/reconcile")
    for part in ("The latest run failed", "ann@shop.example is wrong Correct it.", "which is long ago"):
        assert part in text, part
    status, text = await send(api, "/reconcile/start", org="nowhere")
    assert (status, "The service has no org" in text) == (422, True)


async def test_differences_show_what_healing_would_do_before_it_is_asked_for(api: Api) -> None:
    await put_org(api)
    first = await put_run(api, drifted=2)
    await sign_in(api)
    _, text = await open_page(api, f"/reconcile/{first}")
    for part in (
        "8 of 11 verified", "Account.Phone", "+49 251 1", "2 would be taken from Salesforce", "and heal 3",
        "left alone: a person decides what this record is", "801X",
        'href="/orders/W-9"', 'href="/customers/C-1"',
    ):  # fmt: skip
        assert part in text, part
    assert "<script>document" not in text
    answer, sheet = await open_page(api, f"/reconcile/{first}/differences.csv")
    assert (answer.content_type, sheet.count("\r\n"), "'=cmd|x" in sheet) == ("text/csv", 5, True)
    status, text = await send(api, "/reconcile/start", org="default", heal="yes")
    assert (status, "what differs is healed" in text) == (303, True)
    async with api.store.reader() as connection:
        latest = await job_runs.latest(connection, ["heal"])
    assert (latest["heal"].actor, latest["heal"].state) == ("ops of tests", JobState.WAITING)
    second = await put_run(api, drifted=1)
    assert "A later comparison knows better" in (await open_page(api, f"/reconcile/{first}"))[1]
    assert (await open_page(api, "/reconcile/99"))[0].status == 404

    api.client.session.cookie_jar.clear()
    await sign_in(api, Role.VIEWER)
    for path in ("/reconcile", f"/reconcile/{second}"):
        _, text = await open_page(api, path)
        assert [part in text for part in ("<form method", "+49 251 1", ".csv")] == [False] * 3, path
    assert "Values are for the role ops." in text
    assert (await open_page(api, f"/reconcile/{second}/differences.csv"))[0].status == 403


async def test_history_of_comparisons_goes_on_behind_the_last_one(api: Api) -> None:
    await put_org(api)
    numbers = [await put_run(api, full=bool(number % 2)) for number in range(23)]
    await sign_in(api, Role.VIEWER)
    _, text = await open_page(api, "/reconcile")
    cell = re.compile(r'<td class="name"><a href="/reconcile/(\d+)"')
    shown = [int(number) for number in cell.findall(text)]
    assert shown == numbers[:2:-1]
    _, text = await open_page(api, f"/reconcile?before={shown[-1]}")
    assert [int(number) for number in cell.findall(text)] == numbers[2::-1]
