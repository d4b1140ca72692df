"""What people do with mappings: look at versions, check files, make them active, and return to an earlier version.

Pages of the console, the HTTP API and commands all call this. Nothing is sent from here: a version is made active in
one transaction with the resyncs that it needs, and workers send what differs.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from connector.jobs.mappings.activation import Request, activate
from connector.jobs.mappings.drift import DriftReport, DriftView, accept_drift, list_drift
from connector.jobs.mappings.lint_cache import LintCache
from connector.jobs.mappings.org_profiles import StoredOrg, load_stored_orgs, open_reader, refresh_orgs
from connector.jobs.mappings.planning import Planner, PlanRequest
from connector.jobs.mappings.rejections import (
    InvalidMappingsError,
    check_base,
    check_note,
    check_plan,
    no_active_error,
    no_content_error,
    no_shadow_error,
    plan_state,
    unknown_plan_error,
    unknown_version_error,
)
from connector.jobs.mappings.views import (
    Applied,
    CheckedOrg,
    FileDiff,
    LintReport,
    MappingPlan,
    PlanSummary,
    VersionDetail,
    VersionSummary,
    detail,
    diff_texts,
    summarize,
    without_texts,
)
from connector.mapping.lint import LintProblem
from connector.mapping.mapper import MappingSet
from connector.mapping.meaning import compare_mappings
from connector.mapping.text_folder import Texts
from connector.mapping.version import load_texts, load_version
from connector.model.mapping_plan import PLAN_LIFETIME, StoredPlan
from connector.model.mapping_shadow import Shadow
from connector.model.mapping_version import Origin
from connector.settings import Settings
from connector.store import mapping_plans, mapping_shadows
from connector.store import mapping_versions as versions
from connector.store.engine import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class MappingAdmin:
    """Works for one database; `store` is for all of its orgs."""

    store: Store
    settings: Settings
    _lints: LintCache = field(default_factory=LintCache, compare=False, repr=False)
    _planning: asyncio.Lock = field(default_factory=asyncio.Lock, compare=False, repr=False)

    async def get_active(self) -> VersionDetail | None:
        """The active version; None before anything was sent or applied."""
        async with self.store.reader() as connection:
            number = await versions.find_latest(connection)
        return None if number is None else await self.get_version(number)

    async def list_versions(self, *, before: int | None = None, limit: int = 50) -> list[VersionSummary]:
        """Versions, the newest first; `before`: only with a smaller number."""
        async with self.store.reader() as connection:
            active = await versions.find_latest(connection)
            found = await versions.list_page(connection, before=before, limit=limit)
            bases = {item.base: item.base for item in found if item.base is not None}
            digests = {item.number: item.digest for item in found}
            for number in bases.keys() - digests.keys():
                stored = await versions.get(connection, number)
                if stored is not None:
                    digests[number] = stored.activation.digest
            texts = await versions.list_texts(connection, set(digests.values()))
        return [
            summarize(
                item,
                active,
                texts.get(item.digest),
                None if item.base is None else texts.get(digests.get(item.base, "")),
            )
            for item in found
        ]

    async def get_version(self, number: int) -> VersionDetail:
        """A version with its files. Raises CommandError (`unknown`) if there is none."""
        async with self.store.reader() as connection:
            active = await versions.find_latest(connection)
            stored = await versions.get(connection, number)
            if stored is None:
                raise unknown_version_error(number)
            base = stored.activation.base
            former = None if base is None else await versions.get(connection, base)
        return detail(stored.activation, active, stored.texts, None if former is None else former.texts)

    async def diff_versions(self, first: int, second: int) -> list[FileDiff]:
        """The files that differ between two versions. Raises CommandError if one is unknown, or has no content."""
        return diff_texts(await self.get_texts(first), await self.get_texts(second))

    async def get_texts(self, number: int) -> Texts:
        """The files of a version. Raises CommandError if it is unknown, or of a release that stored no content."""
        found = await self.get_version(number)
        if not found.has_content:
            raise no_content_error(number)
        return found.texts

    async def lint(self, texts: Texts, *, refresh: bool = False) -> LintReport:
        """The problems of these files, also with each org that is known. `refresh`: ask the orgs first what they are
        like; otherwise what they said last counts, and no call is made."""
        known = await (refresh_orgs if refresh else load_stored_orgs)(self.store, self.settings)
        problems: dict[str, LintProblem] = {str(item): item for item in (await self._lints.lint(texts)).problems}
        for org in known:
            what = await org.for_lint(self.settings.for_org(org.name))
            for item in (await self._lints.lint(texts, org, what)).problems:
                problems.setdefault(str(item), item)
        ordered = sorted(problems.values(), key=lambda item: (item.file, item.line, item.column))
        return LintReport(problems=ordered, orgs=[_checked(org) for org in known])

    async def read(self, texts: Texts) -> MappingSet | None:
        """The mappings of these files; None if they cannot be read."""
        return (await self._lints.lint(texts)).mappings

    async def plan(
        self, texts: Texts, *, actor: str, request: PlanRequest | None = None, rollback_to: int | None = None
    ) -> MappingPlan:
        """Compute what these files would change, and keep that as a plan. Orgs are asked what they hold in fields that
        were not read before; otherwise no call is made. One plan is computed at a time, others wait for it.

        Raises MappingError if the files are invalid or do not fit an org; CommandError if they are the active version
        already, or if the content of the active version is not stored.
        """
        await self._require_fit(texts)
        report, version = await self.lint(texts), await asyncio.to_thread(load_texts, texts)
        async with self.store.reader() as connection:
            active = await versions.get_active(connection)
        check_base(active, version.digest, None)
        began_at = self.store.clock.now()  # what is changed or sent from now on is not in the plan for sure
        former = self._files_in_use() if active is None else await self.get_texts(active.number)
        before = load_texts(former).mappings
        orgs = await load_stored_orgs(self.store, self.settings)
        planner = Planner(self.store, self.settings, orgs, partial(open_reader, self.settings))
        async with self._planning:
            planned = await planner.plan(before, version.mappings, request or PlanRequest())
        stored = StoredPlan(
            id=secrets.token_hex(6),
            created_at=began_at,
            expires_at=began_at + PLAN_LIFETIME,
            actor=actor,
            base=None if active is None else active.number,
            digest=version.digest,
            rollback_to=rollback_to,
            numbers=replace(planned.numbers, warnings=[str(item) for item in report.problems]),
            affected=planned.affected,
        )
        async with self.store.transaction() as uow:
            await mapping_plans.put(uow, stored, version.texts)
        return await self.get_plan(stored.id)

    async def plan_rollback(self, number: int, *, actor: str, request: PlanRequest | None = None) -> MappingPlan:
        """The plan of a return to version `number`. Raises what `plan` and `get_texts` raise."""
        return await self.plan(await self.get_texts(number), actor=actor, request=request, rollback_to=number)

    async def get_plan(self, plan_id: str) -> MappingPlan:
        """A plan as it was computed. Raises CommandError (`unknown`) if there is none, or none any more."""
        async with self.store.reader() as connection:
            stored = await mapping_plans.get(connection, plan_id)
            if stored is None:
                raise unknown_plan_error(plan_id)
            active = await versions.find_latest(connection)
            after = await versions.get_texts(connection, stored.digest) or {}
            base = None if stored.base is None else await versions.get(connection, stored.base)
        before = after if base is None or base.texts is None else base.texts
        if stored.base is None:
            before = self._files_in_use()
        changes = compare_mappings(load_texts(before).mappings, load_texts(after).mappings)
        return MappingPlan(
            id=stored.id,
            created_at=stored.created_at,
            expires_at=stored.expires_at,
            actor=stored.actor,
            state=plan_state(stored, active, self.store.clock.now()),
            base=stored.base,
            digest=stored.digest,
            rollback_to=stored.rollback_to,
            applied_as=stored.applied_as,
            numbers=stored.numbers,
            files=diff_texts(before, after),
            changes=changes,
        )

    async def list_plans(self, limit: int = 20) -> list[PlanSummary]:
        """The plans that were made last, the newest first."""
        async with self.store.reader() as connection:
            active = await versions.find_latest(connection)
            found = await mapping_plans.list_latest(connection, limit)
        now = self.store.clock.now()
        return [
            PlanSummary(
                id=item.id,
                created_at=item.created_at,
                expires_at=item.expires_at,
                actor=item.actor,
                state=plan_state(item, active, now),
                base=item.base,
                rollback_to=item.rollback_to,
                applied_as=item.applied_as,
                risk=item.numbers.risk,
            )
            for item in found
        ]

    async def apply_plan(self, plan_id: str, request: Request) -> Applied:
        """Make the files of a plan the active version. Raises CommandError if it is unknown, expired or applied, or if
        another version became active since it was made (`version`)."""
        async with self.store.reader() as connection:
            stored = await mapping_plans.get(connection, plan_id)
            texts = None if stored is None else await versions.get_texts(connection, stored.digest)
            active = await versions.get_active(connection)
        if stored is None or texts is None:
            raise unknown_plan_error(plan_id)
        check_plan(stored, active, self.store.clock.now())
        await self._require_fit(texts)
        origin = Origin.APPLY if stored.rollback_to is None else Origin.ROLLBACK
        request = replace(request, base=stored.base)
        return await self._activate(texts, request, origin, plan=stored)

    async def apply(self, texts: Texts, request: Request) -> Applied:
        """Make these files the active version, for every running process at once.

        Raises MappingError with every problem if they are invalid or do not fit an org; CommandError if another version
        than `request.base` is active (`version`), or if they are the active version already (`unchanged`).
        """
        await self._require_fit(texts)
        return await self._activate(texts, request, Origin.APPLY)

    async def rollback(self, number: int, request: Request) -> Applied:
        """Make the content of version `number` a new version. Raises what `apply` and `get_texts` raise."""
        texts = await self.get_texts(number)
        await self._require_fit(texts)
        return await self._activate(texts, request, Origin.ROLLBACK)

    async def list_drift(self, *, healed: bool = False) -> list[DriftView]:
        """What admins changed in the orgs that concerns the active version; with `healed`, also what is over."""
        return await list_drift(self.store, self.settings, healed=healed)

    async def accept_drift(self, *, actor: str) -> DriftReport:
        """Take the orgs as they are now as what later changes are compared with; only errors stay open."""
        return await accept_drift(self.store, self.settings, actor=actor)

    async def start_shadow(self, texts: Texts, *, actor: str, note: str = "") -> Shadow:
        """Compute these files beside the active version from now on, for what is sent; nothing of it is written. A
        shadow that is computed already is discarded. Raises what `plan` raises."""
        check_note(note)
        await self._require_fit(texts)
        version = load_texts(texts)
        async with self.store.reader() as connection:
            active = await versions.get_active(connection)
        check_base(active, version.digest, None)
        if active is None:
            raise no_active_error()
        async with self.store.transaction() as uow:
            await mapping_shadows.start(
                uow, version.digest, version.texts, base=active.number, actor=actor, note=note.strip() or None
            )
        found = await self.get_shadow()
        assert found is not None
        return found

    async def get_shadow(self) -> Shadow | None:
        """The shadow that is computed now, with what differed by field; None if there is none."""
        async with self.store.reader() as connection:
            return await mapping_shadows.get_open(connection, with_fields=True)

    async def apply_shadow(self, request: Request) -> Applied:
        """End the shadow and make its files the active version, if it was computed beside the active one. Raises what
        `apply` raises."""
        async with self.store.reader() as connection:
            shadow = await mapping_shadows.get_open(connection)
            texts = None if shadow is None else await versions.get_texts(connection, shadow.digest)
        if shadow is None or texts is None:
            raise no_shadow_error()
        base = shadow.base if request.base is None else request.base
        await self._require_fit(texts)
        return await self._activate(texts, replace(request, base=base), Origin.APPLY, ends_shadow=True)

    async def discard_shadow(self, *, actor: str) -> None:
        """End the shadow. Raises CommandError (`unknown`) if there is none."""
        if await self.get_shadow() is None:
            raise no_shadow_error()
        async with self.store.transaction() as uow:
            await mapping_shadows.end(uow, actor=actor, outcome="discarded")

    async def record_export(self, number: int, source: str) -> None:
        """Record that a folder has the files of this version now, so that a later edit of them is an edit of it."""
        found = await self.get_version(number)
        async with self.store.transaction() as uow:
            await versions.record_source(uow, source, found.digest, number)

    def _files_in_use(self) -> Texts:
        """The files that are used while no version is active."""
        return load_version(self.settings.mappings_dir).texts

    async def _require_fit(self, texts: Texts) -> None:
        if not _errors(await self.lint(texts)):
            return
        errors = _errors(await self.lint(texts, refresh=True))  # perhaps an admin has corrected the org meanwhile
        if errors:
            raise InvalidMappingsError(errors)

    async def _activate(
        self,
        texts: Texts,
        request: Request,
        origin: Origin,
        *,
        plan: StoredPlan | None = None,
        ends_shadow: bool = False,
    ) -> Applied:
        version = load_texts(texts)
        number, made = await activate(self.store, version, request, origin, plan=plan, ends_shadow=ends_shadow)
        return Applied(version=without_texts(await self.get_version(number)), resyncs=made)


def _errors(report: LintReport) -> Sequence[LintProblem]:
    return [item for item in report.problems if item.level == "error"]


def _checked(org: StoredOrg) -> CheckedOrg:
    return CheckedOrg(name=org.name, org_id=org.profile.org_id, fetched_at=org.fetched_at)
