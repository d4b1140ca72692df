"""Switches the database to another org, on a person's request."""

from __future__ import annotations

from connector.clock import Clock
from connector.errors import ConnectorError
from connector.jobs.org_identity import OrgSession, login_url, login_url_setting
from connector.jobs.resync import make_due
from connector.log import get_logger
from connector.outbound.lease_keeper import PRODUCT_LEASE, LeaseKeeper, another_push_error, lease_name
from connector.settings import Settings
from connector.store import journal, leases, orgs, outgoing_events
from connector.store.engine import Store
from connector.store.journal import JournalEntry, command_line_actor

log = get_logger(__name__)


async def use_org(
    store: Store, client: OrgSession, settings: Settings, expected_id: str, *, clock: Clock
) -> int | None:
    """Make the org that answers the active one, if it is `expected_id`. All entities become due, and are read back
    first.

    The links of the former org are kept. Returns the number of due entities; None if the database works with this org
    already.
    """
    org_id = await client.connect()
    if org_id[:15] != expected_id[:15]:
        setting = login_url_setting(settings)
        raise ConnectorError(
            f"{setting} leads to org {org_id} ({client.instance_url}), not to {expected_id}.",
            hint=f"Correct {setting}, or name the org that answers there.",
        )
    async with store.reader() as connection:
        active = await orgs.get_active(connection)
    if active is not None and active.org_id == org_id:
        return None
    sync = settings.sync
    async with LeaseKeeper(store, partitions=sync.partitions, ttl=sync.lease_seconds, clock=clock) as worker:
        await worker.acquire_all([PRODUCT_LEASE, *map(lease_name, range(sync.partitions))])  # no other push is running
        # Due before active: if the process is killed in between, the former org is only read back once more.
        number = await make_due(store, None, [], unconfirmed=True)
        async with store.transaction() as uow:
            if await leases.list_lost(uow, worker.held_leases):
                raise another_push_error()
            url, instance = login_url(settings), client.instance_url
            await outgoing_events.clear(uow)  # they tell of records of the former org
            await orgs.put(uow, org_id, login_url=url, instance_url=instance, is_active=True)
            detail = {"before": active.org_id if active else None, "due": number}
            entry = JournalEntry(
                entity="org", key=org_id, action="used", detail=detail, org_id=org_id, actor=command_line_actor()
            )
            await journal.write(uow, [entry])
    log.info("org changed", org=org_id, before=active.org_id if active else None, due=number)
    return number
