"""Entities that are read, and put as a whole, by their key: one way for customers and products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from connector.store.engine import Connection
from connector.store.sql import Saved
from connector.store.unit_of_work import UnitOfWork
from connector.web.pagination import page
from connector.web.preconditions import condition_of, etag, failed_precondition, same_version
from connector.web.problem import ProblemError
from connector.web.routing import ApiResponse, RequestContext, named

E = TypeVar("E")


class Stored(Protocol[E]):
    """What the store does for such an entity: a module of `connector.store`."""

    async def list_keys(self, connection: Connection, /, *, after: str | None, limit: int) -> list[str]: ...

    async def load(self, connection: Connection, keys: Sequence[str], /) -> list[E]: ...

    async def versions(
        self, connection: Connection, keys: Sequence[str], /, *, lock: bool = False
    ) -> dict[str, int]: ...

    async def save(self, uow: UnitOfWork, items: Sequence[E], /) -> Saved: ...


@dataclass(frozen=True, kw_only=True)
class KeyedResource(Generic[E]):
    """`noun` names one of them and `key` what it is known by; `made` makes one of a body, `said` tells one with its
    version."""

    noun: str
    key: str
    stored: Stored[E]
    made: Callable[[Any, str], E]
    said: Callable[[E, int], dict[str, Any]]

    async def every(self, call: RequestContext) -> ApiResponse:
        async with call.store.reader() as connection:
            keys, following = await page(call, partial(self.stored.list_keys, connection))
            found = await self.stored.load(connection, keys)
            versions = await self.stored.versions(connection, keys)
        said = [self.said(item, versions[key]) for key, item in zip(keys, found, strict=True)]
        return ApiResponse(value={f"{self.noun}s": said, "after": following})

    async def one(self, call: RequestContext) -> ApiResponse:
        key = call.at(self.key)
        async with call.store.reader() as connection:
            found = await self.stored.load(connection, [key])
            versions = await self.stored.versions(connection, [key])
        if not found:
            raise ProblemError(404, "unknown", f"There is no {self.noun} {key}.", field=self.key)
        return self._answer(found[0], versions[key])

    async def put(self, call: RequestContext) -> ApiResponse:
        """As the body says, whatever was there; equal to what is stored, it changes nothing."""
        key = named(call, self.key, getattr(call.body, self.key))
        condition = condition_of(call.request.headers)
        what = f"{self.noun.capitalize()} {key}"

        async def work(uow: UnitOfWork) -> ApiResponse:
            known = (await self.stored.versions(uow.connection, [key], lock=True)).get(key)
            condition.check(known, what)
            same_version(known, call.body.version, what)
            saved = await self.stored.save(uow, [self.made(call.body, key)])
            if condition.new and not saved.created:  # somebody else was quicker
                raise failed_precondition("If-None-Match", f"{what} is there already.")
            [found] = await self.stored.load(uow.connection, [key])
            version = (await self.stored.versions(uow.connection, [key]))[key]
            return self._answer(found, version, created=bool(saved.created))

        return await call.store.transact(work)

    def _answer(self, item: E, version: int, *, created: bool = False) -> ApiResponse:
        return ApiResponse(value=self.said(item, version), status=201 if created else 200, headers=etag(version))
