"""What an administrator of the org can switch: order features and the size of the API allowance."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(kw_only=True)
class OrgSettings:
    multi_currency: bool = False
    currency: str = "USD"
    reduction_orders: bool = False
    negative_quantity: bool = False
    zero_quantity: bool = False
    enhanced_commerce_orders: bool = False
    api_limit: int = 1_000_000
    token_seconds: int = 7200
