"""Chapter G: a channel that drops our own echoes (G8), deployed by the Tooling API and read by Pub/Sub and CometD."""

from __future__ import annotations

from typing import Any

import pytest

from tests.org import users
from tests.org.conftest import Caller
from tests.org.grpc_client import Client
from tests.org.test_g_cometd import Bayeux

CHANNEL = "/data/Filtered__chn"


async def select(caller: Caller, condition: str, **more: Any) -> tuple[int, Any]:
    """Create the channel and its member for accounts; return the answer about the member."""
    channel = {"FullName": "Filtered__chn", "Metadata": {"channelType": "data", "label": "Filtered"}}
    status, body = await caller.call("POST", "tooling/sobjects/PlatformEventChannel", channel)
    assert status == 201, body
    member = {"eventChannel": "Filtered__chn", "selectedEntity": "AccountChangeEvent", "filterExpression": condition}
    body = {"FullName": "Filtered_chn_AccountChangeEvent", "Metadata": member | more}
    return await caller.call("POST", "tooling/sobjects/PlatformEventChannelMember", body)


async def test_channel_delivers_what_others_wrote_and_drops_our_echoes(writer: Caller, client: Client) -> None:
    """G8, G11: the same filter for Pub/Sub and CometD; what is dropped counts as no delivery."""
    rep = await users.add_user(writer)
    ours = writer.org.org.auth.identity.user_id
    enriched = {"enrichedFields": [{"name": "Name"}]}
    status, body = await select(writer, f"ChangeEventHeader.commitUser != '{ours}'", **enriched)
    assert status == 201, body
    bayeux = Bayeux(writer)
    await bayeux.shake()
    assert (await bayeux.subscribe(CHANNEL))["successful"]
    async with client.subscribed(CHANNEL) as stream:
        before = writer.org.org.usage.delivered.used
        account = await writer.create("Account", Name="Acme")
        for phone in ("1", "2", "3"):
            await writer.call("PATCH", f"sobjects/Account/{account}", {"Phone": phone})
        assert (await rep.call("PATCH", f"sobjects/Account/{account}", {"Phone": "4"}))[0] == 204
        [(payload, _)] = await stream.events(1)
        message, _ = await bayeux.send("/meta/connect")
        assert writer.org.org.usage.delivered.used == before + 2
    for found in (payload, message["data"]["payload"]):
        assert (found["Phone"], found["Name"], found["ChangeEventHeader"]["commitUser"]) == ("4", "Acme", rep.id)


@pytest.mark.parametrize(
    ("condition", "problem"),
    [
        ("ChangeEventHeader.recordIds = '001'", "recordIds is a list"),
        ("ChangeEventHeader.changedFields = 'Name'", "changedFields is a list"),
        ("ChangeEventHeader.commitUser LIKE '005%'", "LIKE"),
        ("ChangeEventHeader.changeType > 'A' ORDER BY Name", "filterExpression"),
        ("Name = 'x' LIMIT 1", "filterExpression"),
        ("Id IN (SELECT AccountId FROM Order)", "filterExpression"),
        ("Parent.Name = 'x'", "filterExpression"),
    ],
)
async def test_invalid_filter_is_rejected_by_the_tooling_api(caller: Caller, condition: str, problem: str) -> None:
    """G8: a filter is about values of the event: no lists, no queries, no fields of other records."""
    status, body = await select(caller, condition)
    assert (status, body[0]["errorCode"]) == (400, "FIELD_INTEGRITY_EXCEPTION")
    assert problem in body[0]["message"]
