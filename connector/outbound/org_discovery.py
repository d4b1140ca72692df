"""Asks the org what it is like, in one call, and keeps the answer for an hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Protocol

import orjson

from connector.clock import Clock
from connector.errors import RefusedError, RetryClass, SalesforceError
from connector.model.describe import FieldDescribe, RecordTypeDescribe, SObjectDescribe
from connector.outbound.org_profile import SOBJECTS, OrgProfile
from connector.store import org_metadata
from connector.store.engine import Store

FRESH = timedelta(hours=1)
QUERIES = (
    "SELECT Id, IsActive FROM Pricebook2 WHERE IsStandard = true",
    "SELECT ApiName, StatusCode FROM OrderStatus",
    # Refused by an org without multi-currency, and by one without person accounts:
    "SELECT IsoCode, DecimalPlaces FROM CurrencyType WHERE IsActive = true",
    "SELECT Id FROM RecordType WHERE SobjectType = 'Account' AND IsPersonType = true",
)
_ABSENT = frozenset({"INVALID_TYPE", "INVALID_FIELD"})
KEPT_AS = "2"
"""Changes with what is kept; what an earlier version of this program kept is asked for anew."""


class Describer(Protocol):
    async def describe_many(
        self, sobjects: Sequence[str], queries: Sequence[str]
    ) -> tuple[dict[str, SObjectDescribe], list[list[dict[str, Any]] | RefusedError]]: ...


async def discover_org(
    store: Store,
    org: Describer,
    org_id: str,
    *,
    version: str,
    currency: str,
    clock: Clock,
    fresh: bool = False,
    more: Sequence[str] = (),
) -> OrgProfile:
    """The facts of `org_id`: as kept for an hour, unless they shall be `fresh`; else as the org tells them now.

    `version` is that of the API. `currency` is that of an org without multi-currency: no field of it says which.
    `more` are objects that are needed besides. SalesforceError names what the org lacks and who can switch it on.
    """
    asked = {"version": version, "currency": currency, "more": ",".join(more), "kept_as": KEPT_AS}
    async with store.reader() as connection:
        kept = await org_metadata.get(connection, org_id)
    if kept is not None and not fresh and clock.now() - kept.fetched_at < FRESH:
        body = orjson.loads(kept.body)
        if body.get("asked") == asked:
            return _load(body)
    describes, answers = await org.describe_many([*SOBJECTS, *more], QUERIES)
    price_books, statuses, currencies, person_types = answers
    missing = [name for name in SOBJECTS if name not in describes]
    if len(missing) == len(SOBJECTS):
        raise _lacking(
            f"The org answers nothing we ask in API version {version}.",
            "Check CONNECTOR_SALESFORCE__API_VERSION, and that the connector's user has the permission set"
            " CRM Connector.",
        )
    if missing:
        raise _lacking(
            f"The org has no {', '.join(missing)}, or the connector's user may not see it.",
            "Ask an admin to enable Orders (Setup, Order Settings) and to assign the permission set CRM Connector.",
        )
    if absent := [name for name in more if name not in describes]:
        raise _lacking(
            f"The org has no {', '.join(absent)}, or the connector's user may not see it.",
            "Return Orders come with Field Service or Order Management; without them set"
            " CONNECTOR_SALESFORCE__RETURNS to auto.",
        )
    if isinstance(statuses, RefusedError):
        raise statuses
    if isinstance(price_books, RefusedError):
        raise price_books
    for answer in (currencies, person_types):
        if isinstance(answer, RefusedError) and answer.code not in _ABSENT:
            raise answer  # it does not say that the org has none
    if not price_books or not price_books[0]["IsActive"]:
        raise _lacking(
            "The org's standard price book is inactive: no order could have a line.",
            "Ask an admin to activate it (Price Books, Standard Price Book).",
        )
    facts = OrgProfile(
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
        await org_metadata.put(uow, org_id, _dump(facts, asked))
    return facts


async def get_flag(store: Store, org_id: str, name: str) -> bool | None:
    """What was noted of this org since it was last asked; None if nothing was."""
    async with store.reader() as connection:
        kept = await org_metadata.get(connection, org_id)
    found = orjson.loads(kept.body).get("notes", {}).get(name) if kept else None
    return found if isinstance(found, bool) else None


async def set_flag(store: Store, org_id: str, name: str, value: bool) -> None:
    """Keep `value` as long as what the org told."""
    async with store.transaction() as uow:
        kept = await org_metadata.get(uow.connection, org_id)
        if kept is not None:
            body = orjson.loads(kept.body)
            body["notes"] = {**body.get("notes", {}), name: value}
            await org_metadata.amend(uow, org_id, orjson.dumps(body).decode())


def _lacking(message: str, hint: str) -> SalesforceError:
    return SalesforceError(message, hint=hint, retry_class=RetryClass.CONFIG)


def _dump(facts: OrgProfile, asked: dict[str, str]) -> str:
    body = {
        "asked": asked,
        "org_id": facts.org_id,
        "describes": [asdict(describe) for describe in facts.describes.values()],
        "statuses": facts.statuses,
        "price_book": facts.price_book,
        "currencies": sorted(facts.currencies),
        "decimals": dict(facts.decimals),
        "person_types": sorted(facts.person_types),
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
    types = tuple(RecordTypeDescribe(**given) for given in item["record_types"])
    return SObjectDescribe(**{**item, "fields": fields, "record_types": types})


def _field(item: dict[str, Any]) -> FieldDescribe:
    return FieldDescribe(**{**item, "picklist": tuple(item["picklist"]), "reference_to": tuple(item["reference_to"])})
