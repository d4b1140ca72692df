"""What people do with resyncs: see beforehand what one would come to, ask for it, look, pause, resume, cancel."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from connector.errors import CommandError
from connector.jobs.resync import BATCH
from connector.model.change import EntityKind
from connector.model.resync import Priority, Resync, ResyncFilter, ResyncMode
from connector.model.stage import Stage
from connector.settings.salesforce import DEFAULT_ORG
from connector.store import mapping_versions, orgs, resyncs
from connector.store.engine import Store
from connector.store.queries import resync_selection
from connector.store.unit_of_work import UnitOfWork

MAX_KEYS = 1000
SAMPLE = 20
ROWS_A_CALL = 200
CALL_SECONDS = 2.0
"""What a call is reckoned to take at most, for the estimate of minutes."""
COMPARE_CALLS = 12
"""Calls of a comparison of a batch, besides those for its rows."""
_ERROR_CODE = re.compile(r"[A-Za-z0-9_:.-]{1,100}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ResyncPreview:
    """What a resync would come to. `calls_at_most`: if every entity differs; unchanged ones cost no write.
    `deliveries`: events that we get because of it: none, since our own changes are left out in the org. `unknown_keys`:
    the first of the given keys that nothing here has. `keys`: all that are chosen, if that was asked for and there are
    at most 1,000."""

    entity: str
    mode: str
    filter: Mapping[str, object]
    count: int
    sample: list[str]
    keys: list[str] | None
    unknown_keys: list[str]
    calls_at_most: int
    deliveries: int
    minutes_at_most: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ResyncView:
    """A resync and how far it is. `rate`: entities a second; `seconds_left`: by that rate."""

    id: int
    entity: str
    mode: str
    filter: Mapping[str, object]
    priority: str
    state: str
    actor: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    total: int
    done: int
    failed: int
    counts: Mapping[str, int]
    rate: float | None
    seconds_left: float | None
    error: str | None


def view_resync(resync: Resync, now: datetime) -> ResyncView:
    rate, left = resync.rate(now), resync.seconds_left(now)
    return ResyncView(
        id=resync.id,
        entity=resync.entity.value,
        mode=resync.mode.value,
        filter=resync.filter.as_document(),
        priority=resync.priority.value,
        state=resync.state.value,
        actor=resync.actor,
        created_at=resync.created_at,
        started_at=resync.started_at,
        ended_at=resync.ended_at,
        total=max(resync.total, resync.done),  # there may be more by now than when it was asked for
        done=resync.done,
        failed=resync.failed,
        counts=dict(resync.counts),
        rate=None if rate is None else round(rate, 2),
        seconds_left=None if left is None else round(left, 1),
        error=resync.error,
    )


def _refuse(field: str, message: str, hint: str) -> CommandError:
    return CommandError(message, hint=hint, field=field, rule="filter")


async def check_filter(store: Store, entity: EntityKind, chosen: ResyncFilter) -> None:
    """Raise CommandError for a filter that cannot be meant."""
    if chosen.org is not None:
        await _check_org(store, chosen.org)
    for since, until in (("changed_since", "changed_until"), ("refused_since", "refused_until")):
        begin, end = getattr(chosen, since), getattr(chosen, until)
        if begin is not None and end is not None and end <= begin:
            raise _refuse(until, f"{until}: is not later than {since}.", "Correct one of the two.")
    if len(chosen.keys) > MAX_KEYS:
        raise _refuse("keys", f"There are more than {MAX_KEYS} keys.", "Use a filter, or several resyncs.")
    if entity is not EntityKind.ORDER and (names := chosen.of_orders):
        raise _refuse(names[0], f"{names[0]}: only orders have this.", "Leave it out, or choose orders.")
    if chosen.stage is not None and chosen.stage not in set(Stage):
        raise _refuse("stage", f"stage: there is no stage {chosen.stage!r}.", f"Use one of {', '.join(Stage)}.")
    if chosen.customer is not None:
        async with store.reader() as connection:
            if await resync_selection.list_unknown(connection, EntityKind.CUSTOMER, [chosen.customer]):
                hint = "Correct the number: `connector show customer NUMBER` shows a customer."
                raise _refuse("customer", f"customer: there is no customer {chosen.customer!r}.", hint)
    if chosen.error is not None and _ERROR_CODE.fullmatch(chosen.error) is None:
        raise _refuse("error", "error: must be an error code.", "`connector dead-letters list` shows the codes.")
    if chosen.mapping_version is not None:
        async with store.reader() as connection:
            active = await mapping_versions.get_active(connection)
        if active is None or not 1 <= chosen.mapping_version <= active.number:
            latest = "none was active yet" if active is None else f"the latest one is {active.number}"
            raise _refuse(
                "mapping_version", f"There is no mapping version {chosen.mapping_version}.", f"Use another: {latest}."
            )


def _check_returns(chosen: ResyncFilter, mode: ResyncMode) -> None:
    """Raise CommandError unless refused returns are to be sent."""
    other = sorted({*chosen.as_document()} - {"error", "refused_since", "refused_until", "org"})
    if other or mode is not ResyncMode.PUSH or not chosen.of_refused:
        raise _refuse(
            "entity",
            "Only refused returns are chosen by filter, and only to be sent.",
            "Choose when they were refused; or use `connector resync return KEY…`, or resync their orders.",
        )


async def _check_org(store: Store, name: str) -> None:
    async with store.reader() as connection:
        names = [DEFAULT_ORG, *await orgs.list_named(connection)]
    if name not in names:
        raise _refuse(
            "org", f"org: there is no org {name!r}, or nobody signed in to it.", f"Use one of {', '.join(names)}."
        )


async def preview_resync(
    store: Store,
    entity: EntityKind,
    chosen: ResyncFilter,
    mode: ResyncMode,
    *,
    partitions: int,
    list_keys: bool = False,
) -> ResyncPreview:
    """What it would come to; with `list_keys` also for which entities. A store for one org means entities of that org.
    Raises CommandError for a filter that cannot be meant."""
    if entity is EntityKind.RETURN:
        _check_returns(chosen, mode)
    sends_products = entity is EntityKind.PRODUCT and mode is ResyncMode.PUSH
    if sends_products and chosen.org is not None:
        raise _refuse("org", "org: products are sent to every org.", "Leave it out.")
    if store.org is not None and chosen.org is None and not sends_products:
        async with store.reader() as connection:
            names_orgs = bool(store.org or await orgs.list_named(connection))
        chosen = replace(chosen, org=store.org or DEFAULT_ORG) if names_orgs else chosen
    await check_filter(store, entity, chosen)
    async with store.reader() as connection:
        count = await resync_selection.count(connection, entity, chosen)
        rows = count + await resync_selection.count_lines(connection, entity, chosen)
        is_listed = list_keys and count <= MAX_KEYS
        listed = MAX_KEYS if is_listed else SAMPLE
        keys = await resync_selection.list_keys(connection, entity, chosen, after=None, limit=listed)
        unknown_keys = await resync_selection.list_unknown(connection, entity, chosen.keys)
    batches = -(-count // BATCH)
    calls = -(-rows // ROWS_A_CALL)
    if mode is ResyncMode.PUSH:
        calls = (calls + batches * partitions) * (2 if chosen.keys else 1)
    elif mode is ResyncMode.COMPARE:
        calls += batches * COMPARE_CALLS
    calls = calls if count else 0
    return ResyncPreview(
        entity=entity.value,
        mode=mode.value,
        filter=chosen.as_document(),
        count=count,
        sample=keys[:SAMPLE],
        keys=list(keys) if is_listed else None,
        unknown_keys=unknown_keys[:SAMPLE],
        calls_at_most=calls,
        deliveries=0,
        minutes_at_most=round(calls * CALL_SECONDS / 60, 1),
    )


async def request_resync(store: Store, preview: ResyncPreview, *, priority: Priority, actor: str) -> Resync:
    """Ask for what the preview has shown; a worker begins within a second or two."""
    [asked] = await request_resyncs(store, [preview], priority=priority, actor=actor)
    return asked


async def request_resyncs(
    store: Store, previews: Sequence[ResyncPreview], *, priority: Priority, actor: str, request: str | None = None
) -> list[Resync]:
    """Ask for what these previews, of different kinds, have shown: for all of it or nothing. `request`: a key by which
    it is asked for once, however often this is called."""

    async def work(uow: UnitOfWork) -> list[Resync]:
        return [
            await resyncs.create(
                uow,
                EntityKind(preview.entity),
                ResyncFilter.read(preview.filter),
                mode=ResyncMode(preview.mode),
                priority=priority,
                total=preview.count,
                actor=actor,
                request=request,
            )
            for preview in previews
        ]

    return await store.transact(work)


async def change_resync(store: Store, number: int, action: str, *, actor: str) -> Resync:
    """`pause`, `resume` or `cancel` it. Raises CommandError if there is none, or if its state does not allow that."""
    change = {"pause": resyncs.pause, "resume": resyncs.resume, "cancel": resyncs.cancel}[action]
    async with store.transaction() as uow:
        changed = await change(uow, number, actor=actor)
        stored = await resyncs.get(uow.connection, number)
    if stored is None:
        raise CommandError(f"There is no resync {number}.", hint="List them.", field="id", rule="unknown")
    if not changed:
        raise CommandError(
            f"Resync {number} is {stored.state}: {action} is not possible now.",
            hint="Pause one that waits or runs, resume one that is paused, cancel one that has not ended.",
            field="state",
            rule="state",
        )
    return stored
