"""Chapter I4: the Tooling API: the schema as rows, and components created and deleted one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from connector.cli.localorg import our_metadata
from connector.localorg.events.managed_subscriptions import SubscriptionNotFoundError, SubscriptionStoppedError
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from tests.org.conftest import Caller

TEXT = {"label": "Ext", "type": "Text", "length": 40, "externalId": True, "unique": True, "caseSensitive": True}


async def tooling(caller: Caller, soql: str) -> list[dict[str, Any]]:
    status, body = await caller.call("GET", f"tooling/query/?q={quote(soql)}")
    assert status == 200, body
    return list(body["records"])


async def create(caller: Caller, kind: str, name: str, metadata: dict[str, Any]) -> tuple[int, Any]:
    return await caller.call("POST", f"tooling/sobjects/{kind}", {"FullName": name, "Metadata": metadata})


async def test_field_definitions_show_data_types(caller: Caller) -> None:
    where = "WHERE EntityDefinition.QualifiedApiName = 'Order'"
    rows = await tooling(caller, f"SELECT QualifiedApiName, DataType, IsNillable FROM FieldDefinition {where}")
    types = {row["QualifiedApiName"]: row["DataType"] for row in rows}
    assert types["AccountId"] == "Lookup(Account)"
    assert types["TotalAmount"] == "Currency(16, 2)"
    assert types["CreatedDate"] == "Date/Time"
    assert types["External_Key__c"].endswith("(External ID) (Unique Case Sensitive)")
    described = (await caller.call("GET", "sobjects/Order/describe"))[1]["fields"]
    assert set(types) >= {field["name"] for field in described}


async def test_data_api_queries_schema_objects(caller: Caller) -> None:
    fields = "(SELECT QualifiedApiName FROM Fields WHERE QualifiedApiName = 'Name')"
    (row,) = await caller.query(f"SELECT DurableId, Id, {fields} FROM EntityDefinition WHERE KeyPrefix = '001'")
    assert (row["DurableId"], row["Id"]) == ("Account", "000000000000000AAA")
    assert [field["QualifiedApiName"] for field in row["Fields"]["records"]] == ["Name"]
    assert row["attributes"]["url"] == "/services/data/v66.0/tooling/sobjects/EntityDefinition/Account"


async def test_schema_query_without_a_filter_is_rejected(caller: Caller) -> None:
    status, code, message = await caller.refusal("GET", "tooling/query/?q=SELECT+DurableId+FROM+FieldDefinition")
    assert (status, code) == (400, "MALFORMED_QUERY")
    assert message == "FieldDefinition: a filter on a reified column is required [EntityDefinitionId,DurableId]"


async def test_tooling_query_returns_rows_of_the_org(caller: Caller) -> None:
    """Salesforce's command line runs these queries at login."""
    assert len(await tooling(caller, "SELECT Id, Name FROM Organization")) == 1
    assert await tooling(caller, "SELECT Id FROM ApexClass") == []
    result = "SELECT SubscriberPackage.NamespacePrefix FROM InstalledSubscriberPackage"  # CumulusCI
    assert await tooling(caller, result) == []
    assert (await caller.refusal("GET", "tooling/query?q=SELECT+Id+FROM+SandboxProcess"))[1] == "INVALID_TYPE"


async def test_field_is_created_as_by_a_deployment(caller: Caller) -> None:
    status, created = await create(caller, "CustomField", "Order.Ext_Id__c", TEXT)
    assert (status, created["success"], created["id"][:3]) == (201, True, "00N")
    names = {field["name"] for field in (await caller.call("GET", "sobjects/Order/describe"))[1]["fields"]}
    assert "Ext_Id__c" not in names  # nobody was given it yet
    (row,) = await tooling(caller, "SELECT Id, FullName, Metadata FROM CustomField WHERE DeveloperName = 'Ext_Id'")
    assert (row["Id"], row["FullName"], row["Metadata"]) == (created["id"], "Order.Ext_Id__c", TEXT)
    status, body = await create(caller, "CustomField", "Order.Ext_Id__c", TEXT)
    assert (status, body[0]["errorCode"]) == (400, "DUPLICATE_DEVELOPER_NAME")


async def test_invalid_component_is_rejected(caller: Caller) -> None:
    for name, metadata, code in (
        ("Order.Short__c", {"label": "S", "type": "Text"}, "FIELD_INTEGRITY_EXCEPTION"),
        ("Nothing.Short__c", TEXT, "FIELD_INTEGRITY_EXCEPTION"),
        ("Short__c", TEXT, "FIELD_INTEGRITY_EXCEPTION"),
        ("Order.Short__c", {"label": "S", "type": "Text", "length": 1, "<x>": 1}, "JSON_PARSER_ERROR"),
    ):
        status, body = await create(caller, "CustomField", name, metadata)
        assert (status, body[0]["errorCode"]) == (400, code), name
    status, body = await caller.call("POST", "tooling/sobjects/CustomField", {"FullName": "Order.X__c"})
    assert (status, body[0]["fields"]) == (400, ["Metadata"])
    assert (await caller.refusal("POST", "tooling/sobjects/ApexClass", {}))[:2] == (405, "METHOD_NOT_ALLOWED")


