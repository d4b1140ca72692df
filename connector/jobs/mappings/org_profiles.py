"""What the orgs said of themselves when they were last asked, for checks of mappings; and asks them again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from connector.errors import ConnectorError, SettingsError
from connector.jobs.org_identity import confirm_org
from connector.log import get_logger
from connector.mapping.lint import LintOrg
from connector.model.change import EntityKind
from connector.model.lane import Lane
from connector.outbound.org_discovery import discover_org, get_flag, load_stored_profile
from connector.outbound.org_profile import OrgProfile
from connector.outbound.org_state import Reader
from connector.outbound.return_strategy import FIELD as REDUCTION
from connector.salesforce.call_gate import calls_in
from connector.settings import Settings
from connector.settings.salesforce import Returns
from connector.store import api_calls, orgs
from connector.store.engine import Store
from connector.store.queries.entity_counts import count_entities

if TYPE_CHECKING:  # it loads the HTTP client
    from connector.salesforce.client import SalesforceClient

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredOrg:
    """An org by its name in the settings, and its profile as of `fetched_at`. `store` works for this org."""

    name: str
    store: Store
    profile: OrgProfile
    fetched_at: datetime

    async def for_lint(self, settings: Settings) -> LintOrg:
        """What lint needs of it."""
        setting, profile = settings.salesforce.returns, self.profile
        returns: str | None = "return_order" if setting is Returns.RETURN_ORDER else "return"
        if setting is Returns.FIELDS or (
            setting is Returns.AUTO and await get_flag(self.store, profile.org_id, REDUCTION) is False
        ):
            returns = None
        async with self.store.reader() as connection:
            expected = setting is not Returns.AUTO or bool((await count_entities(connection))[EntityKind.RETURN])
        return LintOrg(
            describes=profile.describes,
            person_types=profile.person_types,
            persons=profile.person_type is not None,
            returns=returns,
            returns_expected=expected,
        )


async def load_stored_orgs(store: Store, settings: Settings) -> list[StoredOrg]:
    """The orgs of the settings that were asked before. No call is made."""
    found = []
    for name in settings.org_names:
        own = store.for_org(name)
        async with own.reader() as connection:
            org = await orgs.get_active(connection)
            stored = None if org is None else await load_stored_profile(connection, org.org_id)
        if stored is not None:
            found.append(StoredOrg(name=name, store=own, profile=stored[0], fetched_at=stored[1]))
    return found


async def refresh_orgs(store: Store, settings: Settings) -> list[StoredOrg]:
    """Ask each org of the settings what it is like; of one that cannot be asked, what it said before counts."""
    for name in settings.org_names:
        own = settings.for_org(name)
        if own.salesforce.login_url:
            try:
                await _refresh(store.for_org(name), own)
            except ConnectorError as error:
                log.info("org was not asked again", org=name, error=str(error))
    return await load_stored_orgs(store, settings)


async def _refresh(store: Store, settings: Settings) -> None:
    async with _signed_in(store, settings) as (client, org_id):
        await discover_org(store, client, org_id, settings=settings.salesforce, refresh=True)


@asynccontextmanager
async def open_reader(settings: Settings, org: StoredOrg) -> AsyncIterator[Reader]:
    """Sign in to an org that is known. Raises ConnectorError if it cannot be asked, or is another one by now."""
    own = settings.for_org(org.name)
    if not own.salesforce.login_url:
        raise SettingsError("This process has no sign-in for the org.", hint="Use one that has it.")
    async with _signed_in(org.store, own) as (client, _):
        yield client


@asynccontextmanager
async def _signed_in(store: Store, settings: Settings) -> AsyncIterator[tuple[SalesforceClient, str]]:
    from connector.jobs.api_budget import ApiBudget
    from connector.salesforce.client import SalesforceClient

    async with ApiBudget(store, api_calls.policy_of(settings.budget)) as budget:
        client = SalesforceClient(settings.salesforce, clock=store.clock, attempts=1, gate=budget)
        async with client:
            with calls_in(Lane.STATUS, exempt=True):
                yield client, await confirm_org(store, client, settings)
