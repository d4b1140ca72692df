"""`CONNECTOR_INBOUND__…`: how changes in the org come back, and what happens here when records are deleted, lines
changed, or orders created there."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from connector.settings.checks import matching


class DeletedRecords(StrEnum):
    """What happens if the record of a customer or product is deleted in the org: it is reported, or created again."""

    REPORT = "report"
    RECREATE = "recreate"


class DeletedOrders(StrEnum):
    """What happens if the record of an order is deleted in the org: it is reported, or created again, or the order is
    canceled here if its stage allows that."""

    REPORT = "report"
    RECREATE = "recreate"
    CANCEL = "cancel"


class DeletedLines(StrEnum):
    """What happens if a line is deleted in the org and its order is not: the line is restored there, or reported,
    or removed here if the order allows that."""

    RESTORE = "restore"
    REPORT = "report"
    REMOVE = "remove"


class ChangedLines(StrEnum):
    """What happens if a rep changes a line of an order of ours or adds one. `take`: it changes the order here if
    its stage allows that; `restore`: our lines are restored in the org."""

    TAKE = "take"
    RESTORE = "restore"


class AdoptOrders(StrEnum):
    """Which orders that reps create in the org become orders here: none, those that are activated, or those with a
    ticked checkbox, also Drafts."""

    OFF = "off"
    ACTIVATED = "activated"
    CHECKBOX = "checkbox"


class AdoptCustomers(StrEnum):
    """How the customer of an order from the org is found here: by the link or the key of its account. `create`: an
    account that is no customer becomes one, with its first order. `all`: every account without a key does, as soon
    as it is created or changed."""

    LINK = "link"
    CREATE = "create"
    ALL = "all"


class AdoptProducts(StrEnum):
    """How the products of an order from the org are found here: by their link or key. `product_code`: also by their
    ProductCode; `create`: one that is not found becomes a product here, with its first order; `all`: every product
    without a key does, with its prices in the standard price book."""

    LINK = "link"
    PRODUCT_CODE = "product_code"
    CREATE = "create"
    ALL = "all"


class AdoptionSettings(BaseModel):
    """Which orders that were created in the org become orders here, and how their customers and products are found."""

    model_config = ConfigDict(extra="forbid")

    adopt_orders: AdoptOrders = AdoptOrders.ACTIVATED
    adopt_checkbox: Annotated[str, matching(r"(\w+)?", "Send_To_Shop__c")] = ""
    """The API name of the checkbox of Order, with `checkbox`."""
    adopt_filter: str = ""
    """A SOQL condition on Order that must hold as well, such as `Type != 'ERP'`."""
    adopt_since: date | None = None
    """Orders that were activated before this day are not adopted; without it, those from before the connector first
    worked with the org."""
    adopt_prefix: Annotated[str, matching(r"[A-Za-z0-9._/-]{1,20}", "SF-")] = "SF-"
    """What the number of an adopted order begins with, before the order number of the org."""
    adopt_customers: AdoptCustomers = AdoptCustomers.LINK
    adopt_products: AdoptProducts = AdoptProducts.LINK

    @property
    def problems(self) -> dict[str, str]:
        """What is wrong with settings that depend on each other, by name."""
        if self.adopt_orders is AdoptOrders.CHECKBOX and not self.adopt_checkbox:
            return {"adopt_checkbox": "must be set: the checkbox of Order that says which orders are adopted"}
        return {}


class InboundSettings(AdoptionSettings):
    """How changes in the org come back."""

    listen: bool = True
    """Whether the service listens to the org: to changes and actions there; it also publishes events then."""
    topic: Annotated[str, matching(r"/(data|event)/\w+", "/data/Connector__chn")] = "/data/Connector__chn"
    """What the listener subscribes to: the channel that `connector org deploy` puts into the org."""
    poll_seconds: float = Field(default=300, ge=5, le=86400)
    """How often the listener polls for what events may have missed; where it only polls, the longest pause."""
    fastest_poll_seconds: float = Field(default=15, ge=1, le=86400)
    """The shortest pause between polls, where the listener only polls."""
    poll_calls_per_day: int = Field(default=5000, ge=100, le=10_000_000)
    """API calls that the listener's polls may take in a day; the more are used, the longer the pause."""
    delivery_reserve_percent: float = Field(default=10, ge=0, le=90)
    """The part of the org's event deliveries that the listener leaves to others: then it polls until midnight."""
    most_deliveries_per_day: int = Field(default=0, ge=0, le=1_000_000_000)
    """Event deliveries that the listener may use in 24 hours; 0: as many as the org allows, but for the reserve."""
    deleted_customers: DeletedRecords = DeletedRecords.REPORT
    deleted_products: DeletedRecords = DeletedRecords.REPORT
    deleted_orders: DeletedOrders = DeletedOrders.REPORT
    deleted_lines: DeletedLines = DeletedLines.RESTORE
    changed_lines: ChangedLines = ChangedLines.TAKE
