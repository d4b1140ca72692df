"""Discovers what the org is like (objects, statuses, currencies) with one API call, and caches the answer
for an hour."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol

import orjson

from connector.errors import RefusedError, RetryClass, SalesforceError
from connector.model.describe import FieldDescribe, RecordTypeDescribe, SObjectDescribe
from connector.outbound.org_profile import SOBJECTS, OrgProfile
from connector.settings import SalesforceSettings
from connector.store import org_metadata
from connector.store.engine import Store

CACHE_LIFETIME = timedelta(hours=1)
QUERIES = (
    "SELECT Id, IsActive FROM Pricebook2 WHERE IsStandard = true",
    "SELECT ApiName, StatusCode FROM OrderStatus",
    # Refused by an org without multi-currency, and by one without person accounts:
    "SELECT IsoCode, DecimalPlaces FROM CurrencyType WHERE IsActive = true",
    "SELECT Id FROM RecordType WHERE SobjectType = 'Account' AND IsPersonType = true",
)
_ABSENT = frozenset({"INVALID_TYPE", "INVALID_FIELD"})
CACHE_FORMAT = "2"
"""Changes with the format of the cached answer; an answer in an older format is not used."""


class Describer(Protocol):
    async def describe_many(
        self, sobjects: Sequence[str], queries: Sequence[str]
    ) -> tuple[dict[str, SObjectDescribe], list[list[dict[str, Any]] | RefusedError]]: ...


async def discover_org(
    store: Store,
    org: Describer,
    org_id: str,
    *,
    settings: SalesforceSettings,
    refresh: bool = False,
    extra_sobjects: Sequence[str] = (),
) -> OrgProfile:
    """The profile of `org_id`, from the cache if it is younger than an hour and `refresh` is not set.

    `settings` name the API version, and the currency of an org without multi-currency, which no field reveals.
    `extra_sobjects` are objects that are needed besides the usual ones. Raises SalesforceError that names what the org
    lacks and who can enable it.
    """
    version, currency, clock = settings.api_version, settings.currency, store.clock
    request = {"version": version, "currency": currency, "more": ",".join(extra_sobjects), "kept_as": CACHE_FORMAT}
    async with store.reader() as connection:
        cached = await org_metadata.get(connection, org_id)
    if cached is not None and not refresh and clock.now() - cached.fetched_at < CACHE_LIFETIME:
        body = orjson.loads(cached.body)
        if body.get("asked") == request:
            return _load(body)
    describes, query_results = await org.describe_many([*SOBJECTS, *extra_sobjects], QUERIES)
    price_books, statuses, currencies, person_types = query_results
    missing = [name for name in SOBJECTS if name not in describes]
    if len(missing) == len(SOBJECTS):
        raise _missing_feature(
            f"The org describes none of {', '.join(SOBJECTS)} in API version {version}.",
            "Check CONNECTOR_SALESFORCE__API_VERSION, and that the connector's user has the permission set"
            " CRM Connector.",
        )
    if missing:
        raise _missing_feature(
            f"The org has no {', '.join(missing)}, or the connector's user may not see it.",
            "Ask an admin to enable Orders (Setup, Order Settings) and to assign the permission set CRM Connector.",
        )
    if absent := [name for name in extra_sobjects if name not in describes]:
        raise _missing_feature(
            f"The org has no {', '.join(absent)}, or the connector's user may not see it.",
            "Return Orders come with Field Service or Order Management; without them set"
            " CONNECTOR_SALESFORCE__RETURNS to auto.",
        )
    if isinstance(statuses, RefusedError):
        raise statuses
    if isinstance(price_books, RefusedError):
        raise price_books
    for query_result in (currencies, person_types):
        if isinstance(query_result, RefusedError) and query_result.code not in _ABSENT:
            raise query_result  # another error does not mean that the org lacks the feature
    if not price_books or not price_books[0]["IsActive"]:
        raise _missing_feature(
            "The org's standard price book is inactive: no order could have a line.",
            "Ask an admin to activate it (Price Books, Standard Price Book).",
        )
    profile = OrgProfile(
        org_id=org_id,
        describes=describes,
        statuses={row["ApiName"]: row["StatusCode"] for row in statuses},
        price_book=price_books[0]["Id"],
        currencies=frozenset(
            [currency] if isinstance(currencies, RefusedError) else [row["IsoCode"] for row in currencies]
        ),
        decimals=(
            {}
            if isinstance(currencies, RefusedError)
            else {row["IsoCode"]: int(row["DecimalPlaces"]) for row in currencies}
        ),
        person_types=frozenset(() if isinstance(person_types, RefusedError) else [row["Id"] for row in person_types]),
    )
    async with store.transaction() as uow:
        await org_metadata.put(uow, org_id, _dump(profile, request))
    return profile


async def get_flag(store: Store, org_id: str, name: str) -> bool | None:
    """A fact that was found out since the org was last discovered; None if it is unknown."""
    async with store.reader() as connection:
        cached = await org_metadata.get(connection, org_id)
    flag = orjson.loads(cached.body).get("notes", {}).get(name) if cached else None
    return flag if isinstance(flag, bool) else None


async def set_flag(store: Store, org_id: str, name: str, value: bool) -> None:
    """Store a fact with the cached answer; it is forgotten with it."""
    async with store.transaction() as uow:
        cached = await org_metadata.get(uow.connection, org_id)
        if cached is not None:
            body = orjson.loads(cached.body)
            body["notes"] = {**body.get("notes", {}), name: value}
            await org_metadata.update_body(uow, org_id, orjson.dumps(body).decode())


def _missing_feature(message: str, hint: str) -> SalesforceError:
    return SalesforceError(message, hint=hint, retry_class=RetryClass.CONFIG)


def _dump(profile: OrgProfile, request: dict[str, str]) -> str:
    body = {
        "asked": request,
        "org_id": profile.org_id,
        "describes": list(profile.describes.values()),
        "statuses": profile.statuses,
        "price_book": profile.price_book,
        "currencies": sorted(profile.currencies),
        "decimals": dict(profile.decimals),
        "person_types": sorted(profile.person_types),
    }
    return orjson.dumps(body).decode()


def _load(body: dict[str, Any]) -> OrgProfile:
    return OrgProfile(
        org_id=body["org_id"],
        describes={item["name"]: _describe(item) for item in body["describes"]},
        statuses=body["statuses"],
        price_book=body["price_book"],
        currencies=frozenset(body["currencies"]),
        decimals=body["decimals"],
        person_types=frozenset(body["person_types"]),
    )


def _describe(item: dict[str, Any]) -> SObjectDescribe:
    fields = {name: _field(field) for name, field in item["fields"].items()}
    types = tuple(RecordTypeDescribe(**record_type) for record_type in item["record_types"])
    return SObjectDescribe(**{**item, "fields": fields, "record_types": types})


def _field(item: dict[str, Any]) -> FieldDescribe:
    return FieldDescribe(**{**item, "picklist": tuple(item["picklist"]), "reference_to": tuple(item["reference_to"])})
