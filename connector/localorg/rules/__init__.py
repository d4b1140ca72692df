"""What the org enforces beyond field types: one rule per sObject. All checks run before the row is written."""

from __future__ import annotations

from connector.localorg.rules.accounts import AccountRule, ContactRule
from connector.localorg.rules.cases_tasks import CaseRule, TaskRule
from connector.localorg.rules.contracts import ContractRule
from connector.localorg.rules.order_items import OrderItemRule
from connector.localorg.rules.orders import OrderRule
from connector.localorg.rules.prices import PricebookEntryRule, PricebookRule, ProductRule
from connector.localorg.rules.returns import ReturnOrderLineItemRule, ReturnOrderRule
from connector.localorg.rules.rule import Rule
from connector.localorg.rules.users import UserRule

RULES: dict[str, Rule] = {
    "Account": AccountRule(),
    "Contact": ContactRule(),
    "Contract": ContractRule(),
    "Order": OrderRule(),
    "OrderItem": OrderItemRule(),
    "Pricebook2": PricebookRule(),
    "PricebookEntry": PricebookEntryRule(),
    "Product2": ProductRule(),
    "ReturnOrder": ReturnOrderRule(),
    "ReturnOrderLineItem": ReturnOrderLineItemRule(),
    "Case": CaseRule(),
    "Task": TaskRule(),
    "User": UserRule(),
}

__all__ = ["RULES", "Rule"]
