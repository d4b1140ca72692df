"""Which org has the account of a new customer, by the expressions of `CONNECTOR_ORGS__NAME__CUSTOMERS`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.errors import SettingsError
from connector.settings import Settings
from connector.settings.checks import PREFIX
from connector.store.engine import Store
from connector.store.scope import DEFAULT

if TYPE_CHECKING:
    from connector.mapping.expression import Expression
    from connector.model.customer import Customer


class OrgRoutes:
    """Finds the org of a customer. A customer without a value that an expression needs is not in that org."""

    def __init__(self, rules: dict[str, Expression]) -> None:
        self._rules = rules

    def find(self, customer: Customer) -> str:
        for name, rule in self._rules.items():
            try:
                if rule.evaluate(customer):
                    return name
            except Exception:  # noqa: S112 - arithmetic on a value that does not suit: the rule is not true of it
                continue
        return DEFAULT


def route_customers(store: Store, settings: Settings) -> None:
    """Let new customers be assigned by the expressions of the settings, unless the process works for one org. Raises
    SettingsError for an expression that cannot be used."""
    if settings.orgs and not settings.works_for_one_org:
        store.route = OrgRoutes(parse_routes(settings)).find


def parse_routes(settings: Settings) -> dict[str, Expression]:
    """The expressions of the settings by org. Raises SettingsError for one that cannot be used."""
    if not any(org.customers for org in settings.orgs.values()):
        return {}
    from connector.mapping.expression import Expression, ExpressionError
    from connector.model.customer import Customer

    rules, problems = {}, []
    for name, org in settings.orgs.items():
        if org.customers:
            try:
                rules[name] = Expression(org.customers, Customer)
            except ExpressionError as error:
                problems.append(f"{PREFIX}ORGS__{name.upper()}__CUSTOMERS {error}")
    if problems:
        raise SettingsError(" ".join(problems), hint='Write for example country in ("DE", "AT").')
    return rules
