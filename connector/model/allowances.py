"""How the org's allowances of 24 hours are shared with its other apps. PURE."""

from __future__ import annotations

from dataclasses import dataclass, field

from connector.model.api_budget import BudgetPolicy
from connector.model.deliveries import DeliveryPolicy


@dataclass(frozen=True, kw_only=True, slots=True)
class AllowancePolicies:
    """How much of the API calls and of the event deliveries is ours."""

    calls: BudgetPolicy = field(default_factory=BudgetPolicy)
    deliveries: DeliveryPolicy = field(default_factory=DeliveryPolicy)
