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
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg, Ports
from tests.conftest import require

HERE = Path(__file__).parent
LONGEST = 60
NODE = shutil.which("node")


@pytest.fixture
async def org() -> AsyncIterator[LocalOrg]:
    require(NODE is not None and shutil.which("npm") is not None, "Node.js with npm")
    async with LocalOrg(OrgOptions(metadata_root=our_metadata()), Ports(grpc=0, tls=0)) as running:
        yield running


async def seen(script: str, org: LocalOrg) -> Any:
    """Run a script of this folder and return what it printed."""
    result = {**org.banner(), "user_id": org.org.auth.identity.user_id}
    process = await asyncio.create_subprocess_exec(
        str(NODE), HERE / script, json.dumps(result), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
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
    result = await seen("jsforce.js", org)
    assert result["login"] == {"organization": 18, "query": 1}
    assert result["identity"] == org.username
    assert [item["success"] for item in result["created"]] == [True, True, False]
    assert result["created"][2]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert (result["upserted"]["created"], result["retrieved"]) == (False, "Alpha 2")
    assert [row["Name"] for row in result["found"]] == ["Alpha 2"]
    assert (result["described"], result["global"], result["limits"]) == (True, True, True)
    assert result["refused"]["name"] == "INVALID_FIELD"
    assert "No such column 'Nothing' on entity 'Account'" in result["refused"]["message"]
    assert result["paged"] == 450
    assert result["bulk2"]["good"] == 2
    assert [text.split(":")[0] for text in result["bulk2"]["bad"]] == ["REQUIRED_FIELD_MISSING"]
    assert result["bulk2query"] == ["Bulk 1", "Bulk 2"]
    assert [(row["success"], len(row["errors"])) for row in result["bulk1"]] == [(True, 0), (False, 1)]
    assert result["bulk1"][1]["errors"][0].startswith("REQUIRED_FIELD_MISSING")
    assert result["bulk1query"] == ["Classic 1"]
    assert result["published"]["success"]
    assert result["published"]["errors"][0]["statusCode"] == "OPERATION_ENQUEUED"
    assert [(event["Order_Number__c"], event["Reason__c"]) for event in result["live"]] == [("1", None)]
    assert (result["kept"], result["changes"]) == (["1"], "CREATE")


async def test_jsforce_uses_metadata_and_tooling(org: LocalOrg) -> None:
    result = await seen("setup.js", org)
    assert (result["state"], result["identity"], result["renewed"]) == ("here", org.username, 1)
    assert (result["tooled"], result["untooled"]) == (True, True)
    assert (result["definition"], result["types"]) == ([["Account.Tooled__c", 10]], ["Picklist"])
    assert (result["kinds"], result["saved"], result["updated"], result["listed"]) == (True, True, True, True)
    assert (str(result["read"]), result["removed"]) == ("20", [True])
    assert (result["deployed"], result["byRest"]) == ("Succeeded", "Succeeded")
    assert (result["searched"], result["layouts"]) == (["Acme Brothers"], 1)
    assert (result["recent"][0], result["soap"]) == ("Acme Brothers", org.username)


async def test_pubsub_client_publishes_and_subscribes(org: LocalOrg) -> None:
    result = await seen("pubsub.js", org)
    assert result["errors"] == []
    assert [event["payload"]["Order_Number__c"] for event in result["actions"]] == ["1001", "1002"]
    assert [event["replayId"] for event in result["actions"]] == result["published"]
    assert [event["payload"]["Order_Number__c"] for event in result["replayed"]] == ["1002"]
    created, updated = (event["payload"] for event in result["changes"])
    assert created["ChangeEventHeader"]["changeType"] == "CREATE"
    assert created["ChangeEventHeader"]["recordIds"] == [result["account"]]
    assert (created["Name"], created["BillingAddress"]["City"]) == ("Köhler", "Münster")
    header = updated["ChangeEventHeader"]
    assert (header["changeType"], header["nulledFields"]) == ("UPDATE", [])
    assert sorted(header["changedFields"]) == ["BillingAddress.City", "LastModifiedDate", "Phone"]
    assert (updated["Phone"], updated["BillingAddress"]["City"], updated["Name"]) == ("1", "Köln", None)
