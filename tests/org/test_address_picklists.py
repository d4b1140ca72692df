"""Chapter K: orgs with state and country picklists."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from connector.cli.localorg import our_metadata
from connector.localorg.org import OrgOptions
from connector.localorg.server import LocalOrg
from connector.localorg.settings import Country, OrgSettings
from tests.org.conftest import Caller

COUNTRIES = {
    "Germany": Country(code="DE"),
    "United States": Country(code="US", states={"California": "CA", "Texas": "TX"}),
}
FIELDS = ("BillingCountry", "BillingCountryCode", "BillingState", "BillingStateCode")


@pytest.fixture
async def picky() -> AsyncIterator[Caller]:
    options = OrgOptions(metadata_root=our_metadata(), settings=OrgSettings(countries=COUNTRIES))
    async with LocalOrg(options) as org, aiohttp.ClientSession() as http:
        yield Caller(org, http)


async def address(caller: Caller, account: str) -> list[Any]:
    _, body = await caller.call("GET", f"sobjects/Account/{account}")
    return [body[name] for name in FIELDS]


async def test_label_and_code_set_each_other(picky: Caller) -> None:
    account = await picky.create("Account", Name="A", BillingCountry="United States", BillingState="Texas")
    assert await address(picky, account) == ["United States", "US", "Texas", "TX"]
    await picky.call("PATCH", f"sobjects/Account/{account}", {"BillingStateCode": "CA"})
    assert await address(picky, account) == ["United States", "US", "California", "CA"]
    await picky.call("PATCH", f"sobjects/Account/{account}", {"BillingState": None, "BillingCountry": "DE"})
    assert await address(picky, account) == ["Germany", "DE", None, None]
    described = (await picky.call("GET", "sobjects/Account/describe"))[1]["fields"]
    [field] = [item for item in described if item["name"] == "ShippingCountryCode"]
    assert (field["type"], [item["value"] for item in field["picklistValues"]]) == ("picklist", ["DE", "US"])


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"BillingCountry": "Deutschland"}, "Please select a country/territory from the list of valid countries."),
        (
            {"BillingCountry": "Germany", "BillingState": "Texas"},
            "Please select a state from the list of valid",
        ),
        ({"BillingState": "Texas"}, "A country/territory must be specified before specifying a state value for field"),
    ],
)
async def test_value_that_is_not_listed_is_refused(picky: Caller, fields: dict[str, str], problem: str) -> None:
    status, code, message = await picky.refusal("POST", "sobjects/Account", {"Name": "A", **fields})
    assert (status, code) == (400, "FIELD_INTEGRITY_EXCEPTION")
    assert problem in message
