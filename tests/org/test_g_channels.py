"""Chapter G: channel members (G8): filters, enriched fields, objects selected by one channel; names of persons."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import grpc
import pytest

from connector.cli.localorg import our_metadata
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg, Ports
from connector.localorg.settings import OrgSettings
from tests.org.conftest import Caller
from tests.org.grpc_client import Client
from tests.org.packages import package, xml

Pair = tuple[Caller, Client]


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    """REST and Pub/Sub clients of one org with person accounts."""
    async with (
        LocalOrg(
            OrgOptions(metadata_root=our_metadata(), settings=OrgSettings(person_accounts=True)), Ports(grpc=0)
        ) as org,
        aiohttp.ClientSession() as http,
        grpc.aio.insecure_channel(str(org.pubsub_endpoint)) as channel,
    ):
        yield Caller(org, http), Client(org, channel)


async def deploy(caller: Caller, kind: str, *members: tuple[str, str]) -> list[dict[str, Any]]:
    """Deploy a channel `Ours__chn` with members (entity, further elements); return the failures."""
    files = {"platformEventChannels/Ours__chn.platformEventChannel": xml(
        "PlatformEventChannel", f"<channelType>{kind}</channelType><label>Ours</label>")}  # fmt: skip
    for entity, more in members:
        files[f"platformEventChannelMembers/Ours_{entity}.platformEventChannelMember"] = xml(
            "PlatformEventChannelMember",
            f"{more}<eventChannel>Ours__chn</eventChannel><selectedEntity>{entity}</selectedEntity>",
        )
    form = aiohttp.FormData()
    form.add_field("json", json.dumps({"deployOptions": {"singlePackage": True}}), content_type="application/json")
    content = package(files, PlatformEventChannel="*", PlatformEventChannelMember="*")
    form.add_field("file", content, filename="deploy.zip", content_type="application/zip")
    url = f"{caller.org.url}/services/data/v66.0/metadata/deployRequest"
    headers = {"Authorization": f"Bearer {caller.org.access_token}"}
    async with caller.http.post(url, data=form, headers=headers) as answer:
        answer_body = (await answer.json())["deployResult"]
    for _ in range(200):
        _, body = await caller.call("GET", f"metadata/deployRequest/{answer_body['id']}?includeDetails=true")
        if body["deployResult"]["done"]:
            break
    assert body["deployResult"]["done"]
    return list(body["deployResult"]["details"]["componentFailures"])


async def test_update_and_deletion_events_carry_enriched_fields(pair: Pair) -> None:
    """G8."""
    caller, client = pair
    enriched = "".join(
        f"<enrichedFields><name>{name}</name></enrichedFields>" for name in ("PoNumber", "EffectiveDate")
    )
    condition = "<filterExpression>PoNumber = 'yes' AND EffectiveDate &gt; 2026-01-01</filterExpression>"
    assert await deploy(caller, "data", ("OrderChangeEvent", enriched + condition), ("CaseChangeEvent", "")) == []
    async with client.subscribed("/data/Ours__chn") as ours, client.subscribed("/data/OrderChangeEvent") as all_orders:
        one = await caller.draft(PoNumber="yes")
        other = await caller.draft(PoNumber="no")
        await caller.create("Case", Subject="Broken")
        for order in (one, other):
            assert (await caller.call("PATCH", f"sobjects/Order/{order}", {"Name": "n"}))[0] == 204
        for order in (one, other):
            assert (await caller.call("DELETE", f"sobjects/Order/{order}"))[0] == 204
        events = [payload for payload, _ in await ours.events(4)]
        result = [(item["ChangeEventHeader"]["entityName"], item["ChangeEventHeader"]["changeType"]) for item in events]
        assert result == [("Order", "CREATE"), ("Case", "CREATE"), ("Order", "UPDATE"), ("Order", "DELETE")]
        for item in (events[2], events[3]):
            assert item["ChangeEventHeader"]["recordIds"] == [one]
            assert (item["PoNumber"], item["EffectiveDate"] is not None) == ("yes", True)
        assert (events[2]["Name"], events[3]["Name"]) == ("n", None)
        plain = [payload for payload, _ in await all_orders.events(6)]
        assert [item["PoNumber"] for item in plain] == ["yes", "no", None, None, None, None]
    status, _ = await caller.call("GET", "sobjects/Case/describe")
    assert status == 200


async def test_filter_of_platform_events_uses_their_fields(pair: Pair) -> None:
    """G8."""
    caller, client = pair
    condition = "<filterExpression>Action__c IN ('hold', 'release') AND Order_Number__c != null</filterExpression>"
    assert await deploy(caller, "event", ("Order_Action__e", condition)) == []
    async with client.subscribed("/event/Ours__chn") as ours:
        for number, action in (("1", "hold"), ("2", "cancel"), (None, "hold"), ("3", "release")):
            body = {"Order_Number__c": number, "Action__c": action}
            await caller.call("POST", "sobjects/Order_Action__e", {k: v for k, v in body.items() if v})
        assert [payload["Order_Number__c"] for payload, _ in await ours.events(2)] == ["1", "3"]


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("<enrichedFields><name>Nothing__c</name></enrichedFields>", "has no field Nothing__c"),
        ("<enrichedFields><name>Name</name></enrichedFields>" * 11, "at most 10 enriched fields"),
        ("<filterExpression>Nothing = 1</filterExpression>", "No such column 'Nothing'"),
        ("<filterExpression>Name = </filterExpression>", "unexpected"),
        *(
            (f"<filterExpression>ChangeEventHeader.{name} = 'x'</filterExpression>", f"{name} is a list")
            for name in ("recordIds", "nulledFields", "diffFields", "changedFields")
        ),
        ("<filterExpression>ChangeEventHeader.nothing = 'x'</filterExpression>", "No such column 'nothing'"),
        ("<filterExpression>ChangeEventHeader.sequenceNumber = 'x'</filterExpression>", "must be of type int"),
        ("<filterExpression>ChangeEventHeader.commitUser = 'x'</filterExpression>", "invalid ID field"),
    ],
)
async def test_invalid_channel_member_is_rejected(pair: Pair, more: str, problem: str) -> None:
    """G8."""
    [failure] = await deploy(pair[0], "data", ("OrderChangeEvent", more))
    assert problem in failure["problem"]


HEADER = {
    "entityName": "'Order'",
    "changeType": "'UPDATE'",
    "changeOrigin": "'com/salesforce/api/rest/66.0;client=Ours'",
    "transactionKey": "'no-such-key'",
    "sequenceNumber": "1",
    "commitTimestamp": "1600000000000",
    "commitNumber": "1",
    "commitUser": "'{user}'",
}


async def test_filter_may_use_every_single_value_of_the_header(pair: Pair) -> None:
    """G8: all fields except the lists."""
    caller = pair[0]
    user = caller.org.org.auth.identity.user_id
    condition = " OR ".join(f"ChangeEventHeader.{name} = {value.format(user=user)}" for name, value in HEADER.items())
    filtered = f"<filterExpression>{condition}</filterExpression>"
    assert await deploy(caller, "data", ("OrderChangeEvent", filtered)) == []


async def test_filter_by_origin_drops_events_of_one_client(pair: Pair) -> None:
    """G8: our own echoes are not delivered."""
    caller, client = pair
    user = caller.org.org.auth.identity.user_id
    condition = (
        f"ChangeEventHeader.commitUser = '{user[:15]}' AND ChangeEventHeader.changeType IN ('UPDATE', 'DELETE')"
        " AND (NOT ChangeEventHeader.changeOrigin LIKE '%client=Ours') AND ChangeEventHeader.sequenceNumber &lt; 3"
    )
    filtered = f"<filterExpression>{condition}</filterExpression>"
    assert await deploy(caller, "data", ("OrderChangeEvent", filtered)) == []
    async with client.subscribed("/data/Ours__chn") as ours:
        order = await caller.draft()
        path = f"sobjects/Order/{order}"
        ours_only = {"Sforce-Call-Options": "client=Ours"}
        assert (await caller.call("PATCH", path, {"PoNumber": "1"}, **ours_only))[0] == 204
        assert (await caller.call("PATCH", path, {"PoNumber": "2"}))[0] == 204
        assert (await caller.call("DELETE", path))[0] == 204
        events = [payload for payload, _ in await ours.events(2)]
    assert [(item["ChangeEventHeader"]["changeType"], item["PoNumber"]) for item in events] == [
        ("UPDATE", "2"), ("DELETE", None),
    ]  # fmt: skip


async def test_update_event_carries_the_fields_of_the_filter(pair: Pair) -> None:
    """G8: otherwise a change of another field would be missed."""
    caller, client = pair
    filtered = "<filterExpression>PoNumber = 'yes'</filterExpression>"
    assert await deploy(caller, "data", ("OrderChangeEvent", filtered)) == []
    async with client.subscribed("/data/Ours__chn") as ours:
        order = await caller.draft(PoNumber="yes")
        await caller.call("PATCH", f"sobjects/Order/{order}", {"Name": "n"})
        (_, _), (changed, _) = await ours.events(2)
    assert (changed["Name"], changed["PoNumber"]) == ("n", "yes")


async def test_filter_by_header_is_rejected_for_platform_events(pair: Pair) -> None:
    """G8."""
    filtered = "<filterExpression>ChangeEventHeader.changeType = 'UPDATE'</filterExpression>"
    [failure] = await deploy(pair[0], "event", ("Order_Action__e", filtered))
    assert "ChangeEventHeader" in failure["problem"]


async def test_account_name_is_a_record_for_a_person_and_text_for_a_company(pair: Pair) -> None:
    """G7: the union of Account.Name; G8: a person account raises events of account and contact."""
    caller, client = pair
    [row] = await caller.query("SELECT Id FROM RecordType WHERE DeveloperName = 'PersonAccount'")
    async with client.subscribed("/data/ChangeEvents") as stream:
        person = await caller.create("Account", RecordTypeId=row["Id"], FirstName="Ana", LastName="Trujillo")
        await caller.create("Account", Name="Acme")
        (first, _), (shadow, _), (company, _) = await stream.events(3)
        assert {key: value for key, value in first["Name"].items() if value} == {
            "FirstName": "Ana", "LastName": "Trujillo",
        }  # fmt: skip
        assert [item["ChangeEventHeader"]["entityName"] for item in (first, shadow, company)] == [
            "Account", "Contact", "Account",
        ]  # fmt: skip
        assert company["Name"] == "Acme"
        await caller.call("PATCH", f"sobjects/Account/{person}", {"FirstName": "Eva"})
        (changed, _), (shadow, _) = await stream.events(2)
        assert changed["Name"]["FirstName"] == shadow["Name"]["FirstName"] == "Eva"
        assert changed["ChangeEventHeader"]["changeType"] == "UPDATE"
