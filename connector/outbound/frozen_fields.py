"""Fields of a Salesforce order and its lines that cannot change, or only while the order is a Draft. PURE."""

FROZEN = frozenset({"AccountId", "EffectiveDate", "Pricebook2Id", "ContractId", "CurrencyIsoCode"})
"""Header fields that the org changes only on a Draft order."""

FROZEN_LINE = frozenset({"Quantity", "UnitPrice"})
"""Line fields that some orgs freeze once the order is activated. The connector never tries; it reopens the order."""

CREATE_ONLY = frozenset({"OrderId", "PricebookEntryId"})

SET_ONCE = frozenset({"OriginalOrderId", "IsReductionOrder", "OriginalOrderItemId"})
"""Fields of a reduction order that are set on creation and never change. The key of the reduction implies them."""
