"""Chapter G: publishing by the Pub/Sub API (G4), and managed subscriptions (G10)."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from connector.localorg.pubsub import grpc_codec
from connector.localorg.server import LocalOrg
from tests.org.events import ACTION, ORDERS, action, published
from tests.org.grpc_client import Client, Stream, failure

Code = grpc.StatusCode


# -- G4, G9 publishing -----------------------------------------------------------------------------------------------


async def test_published_events_have_a_result_each(client: Client) -> None:
    """G4."""
    schema_id, body = await action(client)
    async with client.subscribed(ACTION) as stream:
        answer = await client.publish(ACTION, ("a", body), ("b", b"\xff"), ("c", body + b"x"), ("d", body), schema_id=schema_id)  # noqa: E501  # fmt: skip
        assert [(result.correlation_key, bool(result.error.msg)) for result in answer.results] == [
            ("a", False), ("b", True), ("c", True), ("d", False),
        ]  # fmt: skip
        assert {result.error.code for result in answer.results if result.error.msg} == {grpc_codec.PUBLISH_ERROR}
        outcome = await stream.next()
        assert [event.event.id for event in outcome.events] == ["a", "d"]
        payload = await client.decoded(outcome.events[0])
        assert payload["CreatedById"] == client.org.org.auth.identity.user_id  # whatever the publisher said


async def test_invalid_event_is_rejected(client: Client) -> None:
    """G4, G6."""
    schema_id, body = await action(client)
    [refused] = (await client.publish(ACTION, ("a", body), schema_id="old")).results
    assert "schema" in refused.error.msg
    [refused] = (await client.publish(ACTION, ("a", body + b"x" * 1024 * 1024), schema_id=schema_id)).results
    assert "1 MB" in refused.error.msg
    assert await failure(client.publish(ACTION, schema_id=schema_id)) == (
        Code.INVALID_ARGUMENT, "publish.event.count.invalid",
    )  # fmt: skip
    assert (await failure(client.publish(ORDERS, ("a", body), schema_id=schema_id)))[0] is Code.PERMISSION_DENIED
    assert await failure(client.publish("", ("a", body), schema_id=schema_id)) == (
        Code.INVALID_ARGUMENT, "publish.topic.validation.empty",
    )  # fmt: skip


async def test_checkbox_can_be_published(client: Client) -> None:
    """G4, G9."""
    topic = "/event/Order_Action_Result__e"
    schema_id = (await client.topic(topic)).schema_id
    values = {"Order_Number__c": "1", "Action__c": "hold", "Succeeded__c": True}
    body = await client.encoded(schema_id, CreatedDate=1, CreatedById="005000000000000", **values)
    async with client.subscribed(topic) as stream:
        [result] = (await client.publish(topic, ("a", body), schema_id=schema_id)).results
        assert result.error.msg == ""
        [(payload, _)] = await stream.events(1)
    assert payload.items() >= values.items()


async def test_publish_stream_returns_results_per_request(client: Client, org: LocalOrg) -> None:
    """G4, G6."""
    schema_id, body = await action(client)
    call = client.rpc("PublishStream")(metadata=client.headers)
    for number, topic in enumerate([ACTION, ""]):
        event = grpc_codec.message_class("ProducerEvent")(id=f"s-{number}", schema_id=schema_id, payload=body)
        await call.write(grpc_codec.message_class("PublishRequest")(topic_name=topic, events=[event]))
        assert [result.correlation_key for result in (await call.read()).results] == [f"s-{number}"]
    await call.write(grpc_codec.message_class("PublishRequest")(topic_name=ORDERS, events=[event]))
    assert await Stream(client, call).end() == (Code.INVALID_ARGUMENT, "publish.topic.mismatch")
    org.org.hub.fetch_seconds = 0.05
    idle = Stream(client, client.rpc("PublishStream")(metadata=client.headers))
    assert (await idle.end())[1] == "publish.stream.sweeper.timeout"


# -- G10 managed subscriptions ---------------------------------------------------------------------------------------


async def test_managed_subscription_continues_after_the_committed_event(client: Client, org: LocalOrg) -> None:
    """G10."""
    org.org.managed_subscriptions.define("Actions", ACTION, starts="EARLIEST")
    replay_ids = await published(client, 3)

    def opened(**more: Any) -> Any:
        return client.rpc("ManagedSubscribe")(metadata=client.headers)

    call = opened()
    await call.write(grpc_codec.message_class("ManagedFetchRequest")(developer_name="Actions", num_requested=2))
    answer = await call.read()
    assert [event.replay_id for event in answer.events] == replay_ids[:2]
    commit = grpc_codec.message_class("CommitReplayRequest")(commit_request_id="c-1", replay_id=replay_ids[1])
    await call.write(grpc_codec.message_class("ManagedFetchRequest")(commit_replay_id_request=commit))
    result = (await call.read()).commit_response
    assert (result.commit_request_id, result.replay_id, result.error.msg) == ("c-1", replay_ids[1], "")
    bad = grpc_codec.message_class("CommitReplayRequest")(commit_request_id="c-2", replay_id=b"?")
    await call.write(grpc_codec.message_class("ManagedFetchRequest")(commit_replay_id_request=bad))
    assert (await call.read()).commit_response.error.code == grpc_codec.COMMIT_ERROR
    second = Stream(client, opened())
    await second.call.write(grpc_codec.message_class("ManagedFetchRequest")(developer_name="Actions", num_requested=2))
    assert (await second.end())[1] == "managed.subscription.already.active"
    call.cancel()
    await asyncio.sleep(0.05)
    call = opened()
    await call.write(grpc_codec.message_class("ManagedFetchRequest")(developer_name="Actions", num_requested=2))
    assert [event.replay_id for event in (await call.read()).events] == replay_ids[2:]
    call.cancel()
    for wrong, code in (
        ({"developer_name": "No"}, "managed.subscription.developer.name.not.found"),
        ({}, "managed.subscription.id.or.developer.name.empty"),
    ):
        absent = Stream(client, opened())
        await absent.call.write(grpc_codec.message_class("ManagedFetchRequest")(num_requested=1, **wrong))
        assert (await absent.end())[1] == code
