"""Which records of the org are to become orders, customers or products here. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from connector.model.inbound_change import RemoteRecord
from connector.model.observed_value import read_moment
from connector.model.record import IS_PERSON, SYNC_MESSAGE, FieldValue
from connector.settings.inbound import AdoptCustomers, AdoptionSettings, AdoptOrders, AdoptProducts

ORDER, LINE, ACCOUNT, PRODUCT = "Order", "OrderItem", "Account", "Product2"
REDUCTION = "IsReductionOrder"
STATUS = "Status"
ACTIVATED_AT = "ActivatedDate"


@dataclass(frozen=True, kw_only=True, slots=True)
class AdoptionRule:
    """What a record without a link must be like. `keys` are the fields of our key, by object: a record that has one was
    created by a connector, or is somebody else's. `activated` are the Status values of the category Activated. An order
    that was activated before `since` is history: it is not adopted, whatever touches it later."""

    settings: AdoptionSettings
    keys: Mapping[str, str]
    activated: frozenset[str]
    since: datetime

    @property
    def sobjects(self) -> frozenset[str]:
        """The objects whose records may become something here."""
        settings = self.settings
        wanted = {
            ORDER: settings.adopt_orders is not AdoptOrders.OFF and ORDER in self.keys,
            ACCOUNT: settings.adopt_customers is AdoptCustomers.ALL,
            PRODUCT: settings.adopt_products is AdoptProducts.ALL,
        }
        return frozenset(sobject for sobject, is_wanted in wanted.items() if is_wanted)

    def fields(self, sobject: str) -> tuple[str, ...]:
        """The fields that decide, name what becomes of it, or tell a rep, where the org has them."""
        if sobject not in self.sobjects:
            return ()
        key = self.keys[sobject]
        match sobject:
            case "Account":
                return (key, "AccountNumber", IS_PERSON)
            case "Product2":
                return (key, "ProductCode")
        box = (self.settings.adopt_checkbox,) if self.settings.adopt_orders is AdoptOrders.CHECKBOX else ()
        return (key, STATUS, ACTIVATED_AT, REDUCTION, SYNC_MESSAGE, *box)

    def is_candidate(self, record: RemoteRecord) -> bool:
        """Whether this record, which has no link, is to become something here, an order if the filter includes it."""
        fields = record.fields
        if record.sobject not in self.sobjects or record.deleted or self.has_key(record):
            return False
        return record.sobject != ORDER or self._includes_order(fields)

    def has_key(self, record: RemoteRecord) -> bool:
        """Whether a record has a key, ours or another one."""
        return bool(record.fields.get(self.keys.get(record.sobject, "")))

    def _includes_order(self, fields: Mapping[str, FieldValue]) -> bool:
        if fields.get(REDUCTION):
            return False
        if self.settings.adopt_orders is AdoptOrders.CHECKBOX:
            return fields.get(self.settings.adopt_checkbox) is True
        activated_at = fields.get(ACTIVATED_AT)
        is_recent = activated_at is None or read_moment(str(activated_at)) >= self.since
        return fields.get(STATUS) in self.activated and is_recent
