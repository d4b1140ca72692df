"""Deletes what nobody needs any more, by the settings `CONNECTOR_RETENTION__*`, and repairs what is stored to be found;
the service does so every hour.

It is done in small transactions, so that other writers hardly wait; two processes that do it at once are no harm.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta

from connector.errors import StoreError
from connector.jobs.schedule import PRUNE_SECONDS, define_jobs
from connector.log import get_logger
from connector.settings import Settings
from connector.store import change_notices, derived_rows, job_runs, sync_delays
from connector.store.engine import Store
from connector.store.retention import Retention, delete_expired

BATCH = 1000
"""Rows that are deleted in one transaction."""
LONGEST_WAIT = timedelta(days=1)
"""How long a run waits that somebody asked for, of a job that the settings turn off."""
MAX_BATCHES = 1000
"""Batches of one kind in one run; further rows wait for the next run."""

log = get_logger(__name__)


def retention_of(settings: Settings) -> Retention:
    """How long each kind of row is kept."""
    days = settings.retention
    return Retention(
        sent_notices=timedelta(days=settings.webhooks.keep_days),
        failed_notices=timedelta(days=days.failed_notice_days),
        actions=timedelta(days=days.action_days),
        refused_events=timedelta(days=days.refused_event_days),
        conflicts=timedelta(days=days.conflict_days),
        topic_history=timedelta(days=days.topic_history_days),
        job_runs=timedelta(days=days.job_run_days),
        idle_job_runs=timedelta(days=days.idle_run_days),
        sent_messages=timedelta(days=days.message_days),
        resyncs=timedelta(days=days.resync_days),
        causes=timedelta(days=days.cause_days),
        undos=timedelta(days=days.resync_days),
        alerts=timedelta(days=days.job_run_days),
        journal_values=timedelta(days=days.journal_value_days),
        journal=timedelta(days=days.journal_days),
        audit=timedelta(days=days.audit_days),
    )


async def prune(store: Store, settings: Settings) -> dict[str, int]:
    """Delete what is older than its retention, and return how many rows there were, by kind.

    Notices that could not be sent in time fail first, also if there is no webhook any more, and runs of jobs that were
    turned off.
    """
    retention = retention_of(settings)
    async with store.transaction() as uow:
        await change_notices.expire(uow, timedelta(hours=settings.webhooks.expire_hours))
        await job_runs.give_up_waiting(uow, [job.name for job in define_jobs(settings)], age=LONGEST_WAIT)
        await sync_delays.delete_old(uow)
    deleted = {}
    for field in fields(retention):
        deleted[field.name] = 0
        for _ in range(MAX_BATCHES):
            async with store.transaction() as uow:
                number = await delete_expired(uow, field.name, getattr(retention, field.name), BATCH)
            deleted[field.name] += number
            if number < BATCH:
                break
    if any(deleted.values()):
        log.info("pruned", **{kind: number for kind, number in deleted.items() if number})
    return deleted


async def repair(store: Store) -> dict[str, int]:
    """Repair what is stored only to be found, where it does not fit; return how many rows, by kind: normally none."""
    repaired = await derived_rows.repair(store)
    if any(repaired.values()):
        log.warning("repaired", **{kind: number for kind, number in repaired.items() if number})
    return repaired


async def prune_regularly(store: Store, settings: Settings) -> None:
    """Do so every hour until canceled."""
    while True:
        try:
            await prune(store, settings)
            await repair(store)
        except StoreError as error:
            log.warning("prune_failed", error=error.message)
        await store.clock.sleep(PRUNE_SECONDS)
