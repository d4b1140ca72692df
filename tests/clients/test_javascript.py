"""JavaScript clients, unchanged: jsforce (REST, SOQL, Bulk, CometD) and salesforce-pubsub-api-client (gRPC).

`make clients` installs them; `make test` calls it if npm is available.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from connector.cli.localorg import our_metadata
from connector.localorg.server import LocalOrg

HERE = Path(__file__).parent
LONGEST = 60
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(
    NODE is None or shutil.which("npm") is None, reason="Node.js and npm are not on this machine"
)


@pytest.fixture
async def org() -> AsyncIterator[LocalOrg]:
    async with LocalOrg(metadata_root=our_metadata(), grpc_port=0, tls_port=0) as running:
        yield running


async def seen(script: str, org: LocalOrg) -> Any:
    """Run a script of this folder and return what it printed."""
    told = {**org.banner(), "user_id": org.org.auth.identity.user_id}
    process = await asyncio.create_subprocess_exec(
        str(NODE), HERE / script, json.dumps(told), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(LONGEST):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise
    assert process.returncode == 0, err.decode()
    return json.loads(out)


async def test_jsforce_uses_rest_bulk_and_cometd(org: LocalOrg) -> None:
    found = await seen("jsforce.js", org)
    assert found["login"] == {"organization": 18, "query": 1}
    assert found["identity"] == org.username
    assert [item["success"] for item in found["created"]] == [True, True, False]
    assert found["created"][2]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert (found["upserted"]["created"], found["retrieved"]) == (False, "Alpha 2")
    assert [row["Name"] for row in found["found"]] == ["Alpha 2"]
    assert (found["described"], found["global"], found["limits"]) == (True, True, True)
    assert found["refused"]["name"] == "INVALID_FIELD"
    assert "No such column 'Nothing' on entity 'Account'" in found["refused"]["message"]
    assert found["paged"] == 450
    assert found["bulk2"]["good"] == 2
    assert [text.split(":")[0] for text in found["bulk2"]["bad"]] == ["REQUIRED_FIELD_MISSING"]
    assert found["bulk2query"] == ["Bulk 1", "Bulk 2"]
    assert [(row["success"], len(row["errors"])) for row in found["bulk1"]] == [(True, 0), (False, 1)]
    assert found["bulk1"][1]["errors"][0].startswith("REQUIRED_FIELD_MISSING")
    assert found["bulk1query"] == ["Classic 1"]
    assert found["published"]["success"]
    assert found["published"]["errors"][0]["statusCode"] == "OPERATION_ENQUEUED"
    assert [(event["Order_Number__c"], event["Reason__c"]) for event in found["live"]] == [("1", None)]
    assert (found["kept"], found["changes"]) == (["1"], "CREATE")


async def test_jsforce_uses_metadata_and_tooling(org: LocalOrg) -> None:
    found = await seen("setup.js", org)
    assert (found["state"], found["identity"], found["renewed"]) == ("here", org.username, 1)
    assert (found["tooled"], found["untooled"]) == (True, True)
    assert (found["definition"], found["types"]) == ([["Account.Tooled__c", 10]], ["Picklist"])
    assert (found["kinds"], found["saved"], found["updated"], found["listed"]) == (True, True, True, True)
    assert (str(found["read"]), found["removed"]) == ("20", [True])
    assert (found["deployed"], found["byRest"]) == ("Succeeded", "Succeeded")
    assert (found["searched"], found["layouts"]) == (["Acme Brothers"], 1)
    assert (found["recent"][0], found["soap"]) == ("Acme Brothers", org.username)


async def test_pubsub_client_publishes_and_subscribes(org: LocalOrg) -> None:
    found = await seen("pubsub.js", org)
    assert found["errors"] == []
    assert [event["payload"]["Order_Number__c"] for event in found["actions"]] == ["1001", "1002"]
    assert [event["replayId"] for event in found["actions"]] == found["published"]
    assert [event["payload"]["Order_Number__c"] for event in found["replayed"]] == ["1002"]
    created, updated = (event["payload"] for event in found["changes"])
    assert created["ChangeEventHeader"]["changeType"] == "CREATE"
    assert created["ChangeEventHeader"]["recordIds"] == [found["account"]]
    assert (created["Name"], created["BillingAddress"]["City"]) == ("Köhler", "Münster")
    header = updated["ChangeEventHeader"]
    assert (header["changeType"], header["nulledFields"]) == ("UPDATE", [])
    assert sorted(header["changedFields"]) == ["BillingAddress.City", "LastModifiedDate", "Phone"]
    assert (updated["Phone"], updated["BillingAddress"]["City"], updated["Name"]) == ("1", "Köln", None)
