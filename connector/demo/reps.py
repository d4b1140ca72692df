"""A sales rep of the demo's org: a user of their own, who edits records, asks for actions and creates orders there.

Everything is done by the API of the org with the rep's own session, as a page or a Flow would do it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from pydantic import SecretStr

from connector.errors import ConnectorError
from connector.model.platform_event import ORDER_ACTION
from connector.salesforce.client import SalesforceClient
from connector.salesforce.query import soql
from connector.service import Services
from connector.settings.salesforce import AuthMethod

USERNAME = "rep@demo.example"
_USER = {
    "Username": USERNAME, "LastName": "Sales Rep", "Alias": "rep", "Email": USERNAME, "TimeZoneSidKey": "UTC",
    "LocaleSidKey": "en_US", "EmailEncodingKey": "UTF-8", "LanguageLocaleKey": "en_US",
}  # fmt: skip

Lines = Sequence[tuple[str, int, Decimal]]
"""SKU, quantity, unit price."""


class SalesRep:
    """What the rep does in the org. Raises ConnectorError if the org refuses it."""

    def __init__(self, client: SalesforceClient) -> None:
        self._client = client

    async def change(self, sobject: str, field: str, values: Mapping[str, str]) -> None:
        """Set a field of the records with these keys."""
        ids = await self._ids(sobject, list(values))
        rows = [(sobject, ids[key], {field: value}) for key, value in values.items()]
        for outcome in await self._client.collections_update(rows):
            _require(outcome)

    async def find(self, sobject: str, keys: Sequence[str]) -> list[str]:
        """Return those of these keys that the org knows."""
        ids = await self._ids(sobject, keys) if keys else {}
        return [key for key in keys if key in ids]

    async def ask(self, number: str, action: str, **fields: Any) -> None:
        """Press the button of an action."""
        body = {"Order_Number__c": number, "Action__c": action, "Requested_By__c": "Sales Rep", **fields}
        [outcome] = await self._client.collections_create(ORDER_ACTION, [body])
        _require(outcome)

    async def create_order(self, customer: str, lines: Lines, *, on: str, notes: str) -> str:
        """Create and activate an order; return its number in the org."""
        [book] = await self._client.query("SELECT Id FROM Pricebook2 WHERE IsStandard = true")
        account = (await self._ids("Account", [customer]))[customer]
        order = await self._create(
            "Order", AccountId=account, EffectiveDate=on, Status="Draft", Pricebook2Id=book["Id"], Description=notes
        )
        for sku, quantity, price in lines:
            [entry] = await self._client.query(
                soql(
                    "SELECT Id FROM PricebookEntry WHERE Pricebook2.IsStandard = true"
                    " AND Product2.External_Key__c = {sku}",
                    sku=sku,
                )
            )
            await self._create(
                "OrderItem", OrderId=order, PricebookEntryId=entry["Id"], Quantity=quantity, UnitPrice=price
            )
        [outcome] = await self._client.collections_update([("Order", order, {"Status": "Activated"})])
        _require(outcome)
        [row] = await self._client.query(soql("SELECT OrderNumber FROM Order WHERE Id = {order}", order=order))
        return str(row["OrderNumber"])

    async def _create(self, sobject: str, **fields: Any) -> str:
        [outcome] = await self._client.collections_create(sobject, [fields])
        _require(outcome)
        return str(outcome.id)

    async def _ids(self, sobject: str, keys: Sequence[str]) -> dict[str, str]:
        """The record IDs of these keys."""
        rows = await self._client.query(
            soql(
                "SELECT Id, External_Key__c FROM {sobject:literal} WHERE External_Key__c IN {keys}",
                sobject=sobject,
                keys=list(keys),
            )
        )
        return {row["External_Key__c"]: str(row["Id"]) for row in rows}


def _require(outcome: Any) -> None:
    if not outcome.success:
        raise ConnectorError(f"The org refused what the rep does: {outcome.errors}.")


@asynccontextmanager
async def rep_session(service: Services) -> AsyncIterator[SalesforceClient]:
    """A session of the rep. The user is created if the org does not have it yet."""
    client = service.client
    await client.connect()
    present = await client.query(soql("SELECT Id FROM User WHERE Username = {name}", name=USERNAME))
    if present:
        user_id = str(present[0]["Id"])
    else:
        [profile] = await client.query("SELECT Id FROM Profile WHERE Name = 'Standard User'")
        [created] = await client.collections_create("User", [{**_USER, "ProfileId": profile["Id"]}])
        _require(created)
        user_id = str(created.id)
    password = f"{secrets.token_urlsafe(12)}1aA"
    path = f"sobjects/User/{user_id}/password"
    await client.control.run(lambda org: org.restful(path, method="POST", data=json.dumps({"NewPassword": password})))
    settings = service.settings.salesforce.model_copy(
        update={"auth": AuthMethod.PASSWORD, "username": USERNAME, "password": SecretStr(password)}
    )
    async with SalesforceClient(settings, clock=service.clock, attempts=1) as own:
        await own.connect()
        yield own
