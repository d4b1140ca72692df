"""Entities that are read and put by their key: the shared handlers of customers and products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

from connector.api.serializers import JsonObject
from connector.store.engine import Connection
from connector.store.sql import Saved
from connector.store.unit_of_work import UnitOfWork
from connector.web.pagination import load_page
from connector.web.preconditions import check_version, condition_of, etag, failed_precondition
from connector.web.problem import ProblemError
from connector.web.routing import ApiResponse, RequestContext, matching_path_key

E = TypeVar("E")


class PutBody(Protocol):
    """An entity as a whole. `key`: its key, if the body names it; `version`: put it only if it is still that one."""

    @property
    def key(self) -> str | None: ...

    @property
    def version(self) -> int | None: ...


B = TypeVar("B", bound=PutBody)


class ResourceStore(Protocol[E]):
    """The store functions of such an entity; a module of `connector.store` provides them."""

    async def list_keys(self, connection: Connection, /, *, after: str | None, limit: int) -> list[str]: ...

    async def load(self, connection: Connection, keys: Sequence[str], /) -> list[E]: ...

    async def versions(
        self, connection: Connection, keys: Sequence[str], /, *, lock: bool = False
    ) -> dict[str, int]: ...

    async def save(self, uow: UnitOfWork, items: Sequence[E], /) -> Saved: ...


@dataclass(frozen=True, kw_only=True)
class KeyedResource(Generic[E, B]):
    """`noun`: the entity's name; `key`: its key field; `build`: makes it from a body and key; `serialize`: returns its
    JSON value with its version."""

    noun: str
    key: str
    stored: ResourceStore[E]
    build: Callable[[B, str], E]
    serialize: Callable[[E, int], JsonObject]

    async def list_items(self, call: RequestContext) -> ApiResponse:
        async with call.store.reader() as connection:
            keys, following = await load_page(call, partial(self.stored.list_keys, connection))
            items = await self.stored.load(connection, keys)
            versions = await self.stored.versions(connection, keys)
        values = [self.serialize(item, versions[key]) for key, item in zip(keys, items, strict=True)]
        return ApiResponse(value={f"{self.noun}s": values, "after": following})

    async def get_item(self, call: RequestContext) -> ApiResponse:
        key = call.path_key(self.key)
        async with call.store.reader() as connection:
            items = await self.stored.load(connection, [key])
            versions = await self.stored.versions(connection, [key])
        if not items:
            raise ProblemError(404, "unknown", f"There is no {self.noun} {key}.", field=self.key)
        return self._respond(items[0], versions[key])

    async def put_item(self, call: RequestContext, body: B) -> ApiResponse:
        """Create the entity or replace it by the body. A body equal to the stored entity changes nothing."""
        key = matching_path_key(call, self.key, body.key)
        condition = condition_of(call.request.headers)
        what = f"{self.noun.capitalize()} {key}"

        async def save_item(uow: UnitOfWork) -> ApiResponse:
            current = (await self.stored.versions(uow.connection, [key], lock=True)).get(key)
            condition.check(current, what)
            check_version(current, body.version, what)
            saved = await self.stored.save(uow, [self.build(body, key)])
            if condition.must_be_new and not saved.created:  # another request was faster
                raise failed_precondition("If-None-Match", f"{what} exists already.")
            [item] = await self.stored.load(uow.connection, [key])
            version = (await self.stored.versions(uow.connection, [key]))[key]
            return self._respond(item, version, created=bool(saved.created))

        return await call.store.transact(save_item)

    def _respond(self, item: E, version: int, *, created: bool = False) -> ApiResponse:
        return ApiResponse(value=self.serialize(item, version), status=201 if created else 200, headers=etag(version))
