"""Makes all checks, each part as far as the parts before allow it.

settings, files, mapping files, messages, webhooks, provider of OpenID Connect
database --> queue, leases, roles
login --> org --> user, objects, fields, keys, ... events, channel, limits, clock
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

from connector.clock import Clock
from connector.errors import ConnectorError, SalesforceError, SettingsError
from connector.jobs.api_budget import ApiBudget
from connector.jobs.doctor import database_checks, event_checks, local_checks, openid_check, org_checks
from connector.jobs.doctor.org_survey import LONGEST_CALL, OrgSurvey, survey_org
from connector.jobs.org_identity import login_url_setting, other_org_error
from connector.jobs.role_supervisor import RoleState
from connector.mapping import MappingSet
from connector.mapping.problems import Aspect
from connector.model.api_budget import BudgetUsage
from connector.model.health_check import CheckStatus, DoctorReport, HealthCheck, failed, passed, skipped, warned
from connector.model.lane import Lane
from connector.outbound.org_discovery import OrgAnswers, build_profile, get_flag
from connector.outbound.org_profile import SOBJECTS, OrgProfile
from connector.outbound.return_strategy import FIELD as REDUCTION
from connector.outbound.return_strategy import ReturnStrategy
from connector.salesforce.call_gate import calls_in
from connector.salesforce.client import SalesforceClient
from connector.settings import Settings
from connector.settings.salesforce import Returns
from connector.store import api_calls, orgs, products
from connector.store.engine import Store

OF_THE_ORG = (
    org_checks.ORG,
    *org_checks.OF_ANSWERS,
    event_checks.EVENTS,
    event_checks.CHANNEL,
    event_checks.TOPICS,
    org_checks.LIMITS,
    org_checks.DELIVERIES,
    org_checks.CLOCK,
)


async def examine(settings: Settings, store: Store, *, clock: Clock, roles: Sequence[RoleState] = ()) -> DoctorReport:
    """Check everything; of several orgs, the default one or that of CONNECTOR_ORG. It takes seconds, at most about a
    minute if the org does not answer. `roles`: those of this process, if it is a service."""
    began, at = time.monotonic(), clock.now()
    store = store.for_org(settings.org) if settings.orgs else store
    checks, mappings = await asyncio.to_thread(_check_locally, settings, store, clock)  # it reads many files
    checks.append(await openid_check.check_openid(settings, clock))
    database, usable = await database_checks.check_database(store, settings)
    checks.append(database)
    if usable:
        checks += [
            await database_checks.check_queue(store, settings),
            await database_checks.check_leases(store),
            await database_checks.check_roles(store, settings, roles),
            await database_checks.check_jobs(store),
        ]
        if settings.orgs and not settings.works_for_one_org:
            checks.append(await database_checks.check_other_orgs(store, settings))
    else:
        checks += database_checks.skip_of_database("The database cannot be used.")
    org, calls = await _Org(settings, store if usable else None, clock).examine(mappings)
    checks += org
    return DoctorReport(
        checked_at=at,
        seconds=round(time.monotonic() - began, 2),
        api_calls=calls,
        healthy=all(check.status is not CheckStatus.FAIL for check in checks),
        checks=tuple(checks),
    )


def _check_locally(settings: Settings, store: Store, clock: Clock) -> tuple[list[HealthCheck], MappingSet | None]:
    """The checks of settings and files, and the mappings."""
    mapping_check, mappings = local_checks.check_mapping_files(settings)
    return [
        local_checks.check_settings(settings),
        local_checks.check_file_modes(settings, store),
        mapping_check,
        local_checks.check_messages(settings),
        local_checks.check_webhooks(settings),
        local_checks.check_alerts(settings, clock),
        local_checks.check_backups(settings, store),
    ], mappings


def report_of_settings(error: SettingsError, *, clock: Clock) -> DoctorReport:
    """The report if the settings themselves cannot be used: nothing else can be checked."""
    check = failed(local_checks.SETTINGS, error.message, error.hint)
    return DoctorReport(checked_at=clock.now(), seconds=0.0, api_calls=0, healthy=False, checks=(check,))


class _Org:
    """The checks of one org. `store` is None if the database cannot be used."""

    def __init__(self, settings: Settings, store: Store | None, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock

    async def examine(self, mappings: MappingSet | None) -> tuple[list[HealthCheck], int]:
        """The checks, and how many API calls they took."""
        salesforce = self._settings.salesforce
        if not salesforce.login_url:
            setting = login_url_setting(self._settings)
            fix = f"Set {setting} and the client of your org; `connector localorg` starts one for trying."
            return [
                warned(org_checks.LOGIN, "No org is configured, so nothing is sent.", fix),
                *_skip(OF_THE_ORG, "No org is configured."),
            ], 0
        bounded = salesforce.model_copy(update={"timeout_seconds": min(salesforce.timeout_seconds, LONGEST_CALL)})
        try:
            async with AsyncExitStack() as stack:
                gate = None
                if self._store is not None:  # its calls are counted, and made also while lanes pause
                    budget = ApiBudget(self._store, api_calls.policy_of(self._settings.budget))
                    gate = await stack.enter_async_context(budget)
                    stack.enter_context(calls_in(Lane.STATUS, exempt=True))
                client = SalesforceClient(bounded, clock=self._clock, attempts=1, gate=gate)
                await stack.enter_async_context(client)
                survey = await survey_org(
                    client, self._settings, self._clock, extra_sobjects=self._extra_sobjects(mappings)
                )
                address = client.instance_url
        except SettingsError as error:
            return self._no_login(f"Settings: {error.message}", error)
        except SalesforceError as error:
            step = "Credentials" if error.code and not error.retry_class.retryable else "Connection"
            return self._no_login(f"{step}: {error.message}", error)
        login = passed(org_checks.LOGIN, f"The org at {address} lets us in by {salesforce.auth.value}.")
        return [login, *await self._judge(survey, mappings, address)], survey.api_calls

    def _extra_sobjects(self, mappings: MappingSet | None) -> tuple[str, ...]:
        names = dict.fromkeys(event_checks.needed_events(self._settings))
        if mappings is not None:
            for mapping in (*mappings, *([mappings.return_order] if self._has_return_orders(mappings) else [])):
                names |= dict.fromkeys(mapping.sobjects)
        return tuple(name for name in names if name not in SOBJECTS)

    def _has_return_orders(self, mappings: MappingSet) -> bool:
        return self._settings.salesforce.returns is Returns.RETURN_ORDER and mappings.return_order is not None

    @staticmethod
    def _no_login(text: str, error: ConnectorError) -> tuple[list[HealthCheck], int]:
        return [failed(org_checks.LOGIN, text, error.hint), *_skip(OF_THE_ORG, "We cannot sign in to the org.")], 0

    async def _judge(self, survey: OrgSurvey, mappings: MappingSet | None, address: str) -> list[HealthCheck]:
        checks = [await self._check_org(survey, address)]
        answers = survey.answers
        if isinstance(answers, SalesforceError):
            error = org_checks.broken(org_checks.OBJECTS, answers)
            checks += [error, *_skip((*org_checks.OF_ANSWERS, event_checks.EVENTS), "The org does not describe itself.",
                                     but=org_checks.OBJECTS)]  # fmt: skip
        else:
            checks += await self._check_answers(answers, survey.token.org_id, mappings)
            checks.append(event_checks.check_events(answers.describes, self._settings))
        checks += [
            event_checks.check_channel(survey, self._settings),
            event_checks.check_topics(survey, self._settings),
            *org_checks.check_survey(survey, self._settings, await self._read_budget(survey.token.org_id)),
        ]
        return checks

    async def _read_budget(self, org_id: str) -> BudgetUsage | None:
        if self._store is None:
            return None
        async with self._store.reader() as connection:
            return await api_calls.usage(
                connection, org_id, self._clock.now(), api_calls.policy_of(self._settings.budget)
            )

    async def _check_org(self, survey: OrgSurvey, address: str) -> HealthCheck:
        org_id = survey.token.org_id
        active = None
        if self._store is not None:
            async with self._store.reader() as connection:
                active = await orgs.get_active(connection)
        if active is None:
            return passed(org_checks.ORG, f"Org {org_id} answers; the database works with no org yet.")
        if active.org_id != org_id:
            return org_checks.broken(org_checks.ORG, other_org_error(org_id, address, active, self._settings))
        return passed(org_checks.ORG, f"Org {org_id} answers, the one that the database works with.")

    async def _check_answers(self, answers: OrgAnswers, org_id: str, mappings: MappingSet | None) -> list[HealthCheck]:
        settings = self._settings
        profile = build_profile(answers, org_id, currency=settings.salesforce.currency)
        of_objects = self._check_described(answers)
        if of_objects is not None:
            names = (org_checks.FIELDS, org_checks.KEYS, org_checks.FIT, org_checks.RECORD_TYPES, org_checks.CURRENCIES)
            checks = [of_objects, *_skip(names, "Objects are missing.")]
        else:
            checks = await self._check_mappings(answers, profile, mappings)
            checks.append(org_checks.check_record_types(answers, settings, profile))
            checks.append(org_checks.check_currencies(answers, settings, profile, await self._used_currencies()))
        refused = self._store is not None and await get_flag(self._store, org_id, REDUCTION) is False
        return [
            org_checks.check_user(answers),
            *checks,
            org_checks.check_price_book(answers, settings),
            org_checks.check_statuses(answers, settings, profile),
            org_checks.check_returns(answers, settings, refused=refused),
        ]

    def _check_described(self, answers: OrgAnswers) -> HealthCheck | None:
        """A failed check of objects, if the org lacks one without which nothing else can be said."""
        check = org_checks.check_objects(answers, self._settings, dict.fromkeys(Aspect, ()))
        return check if check.status is CheckStatus.FAIL else None

    async def _check_mappings(
        self, answers: OrgAnswers, profile: OrgProfile, mappings: MappingSet | None
    ) -> list[HealthCheck]:
        if mappings is None:
            no_problem: dict[Aspect, Sequence[str]] = dict.fromkeys(Aspect, ())
            names = (org_checks.FIELDS, org_checks.KEYS, org_checks.FIT)
            return [
                org_checks.check_objects(answers, self._settings, no_problem),
                *_skip(names, "The mapping files cannot be used."),
            ]
        mappings = await self._fitted(mappings, profile)
        problems = org_checks.problems_by_aspect(mappings, answers, profile)
        return [
            org_checks.check_objects(answers, self._settings, problems),
            org_checks.check_fields(mappings, answers, problems),
            org_checks.check_keys(mappings, answers, problems),
            org_checks.check_fit(problems),
        ]

    async def _fitted(self, mappings: MappingSet, profile: OrgProfile) -> MappingSet:
        """The mappings as a push uses them in this org."""
        if self._store is not None:
            strategy = ReturnStrategy(mappings, profile, self._settings.salesforce.returns, self._store)
            mappings = await strategy.choose_mappings()
        mappings = mappings.with_edited_lines(self._settings.inbound.changed_lines)
        return mappings.with_persons(profile.person_type is not None)

    async def _used_currencies(self) -> list[str]:
        if self._store is None:
            return []
        async with self._store.reader() as connection:
            return await products.list_currencies(connection)


def _skip(names: Sequence[str], why: str, *, but: str = "") -> list[HealthCheck]:
    return [skipped(name, why) for name in names if name != but]
