"""The org without its HTTP face: schema, rows, rules, tokens, counters and faults, put together once."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connector.localorg import catalog, describe, metadata
from connector.localorg.auth import Auth, Identity
from connector.localorg.bulk import Jobs
from connector.localorg.dml import Dml
from connector.localorg.errors import not_found
from connector.localorg.events.hub import Hub
from connector.localorg.events.managed import Managed
from connector.localorg.faults import Faults
from connector.localorg.http.query import Cursors
from connector.localorg.schema import Schema
from connector.localorg.seed import seed
from connector.localorg.settings import OrgSettings
from connector.localorg.storage import Storage
from connector.localorg.usage import Usage
from connector.localorg.values import stamp


def utc_now() -> datetime:
    return datetime.now(UTC)


class Org:
    def __init__(
        self,
        *,
        data: Path | None = None,
        metadata_root: Path | None = None,
        settings: OrgSettings | None = None,
        jwt_public_key: str | None = None,
        latency_ms: int = 0,
        random_seed: int = 0,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.settings = settings or OrgSettings()
        self.clock = clock
        self.random = random.Random(random_seed)  # noqa: S311 - order of execution, nothing secret
        self.schema: Schema = catalog.standard_schema(multi_currency=self.settings.multi_currency)
        self.deployed: list[str] = metadata.load_source(self.schema, metadata_root) if metadata_root else []
        self.storage = Storage(data)
        self.dml = Dml(self.storage, self.schema, self.settings, clock, user_id="")
        identity: Identity = seed(self.dml)
        self.dml.user_id = identity.user_id
        self.auth = Auth(self.storage, self.settings, clock, identity, jwt_public_key=jwt_public_key)
        self.usage = Usage(self.storage, clock, self.settings.api_limit)
        self.faults = Faults(latency_ms=latency_ms)
        self.cursors = Cursors(self.random)
        self.jobs = Jobs(self.storage, clock)
        self.hub = Hub(self.storage, self.schema, self.dml, clock, self.random, faults=self.faults, usage=self.usage)
        self.managed = Managed(self.storage, self.hub)
        self.url = ""
        self._described: dict[tuple[str, str], dict[str, Any]] = {}
        self.schema_changed_at = clock()

    def refresh(self) -> None:
        """To be called whenever the schema changed: tables, plans and describes follow."""
        self.dml.refresh()
        seed(self.dml)
        self.hub.refresh()
        self._described.clear()
        self.schema_changed_at = self.clock()

    def described(self, sobject: str, version: str) -> dict[str, Any]:
        key = (sobject.lower(), version)
        found = self._described.get(key)
        if found is None:
            if self.schema.get(sobject) is None:
                raise not_found()
            found = self._described[key] = describe.describe(self.schema, sobject, version)
        return found

    @property
    def now(self) -> str:
        return stamp(self.clock())

    def close(self) -> None:
        self.storage.close()
