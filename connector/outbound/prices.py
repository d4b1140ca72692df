"""Price book entries: one per product and currency in the org's standard price book, found before they are made.

An entry has no external ID, so a create cannot be repeated blindly: a product that may have entries is asked for them
first. A product that the org has just created has none, which saves the query.
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
from connector.outbound.results import GONE, WriteResult, cause, failure, gone
from connector.outbound.writer import Org
from connector.salesforce.query import in_chunks

SOBJECT = "PricebookEntry"


class Reader(Protocol):
    async def query(self, soql: str) -> list[dict[str, Any]]: ...


class PriceBook:
    """Brings the standard price book in line with the products' list prices."""

    def __init__(self, org: Org, reader: Reader, facts: OrgProfile, source: Source) -> None:
        self._org = org
        self._reader = reader
        self._facts = facts
        self._source = source

    def _entries(
        self, candidates: Sequence[PendingEntity], known: Mapping[str, Link]
    ) -> dict[str, tuple[PendingEntity, Fields]]:
        """The values each entry shall have, by price key, leaving out currencies the org does not have. An entry whose
        price is gone here is switched off: lines that use it keep it, and the org refuses to delete such a one."""
        describe = self._facts.describes[SOBJECT]
        found: dict[str, tuple[PendingEntity, Fields]] = {}
        for candidate in candidates:
            product = candidate.entity
            assert isinstance(product, Product)
            for price in product.prices:
                if price.currency in self._facts.currencies:
                    # A list price is a proposal, so the org's cents will do; what was agreed travels with the line.
                    listed = self._facts.rounded(price.unit_price, price.currency, describe.fields.get("UnitPrice"))
                    found[f"{product.sku}|{price.currency}"] = (candidate, {"UnitPrice": listed, "IsActive": True})
        by_sku = {candidate.change.key: candidate for candidate in candidates}
        for key in known.keys() - found.keys():
            if _sku(key) in by_sku:
                found[key] = (by_sku[_sku(key)], {"IsActive": False})
        return found

    async def write(
        self,
        candidates: Sequence[PendingEntity],
        *,
        products: Mapping[str, str],
        fresh: set[str],
        known: Mapping[str, Link],
        doubtful: Collection[str] = (),
    ) -> list[WriteResult]:
        """One piece per entry written or refused, and one for each product that needed none.

        `products` are the Product2 IDs by SKU, `fresh` the SKUs the org has just created, `known` the links of entries;
        those of `doubtful` SKUs are looked up all the same.
        """
        wanted = self._entries(candidates, known)
        links = {key: link for key, link in known.items() if _sku(key) not in doubtful}
        unsure = [key for key in wanted if key not in links and _sku(key) not in fresh]
        if unsure:
            links |= await self._find(unsure, products)
        pieces = [WriteResult(candidate=candidate) for candidate in candidates]
        create: list[tuple[str, PendingEntity, Fields]] = []
        update: list[tuple[Link, PendingEntity, Fields]] = []
        for key, (candidate, fields) in wanted.items():
            if key not in links and "UnitPrice" not in fields:
                continue  # gone here, and there
            found = self._refused(key, fields)
            if found is not None:
                pieces.append(WriteResult(candidate=candidate, refusal=found))
            elif key not in links:
                create.append((key, candidate, fields))
            elif differing := changed_fields(fields, links[key].snapshot):
                update.append((links[key], candidate, differing))
            elif links[key] != known.get(key):
                pieces.append(WriteResult(candidate=candidate, links=(links[key],)))
        for batch in chunks(create):
            pieces += await self._create(batch, products)
        for rows in chunks(update):
            pieces += await self._update(rows)
        return pieces

    async def _find(self, keys: Sequence[str], products: Mapping[str, str]) -> dict[str, Link]:
        """Entries the org has for these products, whoever made them."""
        skus = {products[_sku(key)]: _sku(key) for key in keys}
        currency = ", CurrencyIsoCode" if self._facts.multi_currency else ""
        template = (
            "SELECT Id, Product2Id, UnitPrice, IsActive{currency:literal} FROM PricebookEntry"
            " WHERE Pricebook2Id = {price_book} AND Product2Id IN {values}"
        )
        single = next(iter(self._facts.currencies))
        found: dict[str, Link] = {}
        others: dict[str, Any] = {"currency": currency, "price_book": self._facts.price_book}
        for query in in_chunks(template, sorted(skus), **others):
            for row in await self._reader.query(query):
                key = f"{skus[row['Product2Id']]}|{row.get('CurrencyIsoCode', single)}"
                snapshot: Fields = {"UnitPrice": row["UnitPrice"], "IsActive": row["IsActive"]}
                found[key] = _link(key, row["Id"], snapshot)
        return found

    async def _create(
        self, batch: Sequence[tuple[str, PendingEntity, Fields]], products: Mapping[str, str]
    ) -> list[WriteResult]:
        records = []
        for key, _, fields in batch:
            record: Fields = {**fields, "Pricebook2Id": self._facts.price_book, "Product2Id": products[_sku(key)]}
            if self._facts.multi_currency:
                record["CurrencyIsoCode"] = key.rpartition("|")[2]
            records.append(record)
        outcomes = await self._org.collections_create(SOBJECT, records)
        pieces = []
        for (key, candidate, fields), outcome in zip(batch, outcomes, strict=True):
            if outcome.success and outcome.id is not None:
                pieces.append(
                    WriteResult(candidate=candidate, links=(_link(key, outcome.id, fields),), created={SOBJECT: 1})
                )
            else:
                pieces.append(self._failed(key, candidate, outcome))
        return pieces

    async def _update(self, rows: Sequence[tuple[Link, PendingEntity, Fields]]) -> list[WriteResult]:
        outcomes = await self._org.collections_update(
            [(SOBJECT, link.salesforce_id, fields) for link, _, fields in rows]
        )
        pieces = []
        for (link, candidate, fields), outcome in zip(rows, outcomes, strict=True):
            if outcome.success:
                moved = replace(link, snapshot={**link.snapshot, **fields})
                pieces.append(WriteResult(candidate=candidate, links=(moved,), updated={SOBJECT: 1}))
            else:
                pieces.append(self._failed(link.key, candidate, outcome))
        return pieces

    def _failed(self, key: str, candidate: PendingEntity, outcome: Outcome) -> WriteResult:
        if cause(outcome.errors).code in GONE:
            return gone(candidate, [("price", key)], outcome.errors, SOBJECT)
        return failure(candidate, outcome.errors, _record(key), self._source)

    def _refused(self, key: str, fields: Fields) -> Refusal | None:
        describe = self._facts.describes[SOBJECT]
        return first_violation(fields, describe, record=f"price {key}", source=self._source, creating=False)


def _record(key: str) -> RecordUpsert:
    return RecordUpsert(entity="price", key=key, sobject=SOBJECT, external_id="", fields={})


def _link(key: str, record_id: str, snapshot: Fields) -> Link:
    return Link(entity="price", key=key, sobject=SOBJECT, salesforce_id=record_id, snapshot=snapshot)


def _sku(key: str) -> str:
    return key.rpartition("|")[0]
