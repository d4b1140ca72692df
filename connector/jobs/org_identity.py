"""Checks which org answers, and whether it is the one that this database works with.

Links say which record belongs to which entity, and record IDs mean nothing in another org: a refreshed sandbox, or
production instead of a sandbox. So nothing is read or sent until a person has confirmed the other org.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from connector.errors import ConnectorError, OtherOrgError, RetryClass, SettingsError, StoreError
from connector.log import bind, get_logger
from connector.model.change import EntityKind
from connector.model.lane import Lane
from connector.settings import Settings
from connector.store import orgs, products, schema
from connector.store.engine import Store
from connector.store.orgs import KnownOrg
from connector.store.partitions import slot_of_key
from connector.store.queries.entity_orgs import find_orgs

log = get_logger(__name__)


class OrgSession(Protocol):
    async def connect(self) -> str: ...

    @property
    def instance_url(self) -> str: ...


def login_url_setting(settings: Settings) -> str:
    """Return the name of the setting with the login URL."""
    return settings.salesforce.full_name("login_url")


def login_url(settings: Settings) -> str:
    """Return the login URL as it is stored: in lower case and without a final slash."""
    return settings.salesforce.login_url.strip().rstrip("/").lower()


async def confirm_org(store: Store, client: OrgSession, settings: Settings) -> str:
    """Sign in, and return the ID of the org that the database works with. The first org that answers becomes that org.

    Raises OtherOrgError if another org answers, AuthError or TransportError if the sign-in fails.
    """
    org_id, url = await client.connect(), login_url(settings)
    bind(org=org_id)
    async with store.single_reader() as connection:
        related = await orgs.find_related(connection, org_id, url)
    active, latest = related.active, related.latest
    if related.name not in {None, settings.org}:
        raise shared_org_error(org_id, settings)
    is_active = active is None or active.org_id == org_id
    is_recorded = latest is not None and (latest.org_id, latest.instance_url) == (org_id, client.instance_url)
    if not is_recorded or active is None:
        async with store.transaction() as uow:
            # Every part of a new service gets here at once; the first one says so.
            known = await orgs.find_by_login_url(uow.connection, url)
            await orgs.put(uow, org_id, login_url=url, instance_url=client.instance_url, is_active=is_active)
            if active is None and settings.org:
                async for sku in products.keys(uow.connection):  # captured before the org was known
                    uow.changed(EntityKind.PRODUCT, sku, slot_of_key(sku), Lane.BACKFILL, unconfirmed=True)
        if known is None or (known.org_id, known.instance_url) != (org_id, client.instance_url):
            log.info("org answers", org=org_id, address=client.instance_url, active=is_active)
    if active is not None and not is_active:
        raise other_org_error(org_id, client.instance_url, active, settings)
    return org_id


async def check_belongs_here(store: Store, kind: EntityKind, keys: Sequence[str]) -> None:
    """Raise ConnectorError if one of these entities belongs to another org than the store works for."""
    if store.org is None:
        return
    async with store.reader() as connection:
        names = await find_orgs(connection, kind, keys)
    for key, name in names.items():
        if name != store.org:
            hint = f"Begin the command with CONNECTOR_ORG={name}." if name else "Leave CONNECTOR_ORG out."
            org = f"org {name}" if name else "default org"
            raise ConnectorError(f"{kind.capitalize()} {key} belongs to the {org}.", hint=hint)


async def describe_other_org(store: Store, client: OrgSession, settings: Settings) -> str | None:
    """Sign in, and say that another org answers than the one that the database works with; None if it does not, or if
    there is no database yet."""
    org_id = await client.connect()
    try:
        await schema.check(store)
        async with store.for_org(settings.org).reader() as connection:
            active = await orgs.get_active(connection)
    except StoreError:
        return None
    return (
        None
        if active is None or active.org_id == org_id
        else _leads_elsewhere(org_id, client.instance_url, active, settings)
    )


def shared_org_error(org_id: str, settings: Settings) -> SettingsError:
    """The error if an org answers that has another name here."""
    return SettingsError(
        f"{login_url_setting(settings)} leads to org {org_id}, which has another name here. Nothing was sent.",
        hint="Each CONNECTOR_ORGS__NAME__LOGIN_URL, and CONNECTOR_SALESFORCE__LOGIN_URL, needs an org of its own.",
    )


def other_org_error(org_id: str, instance_url: str, active: KnownOrg, settings: Settings) -> OtherOrgError:
    """The error if org `org_id` answers, and the database works with `active`."""
    return OtherOrgError(
        f"{_leads_elsewhere(org_id, instance_url, active, settings)} Nothing was sent.",
        hint=f"To change to that org, run `connector org use {org_id}`; else correct {login_url_setting(settings)}.",
        retry_class=RetryClass.CONFIG,
    )


def _leads_elsewhere(org_id: str, instance_url: str, active: KnownOrg, settings: Settings) -> str:
    setting = login_url_setting(settings)
    return f"{setting} leads to org {org_id} ({instance_url}), but this database works with {describe_org(active)}."


def describe_org(org: KnownOrg) -> str:
    return f"org {org.org_id} ({org.instance_url})" if org.instance_url else f"org {org.org_id}"
