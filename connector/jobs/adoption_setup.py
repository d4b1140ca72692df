"""Builds what adopts orders of the org, from the settings, the mappings and what the org is like."""

from __future__ import annotations

from connector.errors import SettingsError
from connector.inbound import line_changes
from connector.inbound.adoption.adopter import Adopter
from connector.inbound.adoption.planner import AdoptionPlanner
from connector.inbound.adoption.reader import AdoptionReader
from connector.inbound.adoption.references import AdoptionContext
from connector.inbound.adoption.remote_order import line_columns, order_columns
from connector.inbound.adoption.rep_notifier import RepNotifier
from connector.inbound.adoption.rule import LINE, ORDER, AdoptionRule
from connector.inbound.receivers import Receivers
from connector.inbound.record_batch import ACCOUNT
from connector.mapping.mapper import MappingSet
from connector.orders.service import OrderService
from connector.outbound.org_profile import ACTIVATED, OrgProfile
from connector.policies import AdoptOrders
from connector.salesforce.client import SalesforceClient
from connector.salesforce.query import soql
from connector.settings import InboundSettings
from connector.store.engine import Store


class AdoptionSetup:
    """Whether and how orders are adopted from one org. `rule` is None if they are not.

    Raises SettingsError if the org has no such checkbox.
    """

    def __init__(self, settings: InboundSettings, mappings: MappingSet, profile: OrgProfile) -> None:
        self._settings = settings
        self._profile = profile
        self._receivers = Receivers(mappings)
        self.rule: AdoptionRule | None = None
        spec = mappings.order.spec
        mapped = (spec.record.sobject, *(record.sobject for record in spec.children.values()))
        if settings.adopt_orders is AdoptOrders.OFF or mapped != (ORDER, LINE):
            return
        box = settings.adopt_checkbox
        if settings.adopt_orders is AdoptOrders.CHECKBOX and box not in profile.describes[ORDER].fields:
            raise SettingsError(
                f"CONNECTOR_INBOUND__ADOPT_CHECKBOX: Order has no field {box} in the org.",
                hint="Write the API name of a checkbox, and let the connector's user see it.",
            )
        activated = frozenset(value for value, category in profile.statuses.items() if category == ACTIVATED)
        self.rule = AdoptionRule(settings=settings, key=spec.record.external_id, activated=activated)

    def more_fields(self, sobject: str) -> tuple[str, ...]:
        """What is read of an object besides the mapped fields: to recognize orders that are to be adopted or that
        were moved to another account, and lines that were added to an order."""
        if sobject == LINE:
            return line_changes.FIELDS
        if sobject != ORDER:
            return ()
        return (ACCOUNT, *(self.rule.fields if self.rule is not None else ()))

    def adopter(self, store: Store, client: SalesforceClient, orders: OrderService) -> Adopter | None:
        """None if nothing is adopted."""
        if self.rule is None:
            return None
        describes = self._profile.describes
        reader = AdoptionReader(
            client,
            soql,
            store.clock,
            columns=(order_columns(self.rule, self._receivers, describes), line_columns(self._receivers, describes)),
            condition=self._settings.adopt_filter,
        )
        context = AdoptionContext(
            settings=self._settings,
            receivers=self._receivers,
            currency=min(self._profile.currencies),
            price_book=self._profile.price_book,
        )
        planner = AdoptionPlanner(context)
        return Adopter(store, orders, reader, RepNotifier(client, self._profile.org_id), planner, rule=self.rule)
