"""What happens here when records are deleted in the org, lines are changed there, or orders are created there."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict

from connector.setting_checks import matching


class DeletedRecords(StrEnum):
    """What to do if the record of a customer or product is deleted in the org: report it, or create it again."""

    REPORT = "report"
    RECREATE = "recreate"


class DeletedOrders(StrEnum):
    """The same for the record of an order; or cancel the order here, if its stage allows that."""

    REPORT = "report"
    RECREATE = "recreate"
    CANCEL = "cancel"


class DeletedLines(StrEnum):
    """The same for a line of an order that is still there; or remove the line here, if the order allows that."""

    RESTORE = "restore"
    REPORT = "report"
    REMOVE = "remove"


class ChangedLines(StrEnum):
    """What to do if a line of an order of ours is changed or added in the org: take it over, if the order allows that;
    or restore ours."""

    TAKE = "take"
    RESTORE = "restore"


class AdoptOrders(StrEnum):
    """Which orders that were created in the org become orders here: none, those that are activated, or those on which a
    checkbox is ticked."""

    OFF = "off"
    ACTIVATED = "activated"
    CHECKBOX = "checkbox"


class AdoptCustomers(StrEnum):
    """How the customer of such an order is found here: by the link or the key of its account. `create`: an account that
    is no customer becomes one, with its first order. `all`: every account does, without an order."""

    LINK = "link"
    CREATE = "create"
    ALL = "all"


class AdoptProducts(StrEnum):
    """How the products of such an order are found here: by their link or key, or also by their ProductCode. `create`:
    one that is not found becomes a product here, with its first order. `all`: every product does, without an order."""

    LINK = "link"
    PRODUCT_CODE = "product_code"
    CREATE = "create"
    ALL = "all"


class AdoptionSettings(BaseModel):
    """Which orders that were created in the org become orders here, and how their customers and products are found."""

    model_config = ConfigDict(extra="forbid")

    adopt_orders: AdoptOrders = AdoptOrders.ACTIVATED
    adopt_checkbox: Annotated[str, matching(r"(\w+)?", "Send_To_Shop__c")] = ""
    """The checkbox of Order, with `adopt_orders` = `checkbox`."""
    adopt_filter: str = ""
    """A SOQL condition that an order must meet as well, such as `Type != 'ERP'`."""
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
