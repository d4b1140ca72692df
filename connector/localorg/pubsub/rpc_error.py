"""Errors of the Pub/Sub API: a gRPC status, and an error code in the trailers that clients match."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

CODE_PREFIX = "sfdc.platform.eventbus.grpc."


class RpcError(Exception):
    def __init__(self, status: grpc.StatusCode, code: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code

    async def abort(self, context: Context, rpc_id: str = "") -> None:
        rpc_id = rpc_id or str(uuid.uuid4())
        trailers = (("error-code", CODE_PREFIX + self.code), ("rpc-id", rpc_id))
        await context.abort(self.status, f"{self} rpcId: {rpc_id}", trailers)


def invalid_argument(code: str, text: str) -> RpcError:
    return RpcError(grpc.StatusCode.INVALID_ARGUMENT, code, text)


def topic_not_found(topic: str) -> RpcError:
    text = f"The topic {topic[:200]} was not found, or the user has no permission for it."
    return RpcError(grpc.StatusCode.NOT_FOUND, "topic.not.found", text)
