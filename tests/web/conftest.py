"""The API on a real database, asked over real HTTP with tokens of every role."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from connector.errors import SettingsError
from connector.jobs.conflict_resolution import ConflictResolver
from connector.jobs.doctor.examine import examine
from connector.jobs.doctor.shared_report import SharedReport
from connector.jobs.inbound_run import InboundJobContext
from connector.jobs.mappings.admin import MappingAdmin
from connector.jobs.schedule import define_jobs
from connector.jobs.undo import Undoer
from connector.mapping import MappingSet, load_mappings
from connector.model.role import Role
from connector.model.worker import Worker
from connector.notifications.composer import NotificationComposer
from connector.notifications.renderer import TemplateRenderer
from connector.openid.provider import OpenIdProvider
from connector.orders.policy.rules import Rules, standard
from connector.orders.service import OrderService
from connector.settings import Settings
from connector.store import stock, tokens, workers
from connector.store.engine import Store
from connector.web.app import PREFIX, AppServices, make_app
from connector.web.request_body import JSON
from tests.unit.store import samples
from tests.web.answer_types import check_answer

ORDER: dict[str, Any] = {
    "number": "W-1",
    "customer": "ALFKI",
    "placed_at": "2026-02-27T09:30:00Z",
    "currency": "USD",
    "channel": "web",
    "freight": "4.90",
    "ship_to_street": "Obere Str. 57",
    "ship_to_city": "Berlin",
    "ship_to_country": "Germany",
    "lines": [
        {"line": 1, "sku": "CHAI", "quantity": 2, "unit_price": 18},
        {"line": 2, "sku": "TOFU", "quantity": "1.5", "unit_price": "23.25", "discount": 0.15},
    ],
}


@dataclass
class Said:
    """An answer: status, body, headers."""

    status: int
    body: dict[str, Any]
    headers: Any


@dataclass
class Api:
    client: TestClient[Any, Any]
    store: Store
    secrets: dict[Role, str]

    async def __call__(
        self, method: str, path: str, body: Any = None, *, role: Role | None = Role.OPS, **more: Any
    ) -> Said:
        headers = dict(more.pop("headers", {}))
        if role is not None:
            headers.setdefault("Authorization", f"Bearer {self.secrets[role]}")
        if body is not None:
            more["json"] = body
        async with self.client.request(method, path if path[1:5] != "api/" and path in OPEN else PREFIX + path,
                                       headers=headers, **more) as answer:  # fmt: skip
            said = Said(answer.status, await answer.json(content_type=None), answer.headers.copy())
            if PREFIX in answer.url.path and answer.content_type == JSON:
                check_answer(method, answer.url.path, said.status, said.body)
            return said

    async def move(self, number: str = "W-1", **body: Any) -> Said:
        return await self("POST", f"/orders/{number}/transitions", body)


OPEN = {"/healthz", "/readyz", "/openapi.json"}


def _no_org(name: str) -> AbstractAsyncContextManager[InboundJobContext]:
    raise SettingsError("This process knows no org to compare with.", hint="Set one.")


async def _load_mappings() -> MappingSet:
    return load_mappings()


def app_on(
    store: Store,
    rules: Rules | None = None,
    composer: NotificationComposer | None = None,
    *,
    requests_per_minute: int = 0,
    openid: OpenIdProvider | None = None,
    undoer: Undoer | None = None,
    automation_seconds: float = 0,
) -> web.Application:
    """The application on `store`; without `rules` and `composer`, the ones we ship. `automation_seconds`: how often
    the service is to verify orders."""
    rules = rules or standard()
    composer = composer or NotificationComposer(renderer=TemplateRenderer(), billing=rules.billing)
    orders = OrderService(store, lambda: rules)
    resolver = ConflictResolver(store=store, orders=orders, mappings=_load_mappings)
    settings = _settings()
    services = AppServices(
        store=store,
        requests_per_minute=requests_per_minute,
        openid=openid,
        orders=orders,
        current_composer=lambda: composer,
        conflict_resolver=lambda: resolver,
        mappings=MappingAdmin(store=store, settings=settings),
        undoer=undoer or Undoer(open_org=_no_org),
        doctor=SharedReport(lambda: examine(settings, store, clock=store.clock), store.clock).get,
        jobs=define_jobs(_settings("https://org.example", automation_seconds)),
    )
    return make_app(services)


@cache
def _settings(login_url: str = "", automation_seconds: float = 0) -> Settings:
    return Settings.model_validate(
        {
            "_env_file": None,
            "salesforce": {"login_url": login_url} if login_url else {},
            "orders": {"automation_seconds": automation_seconds},
        }
    )


async def report_process(store: Store, *roles: str) -> None:
    """Let a process of the service with these roles be alive."""
    async with store.transaction() as uow:
        worker = Worker(
            id="1", host="shop", pid=7, roles=roles, engine="embedded", started_at=uow.now, seen_at=uow.now, alive=True
        )
        await workers.report(uow, worker, ttl=60)


@pytest.fixture
async def api(store: Store) -> AsyncIterator[Api]:
    await samples.stock(store)
    async with store.transaction() as uow:
        await stock.count(uow, {("CHAI", "EAST"): Decimal(50), ("TOFU", "WEST"): Decimal(50)})
        secrets = {role: await tokens.create(uow, f"{role} of tests", role) for role in Role}
    async with TestClient(TestServer(app_on(store))) as client:
        yield Api(client, store, secrets)
