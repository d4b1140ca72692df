"""Chapter G: CometD (G11): errors and timeouts. Normal use is tested with a client library in `tests/clients`."""

from __future__ import annotations

from typing import Any

import pytest

from connector.localorg.events.channels import ChannelMember
from tests.org.conftest import Caller

ACTION = "/event/Order_Action__e"


class Bayeux:
    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.client = ""

    async def send(self, channel: str, **more: Any) -> list[dict[str, Any]]:
        message = {"channel": channel, "id": "1", "clientId": self.client, **more}
        headers = {"Authorization": f"Bearer {self.caller.org.access_token}"}
        async with self.caller.http.post(
            f"{self.caller.org.url}/cometd/66.0", json=[message], headers=headers
        ) as answer:
            return list(await answer.json())

    async def shake(self) -> None:
        [body] = await self.send("/meta/handshake", version="1.0", supportedConnectionTypes=["long-polling"])
        assert (body["successful"], body["ext"]["replay"]) == (True, True)
        self.client = body["clientId"]
        [first] = await self.send("/meta/connect", connectionType="long-polling")
        assert (first["successful"], first["advice"]["reconnect"]) == (True, "retry")

    async def subscribe(self, channel: str, replay: Any = -1) -> dict[str, Any]:
        [body] = await self.send("/meta/subscribe", subscription=channel, ext={"replay": {channel: replay}})
        return body


@pytest.fixture
async def bayeux(caller: Caller) -> Bayeux:
    return Bayeux(caller)


async def test_unknown_client_must_shake_hands_again(bayeux: Bayeux) -> None:
    """G11."""
    [body] = await bayeux.send("/meta/connect")
    assert (body["successful"], body["error"], body["advice"]["reconnect"]) == (
        False, "403::Unknown client", "handshake",
    )  # fmt: skip


async def test_request_without_session_gets_no_events(bayeux: Bayeux) -> None:
    """G11."""
    await bayeux.shake()
    url = f"{bayeux.caller.org.url}/cometd/66.0"
    for channel, error in (
        ("/meta/handshake", "403::Handshake denied"),
        ("/meta/connect", "401::Authentication invalid"),
    ):
        async with bayeux.caller.http.post(url, json=[{"channel": channel, "clientId": bayeux.client}]) as answer:
            [body] = await answer.json()
            assert (answer.status, body["error"], body["successful"]) == (401, error, False)


async def test_invalid_replay_id_is_rejected(bayeux: Bayeux) -> None:
    """G11."""
    await bayeux.shake()
    await bayeux.caller.create("Order_Action__e", Order_Number__c="1", Action__c="hold")
    assert (await bayeux.subscribe(ACTION, -2))["successful"]
    event, connected = await bayeux.send("/meta/connect")
    assert (event["channel"], event["data"]["payload"]["Order_Number__c"]) == (ACTION, "1")
    assert connected["successful"]
    replay = event["data"]["event"]["replayId"]
    await bayeux.caller.create("Order_Action__e", Order_Number__c="2", Action__c="hold")
    assert (await bayeux.subscribe(ACTION, replay))["successful"]
    event, _ = await bayeux.send("/meta/connect")
    assert event["data"]["payload"]["Order_Number__c"] == "2"
    for wrong in (999_999, "x", -3, 1.5, 2**70):
        result = await bayeux.subscribe(ACTION, wrong)
        assert not result["successful"]
        assert result["error"].startswith(f"400::The replayId {{{wrong}}} you provided was invalid.")


async def test_unknown_channel_is_rejected(bayeux: Bayeux) -> None:
    """G11."""
    await bayeux.shake()
    assert (await bayeux.subscribe("/event/Nothing__e"))["error"].startswith("404::")
    [body] = await bayeux.send("/event/Order_Action__e", data={})
    assert body["error"].startswith("403:")


async def test_custom_channel_names_the_event_since_version_55(bayeux: Bayeux) -> None:
    """G11: other channels do not."""
    bayeux.caller.org.org.hub.channels["/event/Odd__chn"] = {ACTION: ChannelMember(topic=ACTION)}
    await bayeux.shake()
    for channel in ("/event/Odd__chn", ACTION):
        assert (await bayeux.subscribe(channel))["successful"]
    await bayeux.caller.create("Order_Action__e", Order_Number__c="1", Action__c="hold")
    body, plain, _ = await bayeux.send("/meta/connect")
    assert (body["channel"], body["data"]["event"]["EventApiName"]) == ("/event/Odd__chn", "Order_Action__e")
    assert "EventApiName" not in plain["data"]["event"]


async def test_poll_ends_empty_after_its_timeout(bayeux: Bayeux) -> None:
    """G11."""
    bayeux.caller.org.app.cometd.poll_seconds = 0.05
    await bayeux.shake()
    await bayeux.subscribe(ACTION)
    [body] = await bayeux.send("/meta/connect")
    assert body["successful"]
    [body] = await bayeux.send("/meta/unsubscribe", subscription=ACTION)
    assert body["successful"]
    await bayeux.caller.create("Order_Action__e", Order_Number__c="1", Action__c="hold")
    [body] = await bayeux.send("/meta/connect")
    assert body["channel"] == "/meta/connect"
    await bayeux.send("/meta/disconnect")
    [body] = await bayeux.send("/meta/connect")
    assert body["error"] == "403::Unknown client"


async def test_update_message_has_changed_fields_only(bayeux: Bayeux) -> None:
    """G11."""
    await bayeux.shake()
    account = await bayeux.caller.create("Account", Name="A", Phone="1", BillingCity="c")
    await bayeux.subscribe("/data/AccountChangeEvent")
    changes = {"Phone": None, "BillingCity": "d"}
    await bayeux.caller.call("PATCH", f"sobjects/Account/{account}", changes)
    event, _ = await bayeux.send("/meta/connect")
    payload = event["data"]["payload"]
    header = payload.pop("ChangeEventHeader")
    assert (header["changeType"], header["recordIds"]) == ("UPDATE", [account])
    assert set(header["changedFields"]) == {"Phone", "BillingAddress", "LastModifiedDate"}
    assert not {"nulledFields", "diffFields"} & header.keys()
    stamp = payload.pop("LastModifiedDate")
    assert stamp.endswith("Z")
    assert payload == {"Phone": None, "BillingAddress": {"City": "d"}}


async def test_event_schema_is_read_by_rest(caller: Caller) -> None:
    """G7."""
    status, compact = await caller.call("GET", "sobjects/Order_Action__e/eventSchema?payloadFormat=COMPACT")
    assert (status, compact["type"], compact["name"]) == (200, "record", "Order_Action__e")
    status, body = await caller.call("GET", f"event/eventSchema/{compact['uuid']}?payloadFormat=COMPACT")
    assert (status, body) == (200, compact)
    status, expanded = await caller.call("GET", "sobjects/OrderChangeEvent/eventSchema")
    assert (status, expanded["type"]) == (200, "expanded-record")
    parts = {field["name"]: field["type"] for field in expanded["fields"][0]["type"]["fields"]}
    assert parts["payload"]["fields"][0]["name"] == "ChangeEventHeader"
    assert (await caller.call("GET", "event/eventSchema/none"))[0] == 404
    assert (await caller.call("GET", "sobjects/Account/eventSchema"))[0] == 404
