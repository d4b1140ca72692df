"""Makes a restored database safe, before anything runs on it.

It is as old as its backup. A token that was revoked since would be valid again; runs, resyncs and alerts of then would
begin anew; and what waited then would be sent over what both sides have agreed on since. So all of that is stopped, and
a person lets it go on.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from connector.store import alerts, job_runs, job_schedules, resyncs, tokens
from connector.store.journal import command_line_actor
from connector.store.unit_of_work import UnitOfWork


@dataclass(frozen=True, kw_only=True, slots=True)
class Stopped:
    """What was stopped: jobs that were paused; the numbers of tokens that were revoked, runs that were ended, resyncs
    that were paused, messages of alerts that were given up."""

    jobs: tuple[str, ...]
    tokens: int
    runs: int
    resyncs: int
    alerts: int


async def stop_what_was_under_way(
    uow: UnitOfWork, jobs: Sequence[str], valid_digests: Collection[str] | None
) -> Stopped:
    """`jobs` are those that send what is due. `valid_digests`: those of the tokens that are valid in the former
    database, which alone stay valid; None: all tokens do."""
    revoked = 0
    if valid_digests is not None:
        for digest, name in (await tokens.list_unrevoked(uow.connection)).items():
            if digest not in valid_digests:
                revoked += await tokens.revoke(uow, name)
    for job in jobs:
        await job_schedules.set_paused(uow, job, True, actor=command_line_actor())
    error = "The database was restored from a backup that was made before this run had ended."
    fix = "`connector jobs run` runs the job again."
    ended = await job_runs.end_open(uow, error=error, fix=fix)
    paused = 0
    while active := await resyncs.list_active(uow.connection):
        for resync in active:
            paused += await resyncs.pause(uow, resync.id, actor=command_line_actor())
    given_up = await alerts.give_up_messages(uow, "The database was restored from a backup.")
    return Stopped(jobs=tuple(jobs), tokens=revoked, runs=ended, resyncs=paused, alerts=given_up)
