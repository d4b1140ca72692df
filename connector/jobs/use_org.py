"""Works with another org from now on, because a person has said so."""

from __future__ import annotations

import structlog

from connector.clock import Clock
from connector.errors import ConnectorError, StoreError
from connector.jobs.org import SETTING, SignedIn, login_url
from connector.jobs.resync import make_due
from connector.outbound.leasing import CATALOG, Worker, lease_of
from connector.settings import Settings
from connector.store import leases, orgs
from connector.store.engine import Store

PATIENCE = 5.0
"""Seconds beyond one lease time to wait for others that are at work."""

POLL = 0.25

log = structlog.get_logger(__name__)


async def use_org(store: Store, client: SignedIn, settings: Settings, wanted: str, *, clock: Clock) -> int | None:
    """Work with the org that answers from now on, if it is `wanted`: everything is due for it, and looked at first.

    The links of the org before are kept. How many entities are due; None if the database works with this org already.
    """
    org_id = await client.connect()
    if org_id[:15] != wanted[:15]:
        raise ConnectorError(
            f"{SETTING} leads to org {org_id} ({client.instance_url}), not to {wanted}.",
            hint=f"Correct {SETTING}, or name the org that answers there.",
        )
    async with store.reader() as connection:
        known = await orgs.active(connection)
    if known is not None and known.org_id == org_id:
        return None
    sync = settings.sync
    async with Worker(store, partitions=sync.partitions, ttl=sync.lease_seconds, clock=clock) as worker:
        await _take_all(worker, sync.partitions, sync.lease_seconds, clock)
        # Due before active: if we are killed in between, the org before is looked at once more, and nothing is lost.
        number = await make_due(store, None, [], unsure=True)
        async with store.transaction() as uow:
            if await leases.lost(uow, worker.terms):
                raise _busy()
            url, instance = login_url(settings), client.instance_url
            await orgs.put(uow, org_id, login_url=url, instance_url=instance, is_active=True)
    log.warning("org changed", org=org_id, before=known.org_id if known else None, due=number)
    return number


async def _take_all(worker: Worker, partitions: int, ttl: float, clock: Clock) -> None:
    """Nobody else is at work on the database; StoreError if somebody stays at it."""
    names = [CATALOG, *(lease_of(number) for number in range(partitions))]
    for _ in range(int((ttl + PATIENCE) / POLL) + 1):
        await worker.take([name for name in names if name not in worker.terms])
        if all(name in worker.terms for name in names):
            return
        await clock.sleep(POLL)
    raise _busy()


def _busy() -> StoreError:
    return StoreError("Another push is at work on this database.", hint="Let it finish or stop it, then try again.")
