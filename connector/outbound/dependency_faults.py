"""Why an entity waits for another one that is not in the org yet. PURE."""

from __future__ import annotations

from connector.errors import RetryClass
from connector.salesforce.fault import Fault

PRODUCT_NOT_SENT_YET = Fault(
    code="PRODUCT_NOT_SENT_YET",
    retry_class=RetryClass.TRANSIENT,
    sentence="A product of the order is not in the org yet.",
    fix="Nothing to do: the order follows its products.",
    follows=True,
)

ORIGINAL_NOT_ACTIVATED = Fault(
    code="ORIGINAL_NOT_ACTIVATED",
    retry_class=RetryClass.TRANSIENT,
    sentence="The order that the return belongs to is not in the org yet, or not activated there.",
    fix="Nothing to do: the return follows its order. If the order was refused, fix the order first.",
    follows=True,
)
