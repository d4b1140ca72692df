"""Checks of the org, from what it answered: our user, objects, fields, keys, price book, statuses, limits and clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from connector.errors import ConnectorError, SalesforceError
from connector.jobs.doctor.org_survey import OrgLimits, OrgSurvey
from connector.mapping import MappingSet
from connector.mapping.check import find_problems, missing_key_fields
from connector.mapping.problems import Aspect
from connector.model.api_budget import BudgetUsage, describe_pause
from connector.model.health_check import CheckStatus, HealthCheck, failed, passed, skipped, warned
from connector.outbound.org_discovery import Feature, OrgAnswers, find_lacks
from connector.outbound.org_profile import ACTIVATED, DRAFT, OrgProfile
from connector.outbound.return_strategy import FIELD as REDUCTION
from connector.salesforce import org_limits
from connector.salesforce.org_limits import usage_of
from connector.salesforce.usage import Usage
from connector.settings import Settings
from connector.settings.salesforce import Returns
from connector.wording import plural

LOGIN, ORG, USER = "login", "org", "user"
OBJECTS, FIELDS, KEYS, FIT = "objects", "fields", "external IDs", "mappings"
RECORD_TYPES, PRICE_BOOK, CURRENCIES, STATUSES = "record types", "price book", "currencies", "order statuses"
RETURNS, LIMITS, DELIVERIES, CLOCK = "returns", "API limits", "deliveries", "clock"
OF_ANSWERS = (USER, OBJECTS, FIELDS, KEYS, FIT, RECORD_TYPES, PRICE_BOOK, CURRENCIES, STATUSES, RETURNS)

PERMISSION_SET = "CRM_Connector"
"""What `connector org deploy` assigns to our user."""
LITTLE_LEFT = 0.1
"""The part of a limit that should be left."""
SKEW = timedelta(seconds=10)
"""A difference of clocks that makes fields with `owner: newest` be decided wrongly."""
MOST_SKEW = timedelta(minutes=3)
"""Beyond it, the org refuses a sign-in by JWT."""
_NO_LIMITS = f"The org does not answer with its limits; the check of {LIMITS} says why."
_DEPLOY = "`connector org deploy` deploys our fields and assigns the permission set to our user."


def broken(name: str, error: ConnectorError) -> HealthCheck:
    return failed(name, error.message, error.hint)


def check_user(answers: OrgAnswers) -> HealthCheck:
    users, assignments = answers.others[:2]
    name = users[0]["Username"] if isinstance(users, list) and users else "our user"
    if not isinstance(assignments, list):
        return skipped(USER, f"Signed in as {name}; the org does not say which permission sets it has.")
    names = sorted({_set_name(row) for row in assignments} - {""})
    if PERMISSION_SET in names:
        return passed(USER, f"Signed in as {name}, with the permission set {PERMISSION_SET}.", names)
    text = f"Signed in as {name}, without the permission set {PERMISSION_SET}."
    return warned(USER, text, f"{_DEPLOY} Another permission set is fine, if the check of fields passes.", names)


def check_objects(answers: OrgAnswers, settings: Settings, problems: Mapping[Aspect, Sequence[str]]) -> HealthCheck:
    lack = _lack(Feature.OBJECTS, answers, settings)
    if lack is not None:
        return broken(OBJECTS, lack)
    if problems[Aspect.OBJECT]:
        text = f"Our user may not write {plural(len(problems[Aspect.OBJECT]), 'object')} of the mappings."
        return failed(OBJECTS, text, "Give the object permissions that are named below.", problems[Aspect.OBJECT])
    return passed(OBJECTS, f"Our user may create and change all {len(answers.describes)} objects that it needs.")


def check_fields(mappings: MappingSet, answers: OrgAnswers, problems: Mapping[Aspect, Sequence[str]]) -> HealthCheck:
    """Whether our user sees each mapped field, and may write those that we send."""
    keys = missing_key_fields(mappings, answers.describes)
    if keys:
        names = ", ".join(dict.fromkeys(keys))
        text = f"The org has none of the connector's fields, or hides them from our user: {names}."
        return failed(FIELDS, text, _DEPLOY)
    number = sum(len(record.entries) for mapping in mappings for record in mapping.spec.records)
    if not problems[Aspect.ACCESS]:
        return passed(FIELDS, f"Our user sees all {number} mapped fields, and may write those that are sent.")
    text = f"{plural(len(problems[Aspect.ACCESS]), 'mapped field')} cannot be read or written by our user."
    return failed(FIELDS, text, f"{_DEPLOY} Correct the others where they are named below.", problems[Aspect.ACCESS])


def check_keys(mappings: MappingSet, answers: OrgAnswers, problems: Mapping[Aspect, Sequence[str]]) -> HealthCheck:
    """Whether the external IDs are unique, and tell upper case from lower case, as our keys do."""
    fields = {
        f"{record.sobject}.{record.external_id}": answers.describes[record.sobject].fields.get(record.external_id)
        for mapping in mappings
        for record in mapping.spec.records
        if record.sobject in answers.describes
    }
    if problems[Aspect.KEY]:
        text = f"{plural(len(problems[Aspect.KEY]), 'external ID')} cannot be relied on, so records could be doubled."
        return failed(KEYS, text, "Correct the fields in Setup as it is said below.", problems[Aspect.KEY])
    if missing := [name for name, field in fields.items() if field is None]:
        return skipped(KEYS, f"Our user does not see {', '.join(missing)}.")
    loose = [name for name, field in fields.items() if field is not None and not field.case_sensitive]
    if loose:
        text = f"{', '.join(loose)} {'do' if len(loose) > 1 else 'does'} not tell upper case from lower case."
        fix = "Mark them case-sensitive in Setup: keys such as ab-1 and AB-1 would be one record."
        return warned(KEYS, text, fix)
    return passed(KEYS, f"{', '.join(fields)} are unique external IDs, and case-sensitive.")


def check_fit(problems: Mapping[Aspect, Sequence[str]]) -> HealthCheck:
    """What is mapped to the fields: types, picklist values, required fields."""
    if problems[Aspect.MAPPING]:
        text = f"The mappings do not fit the org in {plural(len(problems[Aspect.MAPPING]), 'place')}."
        return failed(
            FIT, text, "Correct the mapping files, or the org, as it is said below.", problems[Aspect.MAPPING]
        )
    return passed(FIT, "The types and values that the mappings send are those of the org's fields.")


def check_record_types(answers: OrgAnswers, settings: Settings, profile: OrgProfile) -> HealthCheck:
    lack = _lack(Feature.RECORD_TYPES, answers, settings)
    if lack is not None:
        return broken(RECORD_TYPES, lack)
    lines = []
    for name in ("Account", "Product2", "Order"):
        described = answers.describes.get(name)
        types = [item for item in described.record_types if not item.master] if described is not None else []
        if types and not any(item.usable for item in types):
            fix = "Give our user one of them (profile or permission set, record types)."
            return failed(RECORD_TYPES, f"{name} has record types, and our user may use none.", fix)
        lines += [f"{name}: {item.name}{' (default)' if item.default else ''}" for item in types if item.usable]
    if profile.persons_only:
        text = "Our user can create only accounts of persons."
        return warned(
            RECORD_TYPES, text, "Give it a record type for companies, unless all customers are persons.", lines
        )
    persons = "with" if profile.person_type is not None else "without"
    number = plural(len(lines), "record type") if lines else "no record types"
    return passed(RECORD_TYPES, f"Our user has {number}, {persons} one for persons.", lines)


def check_price_book(answers: OrgAnswers, settings: Settings) -> HealthCheck:
    lack = _lack(Feature.PRICE_BOOK, answers, settings)
    if lack is not None:
        return broken(PRICE_BOOK, lack)
    entries = answers.others[2]
    if not isinstance(entries, list):
        return passed(PRICE_BOOK, "The standard price book is active.")
    some = "has active entries" if entries else "has no active entry yet: the push of products creates them"
    return passed(PRICE_BOOK, f"The standard price book is active, and {some}.")


def check_currencies(answers: OrgAnswers, settings: Settings, profile: OrgProfile, used: Sequence[str]) -> HealthCheck:
    """`used`: the currencies of our prices."""
    lack = _lack(Feature.CURRENCIES, answers, settings)
    if lack is not None:
        return broken(CURRENCIES, lack)
    theirs = ", ".join(sorted(profile.currencies))
    kind = "has" if profile.multi_currency else "has one currency, by our settings"
    missing = sorted(set(used) - profile.currencies)
    if missing:
        text = f"The org {kind} {theirs}, but products here have prices in {', '.join(missing)}."
        if profile.multi_currency:
            return warned(
                CURRENCIES, text, "Activate these currencies in Setup (Manage Currencies), if orders use them."
            )
        fix = "Correct CONNECTOR_SALESFORCE__CURRENCY, or let an admin activate multiple currencies."
        return warned(CURRENCIES, text, fix)
    return passed(CURRENCIES, f"The org {kind} {theirs}.")


def check_statuses(answers: OrgAnswers, settings: Settings, profile: OrgProfile) -> HealthCheck:
    lack = _lack(Feature.STATUSES, answers, settings)
    if lack is not None:
        return broken(STATUSES, lack)
    by_category = {
        category: [value for value, other in profile.statuses.items() if other == category]
        for category in (DRAFT, ACTIVATED)
    }
    if missing := [category for category, values in by_category.items() if not values]:
        text = f"Order has no status of the category {' or '.join(missing)}, so no order could be activated."
        return failed(STATUSES, text, "Add one in Setup (Object Manager, Order, Status).")
    told = "; ".join(f"{category}: {', '.join(values)}" for category, values in by_category.items())
    return passed(STATUSES, f"Order has statuses of both categories ({told}).")


def check_returns(answers: OrgAnswers, settings: Settings, *, refused: bool) -> HealthCheck:
    """How returns appear. `refused`: the org has refused a reduction order. Describe does not show whether they are
    enabled."""
    setting = settings.salesforce.returns
    if setting is Returns.FIELDS:
        return passed(RETURNS, "Returns appear in fields of the order (CONNECTOR_SALESFORCE__RETURNS=fields).")
    if setting is Returns.RETURN_ORDER:
        if "ReturnOrder" in answers.describes:
            return passed(RETURNS, "Returns appear as Return Orders, which the org has.")
        return skipped(RETURNS, "Our user does not see ReturnOrder; the check of objects says what to do.")
    order = answers.describes.get("Order")
    if refused:
        text = "The org has refused a reduction order, so returns appear only in fields of the order."
        return warned(RETURNS, text, "Enable reduction orders (Setup, Order Settings), if reps shall see them as such.")
    if order is not None and REDUCTION not in order.fields:
        text = f"Our user does not see Order.{REDUCTION}, so returns cannot be reduction orders."
        return warned(RETURNS, text, "Enable reduction orders in Setup, or set CONNECTOR_SALESFORCE__RETURNS=fields.")
    return passed(
        RETURNS, "Returns appear as reduction orders; the first return shows whether the org has them enabled."
    )


def check_limits(limits: OrgLimits | SalesforceError, budget: BudgetUsage | None) -> HealthCheck:
    """What the org counts, and whether our own budget makes lanes pause."""
    if isinstance(limits, SalesforceError):
        return broken(LIMITS, limits)
    usage = usage_of(limits.limits, org_limits.API_CALLS)
    if usage is None:
        return skipped(LIMITS, "The org does not show its limits to our user (View Setup and Configuration).")
    fix = "Find what else calls the org (Setup, API Usage), or buy more calls; what waits here stays due."
    found = _judge(LIMITS, usage, "API calls of 24 hours", fix)
    if budget is None or not budget.paused or found.status is CheckStatus.FAIL:
        return found
    paused, until = describe_pause(budget)
    return warned(LIMITS, f"{found.text} {paused}", until)


def check_deliveries(limits: OrgLimits | SalesforceError, settings: Settings) -> HealthCheck:
    if not settings.inbound.listen:
        return skipped(DELIVERIES, "Listening is off (CONNECTOR_INBOUND__LISTEN).")
    if isinstance(limits, SalesforceError):
        return skipped(DELIVERIES, _NO_LIMITS)
    usage = usage_of(limits.limits, org_limits.DELIVERIES)
    if usage is None:
        return skipped(DELIVERIES, "The org does not show its event deliveries to our user.")
    fix = "Nothing is lost: the listener polls until midnight (UTC). An add-on raises the allowance."
    return _judge(DELIVERIES, usage, "event deliveries of 24 hours", fix)


def check_clock(limits: OrgLimits | SalesforceError) -> HealthCheck:
    """The org's time has whole seconds, and its answer takes time: a difference below two seconds is none."""
    if isinstance(limits, SalesforceError):
        return skipped(CLOCK, _NO_LIMITS)
    if limits.org_time is None:
        return skipped(CLOCK, "A proxy removes the time from the org's answers.")
    ahead = (limits.our_time - limits.org_time).total_seconds()
    text = f"Our clock is {abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} that of the org."
    fix = "Synchronize the clock of this machine (NTP): signing in by JWT and the newest of two values rely on it."
    if abs(ahead) > MOST_SKEW.total_seconds():
        return failed(CLOCK, text, fix)
    if abs(ahead) > SKEW.total_seconds():
        return warned(CLOCK, text, fix)
    return passed(CLOCK, "Our clock agrees with that of the org.")


