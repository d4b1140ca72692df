"""Chapter B: what a poll must know: windows that an open write cuts short (B5), records deleted for good (E1)."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import aiohttp

from tests.org.conftest import Caller
from tests.org.packages import package, xml
from tests.org.test_b_requests import window
from tests.org.test_e_bulk import Bulk


async def test_window_is_covered_until_the_oldest_open_write_began(caller: Caller) -> None:
    """B5: rows stamped before the end of the window may still come."""
    now = datetime.now(UTC)
    span = window(now - timedelta(minutes=2), now + timedelta(minutes=2))
    paths = [f"sobjects/Account/{kind}?{span}" for kind in ("updated", "deleted")]
    caller.org.org.faults.configure({"late_commit_ms": 700})
    writes = [asyncio.create_task(caller.create("Account", Name="late"))]
    await asyncio.sleep(0.1)
    [opened] = caller.org.org.open_writes
    writes.append(asyncio.create_task(caller.create("Account", Name="later")))
    await asyncio.sleep(0.1)
    expected = opened.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    for path in paths:
        assert (await caller.call("GET", path))[1]["latestDateCovered"] == expected
    assert (await caller.call("GET", paths[0]))[1]["ids"] == []
    ids = await asyncio.gather(*writes)
    covered = (now + timedelta(minutes=2)).strftime("%Y-%m-%dT%H:%M:00.000+0000")
    for path in paths:
        assert (await caller.call("GET", path))[1]["latestDateCovered"] == covered
    assert (await caller.call("GET", paths[0]))[1]["ids"] == ids


async def grant_hard_delete(caller: Caller) -> None:
    """Deploy a permission set with Bulk API Hard Delete, and assign it."""
    body = (
        "<label>Purge</label><userPermissions><enabled>true</enabled><name>BulkApiHardDelete</name></userPermissions>"
    )
    content = package({"permissionsets/Purge.permissionset": xml("PermissionSet", body)}, PermissionSet="Purge")
    form = aiohttp.FormData()
    form.add_field("json", json.dumps({"deployOptions": {"singlePackage": True}}), content_type="application/json")
    form.add_field("file", content, filename="deploy.zip", content_type="application/zip")
    url = f"{caller.org.url}/services/data/v66.0/metadata/deployRequest"
    headers = {"Authorization": f"Bearer {caller.org.access_token}"}
    async with caller.http.post(url, data=form, headers=headers) as answer:
        assert answer.status == 201, await answer.text()
    for _ in range(200):
        if rows := await caller.query("SELECT Id FROM PermissionSet WHERE Name = 'Purge'"):
            break
        await asyncio.sleep(0.01)
    user = caller.org.org.auth.identity.user_id
    await caller.create("PermissionSetAssignment", PermissionSetId=rows[0]["Id"], AssigneeId=user)


async def test_hard_delete_leaves_nothing_in_the_recycle_bin(caller: Caller) -> None:
    """E1, B5: only getDeleted tells it; a record that is gone fails its row."""
    await grant_hard_delete(caller)
    kept, gone = await caller.create("Account", Name="kept"), await caller.create("Account", Name="gone")
    soft = await caller.create("Account", Name="soft")
    await caller.call("DELETE", f"sobjects/Account/{soft}")
    bulk = Bulk(caller)
    options = {"object": "Account", "operation": "hardDelete", "contentType": "CSV", "lineEnding": "LF"}
    job = await bulk.run(f"Id\n{gone}\n{soft}\n", **options)
    assert (job["state"], job["numberRecordsProcessed"], job["numberRecordsFailed"]) == ("JobComplete", 2, 1)
    _, body = await caller.call("GET", "queryAll?q=SELECT+Id,IsDeleted+FROM+Account")
    assert {(row["Id"], row["IsDeleted"]) for row in body["records"]} == {(kept, False), (soft, True)}
    now = datetime.now(UTC)
    span = window(now - timedelta(minutes=2), now + timedelta(minutes=2))
    _, deleted = await caller.call("GET", f"sobjects/Account/deleted?{span}")
    assert {row["id"] for row in deleted["deletedRecords"]} == {gone, soft}
