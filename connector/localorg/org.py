"""The org without HTTP: schema, rows, rules, tokens, counters and faults, wired together in one place."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connector.localorg import describe, org_schema
from connector.localorg.auth import Auth
from connector.localorg.bulk import JobStore
from connector.localorg.bulk.bulk_v1 import BulkV1Jobs
from connector.localorg.dml import Dml
from connector.localorg.errors import not_found
from connector.localorg.events.hub import EventHub
from connector.localorg.events.managed_subscriptions import ManagedSubscriptions
from connector.localorg.faults import Faults
from connector.localorg.field_values import format_timestamp
from connector.localorg.locks import RowLocks
from connector.localorg.metadata import field_security, permission_sets
from connector.localorg.metadata.deployments import Deployments, restore_deployed
from connector.localorg.metadata.first_metadata import first_metadata
from connector.localorg.schema import Schema
from connector.localorg.seed import (
    SeedRecords,
    check_triggers,
    insert_seed_records,
    resolve_settings,
    save_settings,
    seed_org,
)
from connector.localorg.settings import LACKED_BY_EVERY_PROFILE, OrgSettings, Trigger
from connector.localorg.soql.query_cursors import QueryCursors
from connector.localorg.storage import Change, Storage
from connector.localorg.tooling.view import ToolingQueries
from connector.localorg.usage import Usage
from connector.localorg.users import Identity


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class OrgOptions:
    """How an org starts.

    `data`: the file that keeps it; without it the org is in memory. `metadata_root`: the SFDX project that is deployed
    to it; without it the org is bare. `settings`: those of a new org, or those an existing one must have.
    """

    data: Path | None = None
    metadata_root: Path | None = None
    settings: OrgSettings | None = None
    records: SeedRecords | None = None
    jwt_public_key: str | None = None
    latency_ms: int = 0
    random_seed: int = 0
    clock: Callable[[], datetime] = utc_now


class Org:
    def __init__(self, options: OrgOptions) -> None:
        self.clock = clock = options.clock
        self.random = random.Random(options.random_seed)  # noqa: S311 - order of execution, nothing secret
        self.storage = Storage(options.data)
        self.settings, before = resolve_settings(self.storage, options.settings)
        self.deployed = first_metadata(self.settings, options.metadata_root)
        self.schema: Schema = self.deployed.schema
        if options.data is None:
            self.storage.copy_tables(self.schema)
        from_source = tuple(self.deployed.grants)
        restore_deployed(self.storage, self.deployed)
        try:
            save_settings(self.storage, self.settings, self.schema, before)
        except ValueError:
            self.storage.close()
            raise
        self.faults = Faults(latency_ms=options.latency_ms)
        self.locks = RowLocks(self.faults)
        self.dml = Dml(self.storage, self.schema, self.settings, clock, user_id="", locks=self.locks)
        identity: Identity = seed_org(self.dml)
        self.dml.faults = self.faults
        self.auth = Auth(self.storage, self.settings, clock, identity, jwt_public_key=options.jwt_public_key)
        self.usage = Usage(self.storage, clock, self.settings.api_limit)
        self.cursors = QueryCursors(self.random)
        self.jobs = JobStore(self.storage, clock)
        self.bulk_v1 = BulkV1Jobs(self.dml, lambda: self.now)
        self.hub = EventHub(self.dml, self.random, faults=self.faults, usage=self.usage)
        self.managed_subscriptions = ManagedSubscriptions(self.storage, self.hub)
        self._deployed_subscriptions: set[str] = set()
        self.deployments = Deployments(self.storage, self.deployed, clock, self.refresh)
        self.tooling = ToolingQueries(self.deployed, clock)
        self.retrievals: dict[str, tuple[bytes, list[tuple[str, str, str]], list[str]]] = {}  # zips by their request
        self.url = ""
        self.open_writes: list[datetime] = []  # when those began that are stamped and not committed
        self._describes: dict[tuple[str, str], dict[str, Any]] = {}
        self.schema_changed_at = clock()
        permission_sets.assign(self.dml, self.deployed, from_source)
        self.storage.commit_listeners.append(self._on_commit)
        self.refresh()
        try:
            check_triggers(self.dml, self.settings.triggers)
            insert_seed_records(self.dml, options.records or {})
        except ValueError:
            self.storage.close()
            raise

    def _on_commit(self, changes: list[Change]) -> None:
        if any(change.sobject == permission_sets.ASSIGNMENT for change in changes):
            self.storage.after_transaction.append(self.refresh)

    def refresh(self) -> None:
        """Update tables, plans, describes and events. Call it when the schema or a permission has changed."""
        permission_sets.sync_records(self.dml, self.deployed)
        assigned = permission_sets.assigned_to_user(self.dml, self.deployed)
        field_security.apply_field_security(self.schema, assigned)
        self.dml.missing_permissions = {*LACKED_BY_EVERY_PROFILE, *self.settings.profile_lacks}.difference(
            *(grant.permissions for grant in assigned)
        )
        org_schema.mirror_contact_fields(self.schema)
        self.dml.refresh()
        seed_org(self.dml)
        self.hub.refresh()
        self.hub.channels = {name: dict(members) for name, members in self.deployed.channels.items()}
        for name, item in self.deployed.subscriptions.items():
            self.managed_subscriptions.define(
                name, item.topic, starts=item.starts, recovers=item.recovers, state=item.state
            )
        for name in self._deployed_subscriptions - self.deployed.subscriptions.keys():
            self.managed_subscriptions.remove(name)
        self._deployed_subscriptions = set(self.deployed.subscriptions)
        self._describes.clear()
        self.tooling.stale = True
        self.schema_changed_at = self.clock()

    def set_triggers(self, triggers: list[Trigger]) -> None:
        """Replace the triggers. SeedError says what is wrong with them; then nothing changes."""
        check_triggers(self.dml, triggers)
        self.settings.triggers = triggers
        save_settings(self.storage, self.settings, self.schema, self.settings)

    def describe_sobject(self, sobject: str, version: str) -> dict[str, Any]:
        key = (sobject.lower(), version)
        result = self._describes.get(key)
        if result is None:
            definition = self.schema.get(sobject)
            if definition is None:
                raise not_found()
            types = list(self.dml.select("RecordType", '"SobjectType" = ? ORDER BY "Name"', definition.name))
            declared = self.settings.record_types.get(definition.name, ())
            result = self._describes[key] = describe.describe(
                self.schema,
                definition.name,
                version,
                record_types=types,
                default_record_type=next((item.name for item in declared if item.default), None),
                unavailable={item.name for item in declared if not item.available},
            )
        return result

    @property
    def acting(self) -> Identity:
        """The running user."""
        return self.auth.users.by_id(self.dml.user_id) or self.auth.identity

    @property
    def now(self) -> str:
        return format_timestamp(self.clock())

    def close(self) -> None:
        self.storage.close()
