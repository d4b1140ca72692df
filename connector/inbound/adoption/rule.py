"""Which orders of the org are to become orders here. PURE."""

from __future__ import annotations

from dataclasses import dataclass

from connector.model.inbound_change import RemoteRecord
from connector.model.record import SYNC_MESSAGE
from connector.policies import AdoptionSettings, AdoptOrders

ORDER, LINE = "Order", "OrderItem"
REDUCTION = "IsReductionOrder"
STATUS = "Status"


@dataclass(frozen=True, kw_only=True, slots=True)
class AdoptionRule:
    """What an order without a link must be like. `key` is the field of our key: an order that has one was created by a
    connector, or is somebody else's. `activated` are the Status values of the category Activated."""

    settings: AdoptionSettings
    key: str
    activated: frozenset[str]

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of Order that decide, and what a rep was told there, where the org has them."""
        box = (self.settings.adopt_checkbox,) if self.settings.adopt_orders is AdoptOrders.CHECKBOX else ()
        return (self.key, STATUS, REDUCTION, SYNC_MESSAGE, *box)

    def is_candidate(self, record: RemoteRecord) -> bool:
        """Whether this record, which has no link, is to become an order here if the filter includes it."""
        fields = record.fields
        if record.sobject != ORDER or record.deleted or fields.get(self.key) or fields.get(REDUCTION):
            return False
        match self.settings.adopt_orders:
            case AdoptOrders.OFF:
                return False
            case AdoptOrders.ACTIVATED:
                return fields.get(STATUS) in self.activated
            case AdoptOrders.CHECKBOX:
                return fields.get(self.settings.adopt_checkbox) is True
