"""A Pub/Sub client for the tests: raw gRPC with the documented headers and flow control."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import fastavro
import grpc

from connector.localorg.pubsub import grpc_codec
from connector.localorg.server import LocalOrg

SOON = 5.0


class Client:
    """The calls of one user over one channel."""

    def __init__(self, org: LocalOrg, channel: grpc.aio.Channel) -> None:
        self.org = org
        self.channel = channel
        self.schemas: dict[str, Any] = {}

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        return (
            ("accesstoken", self.org.access_token),
            ("instanceurl", self.org.url),
            ("tenantid", self.org.org.auth.identity.organization_id),
        )

    def rpc(self, name: str) -> Any:
        request, response, streams, _ = grpc_codec.METHODS[name]
        make = self.channel.stream_stream if streams else self.channel.unary_unary
        return make(
            f"/{grpc_codec.SERVICE}/{name}",
            request_serializer=grpc_codec.message_class(request).SerializeToString,
            response_deserializer=grpc_codec.message_class(response).FromString,
        )

    async def topic(self, name: str) -> Any:
        return await self.rpc("GetTopic")(
            grpc_codec.message_class("TopicRequest")(topic_name=name), metadata=self.headers
        )

    async def schema(self, schema_id: str) -> Any:
        if schema_id not in self.schemas:
            result = await self.rpc("GetSchema")(
                grpc_codec.message_class("SchemaRequest")(schema_id=schema_id), metadata=self.headers
            )
            self.schemas[schema_id] = fastavro.parse_schema(json.loads(result.schema_json))
        return self.schemas[schema_id]

    async def publish(self, topic: str, *events: tuple[str, bytes], schema_id: str) -> Any:
        created = [
            grpc_codec.message_class("ProducerEvent")(id=name, schema_id=schema_id, payload=body)
            for name, body in events
        ]
        return await self.rpc("Publish")(
            grpc_codec.message_class("PublishRequest")(topic_name=topic, events=created), metadata=self.headers
        )

    async def encoded(self, schema_id: str, **values: Any) -> bytes:
        buffer = io.BytesIO()
        fastavro.schemaless_writer(buffer, await self.schema(schema_id), values)
        return buffer.getvalue()

    async def decoded(self, event: Any) -> dict[str, Any]:
        schema = await self.schema(event.event.schema_id)
        return dict(fastavro.schemaless_reader(io.BytesIO(event.event.payload), schema, None))  # type: ignore[arg-type]

    @asynccontextmanager
    async def subscribed(self, topic: str, *, count: int = 100, **start: Any) -> AsyncIterator[Stream]:
        """Open a stream that has requested `count` events and is subscribed when the block begins."""
        stream = Stream(self, self.rpc("Subscribe")(metadata=self.headers))
        try:
            await stream.ask(count, topic_name=topic, **start)
            await self.topic(topic)  # answered after the stream's request was read
            yield stream
        finally:
            stream.call.cancel()


class Stream:
    def __init__(self, client: Client, call: Any) -> None:
        self.client = client
        self.call = call

    async def ask(self, count: int, **more: Any) -> None:
        await self.call.write(grpc_codec.message_class("FetchRequest")(num_requested=count, **more))

    async def next(self) -> Any:
        async with asyncio.timeout(SOON):
            answer = await self.call.read()
        if answer is grpc.aio.EOF:
            raise EOFError
        return answer

    async def events(self, count: int) -> list[tuple[dict[str, Any], bytes]]:
        """Read a number of events as (payload, replay ID)."""
        found: list[tuple[dict[str, Any], bytes]] = []
        while len(found) < count:
            answer = await self.next()
            found += [(await self.client.decoded(event), event.replay_id) for event in answer.events]
        return found

    async def end(self) -> tuple[grpc.StatusCode, str]:
        """Return status and error code of a stream that ends."""
        async with asyncio.timeout(SOON):
            try:
                while await self.call.read() is not grpc.aio.EOF:
                    pass
            except grpc.aio.AioRpcError:
                pass
            return await self.call.code(), code_of(await self.call.trailing_metadata())


def code_of(trailers: Any) -> str:
    result = {str(key): str(value) for key, value in trailers or ()}
    return result.get("error-code", "").removeprefix("sfdc.platform.eventbus.grpc.")


async def failure(call: Any) -> tuple[grpc.StatusCode, str]:
    """Return status and error code of a unary call that must fail."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code(), code_of(error.trailing_metadata())
    raise AssertionError("the call was answered")
