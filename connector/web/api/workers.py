"""Workers: the processes of the service, and what each of them holds."""

from __future__ import annotations

from dataclasses import dataclass

from connector.model.role import Role
from connector.model.worker import Worker
from connector.store import workers
from connector.web.routing import ApiResponse, RequestContext, Route


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerList:
    workers: list[Worker]


async def get_workers(call: RequestContext) -> ApiResponse:
    async with call.store.reader() as connection:
        found = await workers.list_workers(connection, call.store.clock.now())
    return ApiResponse(value=WorkerList(workers=found))


ROUTES = (
    Route(method="GET", path="/workers", role=Role.VIEWER, handler=get_workers, result=WorkerList,
          summary="The processes of the service, with their roles and what each holds; dead ones for a day."),
)  # fmt: skip
