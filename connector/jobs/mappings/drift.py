"""The drift watcher: says what an admin's change in an org will break in the active mappings, before it breaks.

It makes no call: it looks at what the org said of itself when it was last asked, which is at most an hour ago while
records are sent or read. That is compared with what it said when the active version was new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from connector.jobs.mappings.org_profiles import StoredOrg, load_stored_orgs
from connector.log import get_logger
from connector.mapping.drift import find_drift
from connector.mapping.lint import LintOrg
from connector.mapping.problems import Level
from connector.mapping.text_folder import Texts
from connector.model.mapping_drift import Drift
from connector.outbound.org_discovery import read_profile, with_former_shapes
from connector.settings import Settings
from connector.store import journal, mapping_drifts, org_metadata
from connector.store import mapping_versions as versions
from connector.store.engine import Store
from connector.store.journal import JournalEntry
from connector.store.mapping_drifts import Baseline

log = get_logger("mappings")


@dataclass(frozen=True, kw_only=True, slots=True)
class DriftReport:
    """How many changes were found that were not known, and how many known ones are gone."""

    found: int = 0
    healed: int = 0

    def __bool__(self) -> bool:
        return bool(self.found or self.healed)


@dataclass(frozen=True, kw_only=True, slots=True)
class DriftView:
    """A change in an org, by the name of the org in the settings; the default one's is empty."""

    id: int
    org: str
    level: str
    kind: str
    sobject: str
    field: str
    text: str
    places: list[str]
    first_seen: datetime
    healed_at: datetime | None


async def watch_drift(store: Store, settings: Settings) -> DriftReport:
    """Look at each org that is known, and store what was found."""
    async with store.reader() as connection:
        active = await versions.get_active(connection)
        texts = None if active is None else await versions.get_texts(connection, active.digest)
    if active is None or texts is None:
        return DriftReport()
    found = healed = 0
    for org in await load_stored_orgs(store, settings):
        drifts = await _compare(org, settings, texts, active.number)
        async with org.store.transaction() as uow:
            new, gone = await mapping_drifts.record(uow, org.profile.org_id, drifts)
        found, healed = found + new, healed + gone
    return DriftReport(found=found, healed=healed)


async def _compare(org: StoredOrg, settings: Settings, texts: Texts, number: int) -> list[Drift]:
    """What differs from the baseline. It is taken anew for another version of the mappings that fits the org; but what
    a person was warned of, and has not accepted, stays."""
    own = settings.for_org(org.name)
    now = await org.for_lint(own)
    async with org.store.reader() as connection:
        baseline = await mapping_drifts.get_baseline(connection, org.profile.org_id)
    before = None if baseline is None else read_profile(baseline.body)
    is_current = baseline is not None and baseline.mapping_version == number
    if before is None:
        await take_baseline(org, number)
        return await asyncio.to_thread(find_drift, texts, now, now)
    former = LintOrg(
        describes=before.describes,
        person_types=before.person_types,
        persons=before.person_type is not None,
        returns=now.returns,
        returns_expected=now.returns_expected,
    )
    drifts = await asyncio.to_thread(find_drift, texts, former, now)
    if is_current or any(item.level == Level.ERROR for item in drifts):
        return drifts
    async with org.store.reader() as connection:
        stored = await mapping_drifts.list_drifts(connection, org.profile.org_id)
    known = {item.drift.text for item in stored if item.drift.level == Level.WARNING}
    kept = [item for item in drifts if item.text in known]
    await take_baseline(org, number, former=baseline, kept=kept)
    return kept


async def take_baseline(
    org: StoredOrg, number: int, *, former: Baseline | None = None, kept: Sequence[Drift] = ()
) -> None:
    """Compare with what the org says of itself now, from now on, and the fields of `kept` with the `former` one."""
    async with org.store.transaction() as uow:
        stored = await org_metadata.get(uow.connection, org.profile.org_id)
        if stored is not None:
            body = stored.body
            if former is not None and kept:
                body = with_former_shapes(body, former.body, [(item.sobject, item.field) for item in kept])
            await mapping_drifts.put_baseline(uow, org.profile.org_id, number, body)


async def accept_drift(store: Store, settings: Settings, *, actor: str) -> DriftReport:
    """Take the orgs as they are now as what later changes are compared with. What the org would refuse stays open."""
    async with store.reader() as connection:
        number = await versions.find_latest(connection)
    for org in await load_stored_orgs(store, settings):
        await take_baseline(org, number or 0)
        async with org.store.transaction() as uow:
            entry = JournalEntry(
                entity="mapping drift", key=org.profile.org_id, action="accepted", detail={"version": number},
                org_id=org.profile.org_id, actor=actor,
            )  # fmt: skip
            await journal.write(uow, [entry])
    return await watch_drift(store, settings)


async def list_drift(store: Store, settings: Settings, *, healed: bool = False) -> list[DriftView]:
    """The open changes of all orgs, errors first; with `healed`, also those that are gone."""
    names = {org.profile.org_id: org.name for org in await load_stored_orgs(store, settings)}
    async with store.reader() as connection:
        found = await mapping_drifts.list_drifts(connection, healed=healed)
    views = [
        DriftView(
            id=item.id,
            org=names.get(item.org_id, item.org_id),
            level=item.drift.level,
            kind=item.drift.kind.value,
            sobject=item.drift.sobject,
            field=item.drift.field,
            text=item.drift.text,
            places=list(item.drift.places),
            first_seen=item.first_seen,
            healed_at=item.healed_at,
        )
        for item in found
    ]
    return sorted(views, key=lambda item: (item.healed_at is not None, item.level != "error"))
