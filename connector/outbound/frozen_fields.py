"""Which fields of a Salesforce order and its lines cannot be changed, or only while the order is a Draft. PURE."""

FROZEN = frozenset({"AccountId", "EffectiveDate", "Pricebook2Id", "ContractId", "CurrencyIsoCode"})
"""Header fields that only a Draft order lets go of."""

FROZEN_LINE = frozenset({"Quantity", "UnitPrice"})
"""Line fields that an activated order may hold on to; orgs differ, so we never try."""

CREATE_ONLY = frozenset({"OrderId", "PricebookEntryId"})

ONCE = frozenset({"OriginalOrderId", "IsReductionOrder", "OriginalOrderItemId"})
"""Fields of a reduction that are set with it and never change; its key tells them."""
