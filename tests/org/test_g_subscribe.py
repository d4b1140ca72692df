"""Chapter G: the Pub/Sub API over real gRPC: headers (G1), messages (G2), flow control and replay (G3), topics (G5),
errors (G6), schemas (G7).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest
from fastavro.schema import to_parsing_canonical_form

from connector.cli.localorg import our_metadata
from connector.localorg.org import OrgOptions
from connector.localorg.pubsub import grpc_codec
from connector.localorg.server import LocalOrg, Ports
from tests.org.conftest import Caller
from tests.org.events import ACCOUNTS, ACTION, ALL, ORDERS, action, numbers, published
from tests.org.grpc_client import Client, Stream, failure

Code = grpc.StatusCode


# -- G1 headers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["accesstoken", "instanceurl", "tenantid"])
async def test_call_without_its_three_headers_is_rejected(client: Client, missing: str) -> None:
    """G1."""
    headers = tuple(item for item in client.headers if item[0] != missing)
    call = client.rpc("GetTopic")(grpc_codec.message_class("TopicRequest")(topic_name=ACTION), metadata=headers)
    assert await failure(call) == (Code.UNAUTHENTICATED, "service.auth.headers.invalid")


async def test_wrong_token_or_tenant_is_rejected(client: Client) -> None:
    """G1, G6."""
    for name, code in (("accesstoken", "service.auth.error"), ("tenantid", "service.auth.headers.invalid")):
        headers = tuple((key, "wrong" if key == name else value) for key, value in client.headers)
        call = client.rpc("GetTopic")(grpc_codec.message_class("TopicRequest")(topic_name=ACTION), metadata=headers)
        assert await failure(call) == (Code.UNAUTHENTICATED, code)


async def test_ended_session_ends_the_stream(client: Client, org: LocalOrg) -> None:
    """G1."""
    async with client.subscribed(ACTION) as stream:
        org.org.auth.end_sessions()
        await stream.ask(1)
        assert await stream.end() == (Code.UNAUTHENTICATED, "service.auth.error")


async def test_same_port_accepts_tls() -> None:
    """G1."""
    async with LocalOrg(OrgOptions(metadata_root=our_metadata()), Ports(grpc=0, tls=0)) as org:
        assert org.ca_file is not None
        trusted = grpc.ssl_channel_credentials(org.ca_file.read_bytes())
        for channel in (
            grpc.aio.secure_channel(str(org.pubsub_endpoint), trusted),
            grpc.aio.insecure_channel(str(org.pubsub_endpoint)),
        ):
            async with channel:
                assert (await Client(org, channel).topic(ACTION)).topic_name == ACTION
        async with grpc.aio.secure_channel(str(org.pubsub_endpoint), grpc.ssl_channel_credentials()) as channel:
            status, _ = await failure(Client(org, channel).topic(ACTION))
            assert status is Code.UNAVAILABLE  # nobody trusts our authority by accident


# -- G2, G5, G7 topics and schemas -----------------------------------------------------------------------------------


async def test_topic_response_describes_the_topic(client: Client) -> None:
    """G5: names, case, and what can be published."""
    result = await client.topic(ACTION)
    assert (result.topic_name, result.can_publish, result.can_subscribe) == (ACTION, True, True)
    result = await client.topic(ORDERS)
    assert (result.can_publish, result.can_subscribe) == (False, True)
    assert (await client.topic(ALL)).schema_id == ""
    for name in ("/event/Absent__e", "/data/orderchangeevent", "/data/CaseChangeEvent", "nonsense"):
        assert await failure(client.topic(name)) == (Code.NOT_FOUND, "topic.not.found")
    assert await failure(client.topic("")) == (Code.INVALID_ARGUMENT, "topic.validation.empty")


async def test_schema_id_identifies_the_schema(client: Client) -> None:
    """G7."""
    schema_id = (await client.topic(ACTION)).schema_id
    result = await client.rpc("GetSchema")(
        grpc_codec.message_class("SchemaRequest")(schema_id=schema_id), metadata=client.headers
    )
    schema = json.loads(result.schema_json)
    assert (schema["name"], schema["namespace"], schema.pop("uuid")) == (
        "Order_Action__e", "com.sforce.eventbus", schema_id,
    )  # fmt: skip
    digest = hashlib.md5(to_parsing_canonical_form(schema).encode(), usedforsecurity=False).digest()
    assert schema_id == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert [(field["name"], field["type"]) for field in schema["fields"][:2]] == [
        ("CreatedDate", "long"),
        ("CreatedById", "string"),
    ]
    assert all(field["type"][0] == "null" for field in schema["fields"][2:])
    call = client.rpc("GetSchema")(grpc_codec.message_class("SchemaRequest")(schema_id="x"), metadata=client.headers)
    assert await failure(call) == (Code.INVALID_ARGUMENT, "schema.validation.failed")


async def test_change_event_schema_has_the_header_first(client: Client) -> None:
    """G7."""
    schema_id = (await client.topic(ACCOUNTS)).schema_id
    result = await client.rpc("GetSchema")(
        grpc_codec.message_class("SchemaRequest")(schema_id=schema_id), metadata=client.headers
    )
    fields = json.loads(result.schema_json)["fields"]
    assert fields[0]["name"] == "ChangeEventHeader"
    assert [field["name"] for field in fields[0]["type"]["fields"]] == [
        "entityName", "recordIds", "changeType", "changeOrigin", "transactionKey", "sequenceNumber", "commitTimestamp",
        "commitNumber", "commitUser", "nulledFields", "diffFields", "changedFields",
    ]  # fmt: skip
    types = {field["name"]: field["type"] for field in fields}
    assert types["BillingAddress"][1]["name"] == "Address"
    assert types["ShippingAddress"] == ["null", "Address"]
    assert types["Name"][:2] == ["null", "string"]
    assert types["Name"][2]["name"] == "Switchable_PersonName"
    assert types["CreatedDate"] == ["null", "long"]
    assert not {"IsDeleted", "SystemModstamp", "Id"} & types.keys()


# -- G3 subscribing --------------------------------------------------------------------------------------------------


async def test_subscription_starts_at_latest_earliest_or_a_replay_id(client: Client) -> None:
    """G3."""
    first = await published(client, 3)
    async with client.subscribed(ACTION, replay_preset=grpc_codec.EARLIEST) as stream:
        assert [replay for _, replay in await stream.events(3)] == first
    async with client.subscribed(ACTION, replay_preset=grpc_codec.CUSTOM, replay_id=first[0]) as stream:
        assert numbers(await stream.events(2)) == [2, 3]
    async with client.subscribed(ACTION) as stream:
        await published(client, 1, first=4)
        assert numbers(await stream.events(1)) == [4]


async def test_replay_ids_rise_with_gaps(client: Client) -> None:
    """G3."""
    given = [int.from_bytes(replay, "big") for replay in await published(client, 50)]
    steps = {later - sooner for sooner, later in pairwise(given)}
    assert min(steps) >= 1
    assert max(steps) > 1


async def test_subscriber_gets_only_the_requested_number_of_events(client: Client) -> None:
    """G3."""
    await published(client, 5)
    async with client.subscribed(ACTION, count=2, replay_preset=grpc_codec.EARLIEST) as stream:
        answer = await stream.next()
        assert (len(answer.events), answer.pending_num_requested) == (2, 0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await stream.call.read()


async def test_requested_events_add_up_to_at_most_100(client: Client) -> None:
    """G3."""
    async with client.subscribed(ACTION, count=60) as stream:
        await stream.ask(60)
        await client.topic(ACTION)
        await published(client, 130)
        got = 0
        while True:
            answer = await stream.next()
            got += len(answer.events)
            if answer.pending_num_requested == 0:
                break
        assert got == 100
        await stream.ask(100)
        assert numbers(await stream.events(30))[-1] == 130


async def test_idle_stream_gets_the_latest_position(client: Client, org: LocalOrg, writer: Caller) -> None:
    """G3."""
    org.org.hub.keepalive_seconds = 0.1
    async with client.subscribed(ACTION) as stream:
        await writer.create("Account", Name="elsewhere on the bus")
        answer = await stream.next()
        latest = int.from_bytes(answer.latest_replay_id, "big")
        while not latest:
            latest = int.from_bytes((await stream.next()).latest_replay_id, "big")
        assert (list(answer.events), answer.pending_num_requested, latest) == ([], 100, org.org.hub.bus.latest)


@asynccontextmanager
async def busy_actions(client: Client) -> AsyncIterator[None]:
    """Publish actions all the time."""

    async def publish() -> None:
        while True:
            await published(client, 1)
            await asyncio.sleep(0.02)

    publishing = asyncio.create_task(publish())
    try:
        yield
    finally:
        publishing.cancel()


async def test_quiet_topic_gets_keepalives_while_events_of_another_topic_arrive(client: Client, org: LocalOrg) -> None:
    """G3."""
    org.org.hub.keepalive_seconds = 0.2
    async with client.subscribed(ORDERS) as stream, busy_actions(client), asyncio.timeout(2):
        assert not (await stream.next()).events


async def test_stream_without_requests_ends_also_while_events_arrive(client: Client, org: LocalOrg) -> None:
    """G3."""
    org.org.hub.fetch_seconds = 0.2
    await published(client, 1)
    async with client.subscribed(ACTION, count=1, replay_preset=grpc_codec.EARLIEST) as stream:
        await stream.events(1)
        async with busy_actions(client), asyncio.timeout(2):
            assert await stream.call.read() is grpc.aio.EOF


async def test_stream_without_requests_ends(client: Client, org: LocalOrg) -> None:
    """G3."""
    org.org.hub.fetch_seconds = 0.1
    await published(client, 1)
    async with client.subscribed(ACTION, count=1, replay_preset=grpc_codec.EARLIEST) as stream:
        await stream.events(1)
        assert await stream.end() == (Code.OK, "")


async def test_stream_ends_when_its_client_is_done(client: Client) -> None:
    """G3."""
    async with client.subscribed(ACTION) as stream:
        await stream.call.done_writing()
        assert await stream.end() == (Code.OK, "")


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"num_requested": 0}, "subscription.fetch.requested.events.invalid"),
        ({"num_requested": -1}, "subscription.fetch.requested.events.invalid"),
        ({"num_requested": 1, "replay_preset": grpc_codec.CUSTOM}, "subscription.fetch.replayid.validation.failed"),
        ({"num_requested": 1, "replay_preset": grpc_codec.CUSTOM, "replay_id": b"\xff" * 8},
         "subscription.fetch.replayid.corrupted"),
        ({"num_requested": 1, "replay_preset": grpc_codec.CUSTOM, "replay_id": b"x"},
         "subscription.fetch.replayid.corrupted"),
        ({"num_requested": 1, "topic_name": ""}, "topic.validation.empty"),
    ],
)  # fmt: skip
async def test_invalid_request_ends_the_stream_with_its_code(
    client: Client, request_: dict[str, Any], expected: str
) -> None:
    """G6: errors of the client."""
    stream = Stream(client, client.rpc("Subscribe")(metadata=client.headers))
    await stream.call.write(grpc_codec.message_class("FetchRequest")(**{"topic_name": ACTION, **request_}))
    assert await stream.end() == (Code.INVALID_ARGUMENT, expected)


async def test_topic_of_a_stream_cannot_be_changed(client: Client) -> None:
    """G3."""
    async with client.subscribed(ACTION) as stream:
        await stream.ask(1, topic_name=ACTION)
        await stream.ask(1, topic_name=ORDERS)
        assert await stream.end() == (Code.INVALID_ARGUMENT, "subscription.fetch.topic.mismatch")


async def test_replay_id_expires_with_the_retention(client: Client, org: LocalOrg) -> None:
    """G3."""
    old, *_ = await published(client, 2)
    org.org.hub.bus.retention = 0.01
    await asyncio.sleep(0.02)
    async with client.subscribed(ACTION, replay_preset=grpc_codec.CUSTOM, replay_id=old) as stream:
        assert await stream.end() == (Code.INVALID_ARGUMENT, "subscription.fetch.replayid.corrupted")
    org.org.hub.bus.retention = 60
    fresh = await published(client, 1, first=3)
    async with client.subscribed(ACTION, replay_preset=grpc_codec.EARLIEST) as stream:
        assert [replay for _, replay in await stream.events(1)] == fresh


async def test_two_subscribers_get_the_same_events(client: Client) -> None:
    """G3."""
    async with client.subscribed(ACTION) as one, client.subscribed(ACTION) as other:
        await published(client, 3)
        assert await one.events(3) == await other.events(3)


@asynccontextmanager
async def kept(data: Path) -> AsyncIterator[Client]:
    async with (
        LocalOrg(OrgOptions(metadata_root=our_metadata(), data=data), Ports(grpc=0)) as org,
        grpc.aio.insecure_channel(str(org.pubsub_endpoint)) as channel,
    ):
        yield Client(org, channel)


async def test_events_are_kept_after_a_restart(tmp_path: Path) -> None:
    """Ours."""
    async with kept(tmp_path / "org.db") as client:
        first = await published(client, 2)
    async with (
        kept(tmp_path / "org.db") as client,
        client.subscribed(ACTION, replay_preset=grpc_codec.CUSTOM, replay_id=first[0]) as stream,
    ):
        assert numbers(await stream.events(1)) == [2]
        await published(client, 1, first=3)
        assert numbers(await stream.events(1)) == [3]


# -- G6 trouble on demand --------------------------------------------------------------------------------------------


async def test_injected_fault_breaks_streams_and_publishing(client: Client, org: LocalOrg) -> None:
    """G6: faults of streams and of publishing."""
    faults = org.org.faults
    async with client.subscribed(ACTION) as stream:
        faults.configure({"stream_break": 1})
        await published(client, 1)
        assert len((await stream.next()).events) == 1
        assert await stream.end() == (Code.UNAVAILABLE, "service.unavailable")
    faults.configure({"event_limit": 1})
    async with client.subscribed(ACTION, replay_preset=grpc_codec.EARLIEST) as stream:
        assert await stream.end() == (Code.RESOURCE_EXHAUSTED, "subscription.limit.exceeded")
    faults.configure({"publish_failure": 1})
    schema_id, body = await action(client)
    answer = await client.publish(ACTION, ("a", body), ("b", body), schema_id=schema_id)
    assert [bool(result.error.msg) for result in answer.results] == [True, False]
    faults.configure({"event_duplicate": 1})
    async with client.subscribed(ACTION) as stream:
        await published(client, 1, first=7)
        (one, first), (other, second) = await stream.events(2)
        assert (one, first != second) == (other, True)
    position = org.org.hub.bus.latest.to_bytes(8, "big")
    org.org.hub.bus.drop_all()
    async with client.subscribed(ACTION, replay_preset=grpc_codec.CUSTOM, replay_id=position) as stream:
        assert (await stream.end())[1] == "subscription.fetch.replayid.corrupted"


async def test_malformed_message_is_rejected(client: Client) -> None:
    """G2."""
    call = client.channel.unary_unary(f"/{grpc_codec.SERVICE}/GetTopic")(b"\xff\xff", metadata=client.headers)
    assert (await failure(call))[0] is Code.INVALID_ARGUMENT
    unknown = client.channel.unary_unary(f"/{grpc_codec.SERVICE}/Nothing")(b"", metadata=client.headers)
    assert (await failure(unknown))[0] is Code.UNIMPLEMENTED