async def test_metadata_of_several_rows_is_rejected(caller: Caller) -> None:
    status, code, message = await caller.refusal("GET", "tooling/query?q=SELECT+Metadata+FROM+CustomField")
    assert (status, code) == (400, "MALFORMED_QUERY")
    assert "no more than one row" in message


async def test_field_is_changed_and_deleted_with_its_values(caller: Caller) -> None:
    _, created = await create(caller, "CustomField", "Account.Note__c", {"label": "N", "type": "Text", "length": 5})
    path = f"tooling/sobjects/CustomField/{created['id']}"
    longer = {"Metadata": {"label": "Note", "type": "Text", "length": 50, "required": True}}
    assert (await caller.call("PATCH", path, longer))[0] == 204
    account = await caller.create("Account", Name="A", Note__c="longer than five")
    assert (await caller.call("DELETE", path))[0] == 204
    assert (await caller.call("GET", path))[0] == 404
    assert "Note__c" not in (await caller.call("GET", f"sobjects/Account/{account}"))[1]
    await create(caller, "CustomField", "Account.Note__c", longer["Metadata"])
    assert (await caller.call("GET", f"sobjects/Account/{account}"))[1]["Note__c"] is None


async def test_channel_and_member_are_created(caller: Caller) -> None:
    status, channel = await create(caller, "PlatformEventChannel", "Sync__chn", {"channelType": "data", "label": "S"})
    assert status == 201, channel
    member = {"eventChannel": "Sync__chn", "selectedEntity": "OrderChangeEvent"}
    status, created = await create(caller, "PlatformEventChannelMember", "Sync_chn_OrderChangeEvent", member)
    assert status == 201, created
    assert caller.org.org.hub.resolve_topics("/data/Sync__chn") == {"/data/OrderChangeEvent"}
    status, body = await caller.call("DELETE", f"tooling/sobjects/PlatformEventChannel/{channel['id']}")
    assert (status, body[0]["errorCode"]) == (400, "DEPENDENCY_EXISTS")
    assert (await caller.call("DELETE", f"tooling/sobjects/PlatformEventChannelMember/{created['id']}"))[0] == 204
    assert (await caller.call("DELETE", f"tooling/sobjects/PlatformEventChannel/{channel['id']}"))[0] == 204
    assert caller.org.org.hub.resolve_topics("/data/Sync__chn") is None


async def test_managed_subscription_is_created_found_changed_and_deleted(caller: Caller) -> None:
    metadata = {"label": "Keeper", "topicName": "/data/ChangeEvents", "defaultReplay": "EARLIEST", "state": "RUN"}
    status, created = await create(caller, "ManagedEventSubscription", "Keeper", metadata)
    assert status == 201, created
    query = "SELECT DeveloperName, TopicName, DefaultReplay, State FROM ManagedEventSubscription"
    [row] = await tooling(caller, query)
    assert (row["DeveloperName"], row["TopicName"], row["State"]) == ("Keeper", "/data/ChangeEvents", "RUN")
    path = f"tooling/sobjects/ManagedEventSubscription/{created['id']}"
    assert (await caller.call("PATCH", path, {"Metadata": metadata | {"state": "STOP"}}))[0] == 204
    managed = caller.org.org.managed_subscriptions
    with pytest.raises(SubscriptionStoppedError), managed.acquire("", "Keeper"):
        pass
    assert (await caller.call("DELETE", path))[0] == 204
    with pytest.raises(SubscriptionNotFoundError), managed.acquire("", "Keeper"):
        pass


async def test_describes_have_tooling_addresses(caller: Caller) -> None:
    body = (await caller.call("GET", "tooling/sobjects"))[1]
    expected = {item["name"]: item["urls"]["sobject"] for item in body["sobjects"]}
    assert expected["CustomField"] == "/services/data/v66.0/tooling/sobjects/CustomField"
    fields = (await caller.call("GET", "tooling/sobjects/FieldDefinition/describe"))[1]["fields"]
    assert {"DurableId", "QualifiedApiName"} <= {field["name"] for field in fields}
    assert "OwnerKey" not in {field["name"] for field in fields}
    status, body = await caller.call("GET", "tooling/executeAnonymous/?anonymousBody=x")
    assert (status, body[0]["errorCode"]) == (403, "FUNCTIONALITY_NOT_ENABLED")


async def test_removed_component_stays_away_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "org.sqlite"
    for first in (True, False):
        async with (
            LocalOrg(OrgOptions(metadata_root=our_metadata(), data=file)) as org,
            aiohttp.ClientSession() as http,
        ):
            caller = Caller(org, http)
            result = await tooling(caller, "SELECT Id FROM CustomField WHERE DeveloperName = 'Channel'")
            assert len(result) == first
            if first:
                assert (await caller.call("DELETE", f"tooling/sobjects/CustomField/{result[0]['Id']}"))[0] == 204
