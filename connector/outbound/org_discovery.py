"""Discovers what the org is like (objects, statuses, currencies) with one API call, and caches the answer
for an hour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any, Protocol

import orjson

from connector.errors import RefusedError, RetryClass, SalesforceError
from connector.model.describe import FieldDescribe, RecordTypeDescribe, SObjectDescribe
from connector.outbound.org_profile import SOBJECTS, OrgProfile
from connector.settings.salesforce import SalesforceSettings
from connector.store import org_metadata
from connector.store.engine import Connection, Store

CACHE_LIFETIME = timedelta(hours=1)
QUERIES = (
    "SELECT Id, IsActive FROM Pricebook2 WHERE IsStandard = true",
    "SELECT ApiName, StatusCode FROM OrderStatus",
    # Refused by an org without multi-currency, and by one without person accounts:
    "SELECT IsoCode, DecimalPlaces FROM CurrencyType WHERE IsActive = true",
    "SELECT Id FROM RecordType WHERE SobjectType = 'Account' AND IsPersonType = true",
)
_ABSENT = frozenset({"INVALID_TYPE", "INVALID_FIELD"})
CACHE_FORMAT = "4"
"""Changes with the format of the cached answer; an answer in an older format is not used."""


Rows = list[dict[str, Any]]


class Feature(StrEnum):
    """What an org must have for us to send orders to it."""

    OBJECTS = "objects"
    STATUSES = "statuses"
    PRICE_BOOK = "price book"
    CURRENCIES = "currencies"
    RECORD_TYPES = "record types"


@dataclass(frozen=True, kw_only=True, slots=True)
class OrgAnswers:
    """What an org says of itself: the describe of each object that our user can see, and the answer to each query.
    `others`: those to queries besides ours."""

    describes: Mapping[str, SObjectDescribe]
    price_books: Rows | RefusedError
    statuses: Rows | RefusedError
    currencies: Rows | RefusedError
    person_types: Rows | RefusedError
    others: tuple[Rows | RefusedError, ...] = ()


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
    async with store.single_reader() as connection:
        cached = await org_metadata.get(connection, org_id)
    if cached is not None and not refresh and clock.now() - cached.fetched_at < CACHE_LIFETIME:
        asked, profile = _read(cached.body)
        if asked == request and profile is not None:
            return profile
    answers = await ask_org(org, extra_sobjects)
    for _, error in find_lacks(answers, settings, extra_sobjects=extra_sobjects):
        raise error
    profile = build_profile(answers, org_id, currency=currency)
    async with store.transaction() as uow:
        await org_metadata.put(uow, org_id, _dump(profile, request))
    return profile


async def load_stored_profile(connection: Connection, org_id: str) -> tuple[OrgProfile, datetime] | None:
    """The profile as it was last discovered, however long ago, and when; None if it was never, or by another
    release."""
    cached = await org_metadata.get(connection, org_id)
    profile = None if cached is None else read_profile(cached.body)
    return None if cached is None or profile is None else (profile, cached.fetched_at)


def read_profile(text: str) -> OrgProfile | None:
    """The profile from the form in which it is stored; None if another release stored it."""
    return _read(text)[1]


@lru_cache(maxsize=8)
def _read(text: str) -> tuple[dict[str, str], OrgProfile | None]:
    """What was asked for, and the profile; None if another release stored it. Nobody changes them: each push and each
    poll reads the same text, which takes some milliseconds."""
    body = orjson.loads(text)
    asked = body.get("asked", {})
    return asked, _load(body) if asked.get("kept_as") == CACHE_FORMAT else None


def with_former_shapes(text: str, former: str, places: Iterable[tuple[str, str]]) -> str:
    """A profile as it is stored, with these fields (object and name) as `former` has them. `RecordTypeId` stands for
    the record types of the object."""
    body = orjson.loads(text)
    old = {item["name"]: item for item in orjson.loads(former)["describes"]}
    new = {item["name"]: item for item in body["describes"]}
    for sobject, name in places:
        if sobject not in old or sobject not in new:
            continue
        if name in old[sobject]["fields"]:
            new[sobject]["fields"][name] = old[sobject]["fields"][name]
        if name == "RecordTypeId":
            new[sobject]["record_types"] = old[sobject]["record_types"]
    return orjson.dumps(body).decode()


async def ask_org(org: Describer, extra_sobjects: Sequence[str] = (), extra_queries: Sequence[str] = ()) -> OrgAnswers:
    """What the org says of itself, by one API call, or by two if there are more queries."""
    describes, rows = await org.describe_many([*SOBJECTS, *extra_sobjects], [*QUERIES, *extra_queries])
    price_books, statuses, currencies, person_types, *others = rows
    return OrgAnswers(
        describes=describes,
        price_books=price_books,
        statuses=statuses,
        currencies=currencies,
        person_types=person_types,
        others=tuple(others),
    )


def find_lacks(
    answers: OrgAnswers, settings: SalesforceSettings, *, extra_sobjects: Sequence[str] = ()
) -> Iterator[tuple[Feature, SalesforceError]]:
    """What keeps us from sending orders to the org, and who can enable it."""
    describes, version = answers.describes, settings.api_version
    missing = [name for name in SOBJECTS if name not in describes]
    if len(missing) == len(SOBJECTS):
        yield (
            Feature.OBJECTS,
            _missing_feature(
                f"The org describes none of {', '.join(SOBJECTS)} in API version {version}.",
                "Check CONNECTOR_SALESFORCE__API_VERSION, and that the connector's user has the permission set"
                " CRM Connector.",
            ),
        )
    elif missing:
        yield (
            Feature.OBJECTS,
            _missing_feature(
                f"The org has no {', '.join(missing)}, or the connector's user may not see it.",
                "Ask an admin to enable Orders (Setup, Order Settings) and to assign the permission set CRM Connector.",
            ),
        )
    if absent := [name for name in extra_sobjects if name not in describes]:
        yield (
            Feature.OBJECTS,
            _missing_feature(
                f"The org has no {', '.join(absent)}, or the connector's user may not see it.",
                "Return Orders come with Field Service or Order Management; without them set"
                " CONNECTOR_SALESFORCE__RETURNS to auto.",
            ),
        )
    if isinstance(answers.statuses, RefusedError):
        yield Feature.STATUSES, answers.statuses
    if isinstance(answers.price_books, RefusedError):
        yield Feature.PRICE_BOOK, answers.price_books
    for feature, rows in ((Feature.CURRENCIES, answers.currencies), (Feature.RECORD_TYPES, answers.person_types)):
        if isinstance(rows, RefusedError) and rows.code not in _ABSENT:
            yield feature, rows  # another error does not mean that the org lacks the feature
    if not isinstance(answers.price_books, RefusedError) and not any(row["IsActive"] for row in answers.price_books):
        yield (
            Feature.PRICE_BOOK,
            _missing_feature(
                "The org's standard price book is inactive: no order could have a line.",
                "Ask an admin to activate it (Price Books, Standard Price Book).",
            ),
        )


def build_profile(answers: OrgAnswers, org_id: str, *, currency: str) -> OrgProfile:
    """The profile; `currency` is that of an org without multi-currency."""
    currencies, price_books = answers.currencies, _rows(answers.price_books)
    return OrgProfile(
        org_id=org_id,
        describes=answers.describes,
        statuses={row["ApiName"]: row["StatusCode"] for row in _rows(answers.statuses)},
        price_book=price_books[0]["Id"] if price_books else "",
        currencies=frozenset(
            [currency] if isinstance(currencies, RefusedError) else [row["IsoCode"] for row in currencies]
        ),
        decimals={row["IsoCode"]: int(row["DecimalPlaces"]) for row in _rows(currencies)},
        person_types=frozenset(row["Id"] for row in _rows(answers.person_types)),
    )


def _rows(answer: Rows | RefusedError) -> Rows:
    return [] if isinstance(answer, RefusedError) else answer


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
    lists = {name: tuple(item[name]) for name in ("picklist", "inactive", "reference_to")}
    return FieldDescribe(**{**item, **lists})
