"""Price book entries: one per product and currency in the org's standard price book, queried before they are created.

An entry has no external ID, so a create cannot be repeated safely. Products that may have entries are queried first. A
product that the org has just created has none, which saves the query.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from connector.model.change import Refusal
from connector.model.outcome import Outcome
from connector.model.product import Product
from connector.model.record import Link, changed_fields
from connector.outbound.batches import chunks
from connector.outbound.org_profile import OrgProfile
from connector.outbound.plan_types import Fields, PendingEntity, RecordUpsert
from connector.outbound.preflight import Source, first_violation
from connector.outbound.results import GONE_CODES, WriteResult, failed_result, gone_result, root_error
from connector.outbound.writer import Org
from connector.salesforce.query import in_chunks

SOBJECT = "PricebookEntry"


class Reader(Protocol):
    async def query(self, soql: str) -> list[dict[str, Any]]: ...


class PriceBook:
    """Updates the standard price book to the products' list prices."""

    def __init__(self, org: Org, reader: Reader, profile: OrgProfile, source: Source) -> None:
        self._org = org
        self._reader = reader
        self._profile = profile
        self._source = source

    def _wanted_entries(
        self, pending_entities: Sequence[PendingEntity], links: Mapping[str, Link]
    ) -> dict[str, tuple[PendingEntity, Fields]]:
        """The target fields of each entry, by price key; currencies that the org does not have are left out.

        An entry whose price no longer exists here is deactivated: the org refuses to delete an entry that lines use.
        """
        describe = self._profile.describes[SOBJECT]
        entries: dict[str, tuple[PendingEntity, Fields]] = {}
        for pending in pending_entities:
            product = pending.entity
            assert isinstance(product, Product)
            for price in product.prices:
                if price.currency in self._profile.currencies:
                    # A list price is only the default, so it may be rounded; the agreed price is sent with the line.
                    listed = self._profile.round_amount(
                        price.unit_price, price.currency, describe.fields.get("UnitPrice")
                    )
                    entries[f"{product.sku}|{price.currency}"] = (pending, {"UnitPrice": listed, "IsActive": True})
        by_sku = {pending.change.key: pending for pending in pending_entities}
        for key in links.keys() - entries.keys():
            if _sku(key) in by_sku:
                entries[key] = (by_sku[_sku(key)], {"IsActive": False})
        return entries

    async def write(
        self,
        pending_entities: Sequence[PendingEntity],
        *,
        products: Mapping[str, str],
        new_skus: set[str],
        stored_links: Mapping[str, Link],
        unconfirmed: Collection[str] = (),
    ) -> list[WriteResult]:
        """Write the entries of these products. Returns one result per product, and one per entry written or refused.

        `products` are the Product2 IDs by SKU; `new_skus` the SKUs that the org has just created; `stored_links` the
        links of entries. Entries of `unconfirmed` SKUs are queried even if there is a link.
        """
        wanted = self._wanted_entries(pending_entities, stored_links)
        links = {key: link for key, link in stored_links.items() if _sku(key) not in unconfirmed}
        keys_to_query = [key for key in wanted if key not in links and _sku(key) not in new_skus]
        if keys_to_query:
            links |= await self._query_entries(keys_to_query, products)
        results = [WriteResult(pending=pending) for pending in pending_entities]
        create: list[tuple[str, PendingEntity, Fields]] = []
        update: list[tuple[Link, PendingEntity, Fields]] = []
        for key, (pending, fields) in wanted.items():
            if key not in links and "UnitPrice" not in fields:
                continue  # the price exists neither here nor in the org
            refusal = self._check_entry(key, fields)
            if refusal is not None:
                results.append(WriteResult(pending=pending, refusal=refusal))
            elif key not in links:
                create.append((key, pending, fields))
            elif differing := changed_fields(fields, links[key].snapshot):
                update.append((links[key], pending, differing))
            elif links[key] != stored_links.get(key):
                results.append(WriteResult(pending=pending, links=(links[key],)))
        for batch in chunks(create):
            results += await self._create(batch, products)
        for rows in chunks(update):
            results += await self._update(rows)
        return results

    async def _query_entries(self, keys: Sequence[str], products: Mapping[str, str]) -> dict[str, Link]:
        """The entries that the org has for these products, whoever created them."""
        skus = {products[_sku(key)]: _sku(key) for key in keys}
        currency = ", CurrencyIsoCode" if self._profile.multi_currency else ""
        template = (
            "SELECT Id, Product2Id, UnitPrice, IsActive{currency:literal} FROM PricebookEntry"
            " WHERE Pricebook2Id = {price_book} AND Product2Id IN {values}"
        )
        single = next(iter(self._profile.currencies))
        links: dict[str, Link] = {}
        others: dict[str, Any] = {"currency": currency, "price_book": self._profile.price_book}
        for query in in_chunks(template, sorted(skus), **others):
            for row in await self._reader.query(query):
                key = f"{skus[row['Product2Id']]}|{row.get('CurrencyIsoCode', single)}"
                snapshot: Fields = {"UnitPrice": row["UnitPrice"], "IsActive": row["IsActive"]}
                links[key] = _build_link(key, row["Id"], snapshot)
        return links

    async def _create(
        self, batch: Sequence[tuple[str, PendingEntity, Fields]], products: Mapping[str, str]
    ) -> list[WriteResult]:
        records = []
        for key, _, fields in batch:
            record: Fields = {**fields, "Pricebook2Id": self._profile.price_book, "Product2Id": products[_sku(key)]}
            if self._profile.multi_currency:
                record["CurrencyIsoCode"] = key.rpartition("|")[2]
            records.append(record)
        outcomes = await self._org.collections_create(SOBJECT, records)
        results = []
        for (key, pending, fields), outcome in zip(batch, outcomes, strict=True):
            if outcome.success and outcome.id is not None:
                results.append(
                    WriteResult(pending=pending, links=(_build_link(key, outcome.id, fields),), created={SOBJECT: 1})
                )
            else:
                results.append(self._failed(key, pending, outcome))
        return results

    async def _update(self, rows: Sequence[tuple[Link, PendingEntity, Fields]]) -> list[WriteResult]:
        outcomes = await self._org.collections_update(
            [(SOBJECT, link.salesforce_id, fields) for link, _, fields in rows]
        )
        results = []
        for (link, pending, fields), outcome in zip(rows, outcomes, strict=True):
            if outcome.success:
                updated = replace(link, snapshot={**link.snapshot, **fields})
                results.append(WriteResult(pending=pending, links=(updated,), updated={SOBJECT: 1}))
            else:
                results.append(self._failed(link.key, pending, outcome))
        return results

    def _failed(self, key: str, pending: PendingEntity, outcome: Outcome) -> WriteResult:
        if root_error(outcome.errors).code in GONE_CODES:
            return gone_result(pending, [("price", key)], outcome.errors, SOBJECT)
        return failed_result(pending, outcome.errors, _entry_record(key), self._source)

    def _check_entry(self, key: str, fields: Fields) -> Refusal | None:
        describe = self._profile.describes[SOBJECT]
        return first_violation(fields, describe, record=f"price {key}", source=self._source, creating=False)


def _entry_record(key: str) -> RecordUpsert:
    return RecordUpsert(entity="price", key=key, sobject=SOBJECT, external_id="", fields={})


def _build_link(key: str, record_id: str, snapshot: Fields) -> Link:
    return Link(entity="price", key=key, sobject=SOBJECT, salesforce_id=record_id, snapshot=snapshot)


def _sku(key: str) -> str:
    return key.rpartition("|")[0]
