"""Chapter H: row locks and late commits (H11), and other injected faults."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import pytest

from tests.org.conftest import Caller


async def line_of(caller: Caller, order: str, entry: str) -> tuple[int, Any]:
    fields = {"OrderId": order, "PricebookEntryId": entry, "Quantity": 1, "UnitPrice": 1}
    return await caller.call("POST", "sobjects/OrderItem", fields)


async def test_writers_of_one_account_take_turns(caller: Caller) -> None:
    """H11."""
    _, entry = await caller.priced_product()
    account = await caller.create("Account", Name="A")
    orders = [await caller.draft(AccountId=account) for _ in range(3)]
    caller.org.org.faults.configure({"lock_hold_ms": 150})
    started = time.monotonic()
    answers = await asyncio.gather(*(line_of(caller, order, entry) for order in orders))
    assert [status for status, _ in answers] == [201, 201, 201]
    assert time.monotonic() - started > 0.4  # one after the other
    assert len(await caller.query("SELECT Id FROM OrderItem")) == 3


async def test_writers_of_different_accounts_do_not_wait(caller: Caller) -> None:
    """H11."""
    _, entry = await caller.priced_product()
    orders = [await caller.draft() for _ in range(4)]
    faults = caller.org.org.faults
    faults.configure({"lock_hold_ms": 500, "lock_wait_ms": 0})
    answers = await asyncio.gather(*(line_of(caller, order, entry) for order in orders))
    assert [status for status, _ in answers] == [201] * 4


async def test_write_that_waits_too_long_fails_without_trace(caller: Caller) -> None:
    """H11."""
    account = await caller.create("Account", Name="A")
    caller.org.org.faults.configure({"lock_hold_ms": 600, "lock_wait_ms": 100})
    first = asyncio.create_task(caller.call("PATCH", f"sobjects/Account/{account}", {"Phone": "1"}))
    await asyncio.sleep(0.1)
    records = [{"attributes": {"type": "Account"}, "Name": "B"},
               {"attributes": {"type": "Contact"}, "LastName": "C", "AccountId": account}]  # fmt: skip
    _, outcomes = await caller.call("POST", "composite/sobjects", {"allOrNone": False, "records": records})
    assert (await first)[0] == 204
    assert [item["success"] for item in outcomes] == [True, False]
    assert outcomes[1]["errors"][0]["statusCode"] == "UNABLE_TO_LOCK_ROW"
    assert len(await caller.query("SELECT Id FROM Account WHERE Name = 'B'")) == 1
    assert await caller.query("SELECT Id FROM Contact") == []


async def test_composite_that_waits_for_a_lock_runs_once(caller: Caller) -> None:
    """H11."""
    account = await caller.create("Account", Name="A")
    caller.org.org.faults.configure({"lock_hold_ms": 200})
    first = asyncio.create_task(caller.call("PATCH", f"sobjects/Account/{account}", {"Phone": "1"}))
    await asyncio.sleep(0.05)
    steps = [
        {"method": "POST", "url": "/services/data/v66.0/sobjects/Account", "referenceId": "a", "body": {"Name": "B"}},
        {"method": "POST", "url": "/services/data/v66.0/sobjects/Order_Action__e", "referenceId": "e",
         "body": {"Order_Number__c": "1", "Action__c": "hold"}},
        {"method": "PATCH", "url": f"/services/data/v66.0/sobjects/Account/{account}", "referenceId": "b",
         "body": {"Phone": "2"}},
    ]  # fmt: skip
    _, body = await caller.call("POST", "composite", {"compositeRequest": steps})
    await first
    assert [item["httpStatusCode"] for item in body["compositeResponse"]] == [201, 201, 204]
    assert len(await caller.query("SELECT Id FROM Account WHERE Name = 'B'")) == 1
    assert len(caller.org.org.hub.bus.events_after(0, ["/event/Order_Action__e"], 10)) == 1


async def test_bulk_job_waits_for_locked_rows(caller: Caller) -> None:
    """H11."""
    account = await caller.create("Account", Name="A", External_Key__c="K")
    caller.org.org.faults.configure({"lock_hold_ms": 200})
    first = asyncio.create_task(caller.call("PATCH", f"sobjects/Account/{account}", {"Phone": "1"}))
    await asyncio.sleep(0.05)
    options = {"object": "Account", "operation": "upsert", "externalIdFieldName": "External_Key__c", "lineEnding": "LF"}
    _, job = await caller.call("POST", "jobs/ingest", options)
    headers = {"Authorization": f"Bearer {caller.org.access_token}", "Content-Type": "text/csv"}
    content = "External_Key__c,Phone\nK,2\nL,3\n".replace("Phone", "Name")
    async with caller.http.put(f"{caller.org.url}/{job['contentUrl']}", data=content, headers=headers) as answer:
        assert answer.status == 201
    await caller.call("PATCH", f"jobs/ingest/{job['id']}", {"state": "UploadComplete"})
    async with asyncio.timeout(10):
        while job["state"] != "JobComplete":
            await first
            _, job = await caller.call("GET", f"jobs/ingest/{job['id']}")
    assert (job["numberRecordsProcessed"], job["numberRecordsFailed"]) == (2, 0)
    assert len(await caller.query("SELECT Id FROM Account")) == 2


async def test_late_commit_is_visible_after_its_timestamp(caller: Caller) -> None:
    """H11."""
    caller.org.org.faults.configure({"late_commit_ms": 1500})
    late = asyncio.create_task(caller.create("Account", Name="late"))
    await asyncio.sleep(0.2)
    caller.org.org.faults.configure({"late_commit_ms": 0})
    await asyncio.sleep(1.0)
    await caller.create("Account", Name="in time")
    assert [row["Name"] for row in await caller.query("SELECT Name FROM Account")] == ["in time"]
    await late
    rows = await caller.query("SELECT Name, SystemModstamp FROM Account ORDER BY SystemModstamp")
    assert [row["Name"] for row in rows] == ["late", "in time"]  # it was there first, and could not be seen


@pytest.mark.parametrize("fault", ["reset", "truncated"])
async def test_injected_fault_drops_the_connection(caller: Caller, fault: str) -> None:
    """Ours."""
    caller.org.org.faults.configure({fault: 1})
    with pytest.raises(aiohttp.ClientError):
        await caller.call("POST", "sobjects/Account", {"Name": "A"})
    assert len(await caller.query("SELECT Id FROM Account")) == (1 if fault == "truncated" else 0)
    assert [call.fault for call in caller.org.org.usage.log] == [fault, None]


async def test_injected_limits_and_latency_apply(caller: Caller) -> None:
    """F3: limits, and injected latency."""
    faults = caller.org.org.faults
    faults.configure({"concurrent_limit": 1})
    status, code, message = await caller.refusal("GET", "limits")
    assert (status, code) == (403, "REQUEST_LIMIT_EXCEEDED")
    assert "Concurrent" in message
    faults.configure({"latency_row_ms": 60})
    records = [{"attributes": {"type": "Account"}, "Name": f"{number}"} for number in range(5)]
    started = time.monotonic()
    await caller.call("POST", "composite/sobjects", {"records": records})
    assert time.monotonic() - started >= 0.3
    faults.clear()
    faults.configure({"latency_spread_ms": 30})
    waits = {round(caller.org.app._latency(), 6) for _ in range(50)}
    assert len(waits) == 50
    assert max(waits) <= 0.3