def problems_by_aspect(mappings: MappingSet, answers: OrgAnswers, profile: OrgProfile) -> dict[Aspect, Sequence[str]]:
    problems = find_problems(mappings, answers.describes, person_types=profile.person_types)
    return {aspect: problems.lines(aspect) for aspect in Aspect}


def check_survey(survey: OrgSurvey, settings: Settings, budget: BudgetUsage | None) -> list[HealthCheck]:
    """What needs neither describes nor queries. `budget`: what the database says of our API calls."""
    return [check_limits(survey.limits, budget), check_deliveries(survey.limits, settings), check_clock(survey.limits)]


def _lack(feature: Feature, answers: OrgAnswers, settings: Settings) -> SalesforceError | None:
    returns = ("ReturnOrder", "ReturnOrderLineItem") if settings.salesforce.returns is Returns.RETURN_ORDER else ()
    lacks = find_lacks(answers, settings.salesforce, extra_sobjects=returns)
    return next((error for of, error in lacks if of is feature), None)


def _judge(name: str, usage: Usage, what: str, fix: str) -> HealthCheck:
    left = usage.allowed - usage.used
    text = f"{usage.used:,} of {usage.allowed:,} {what} are used."
    if left <= 0:
        return failed(name, text, fix)
    return warned(name, text, fix) if left < usage.allowed * LITTLE_LEFT else passed(name, text)


def _set_name(row: Mapping[str, object]) -> str:
    permission_set = row.get("PermissionSet")
    return str(permission_set.get("Name") or "") if isinstance(permission_set, Mapping) else ""
