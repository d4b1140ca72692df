"""Builds what adopts orders of the org, from the settings, the mappings and what the org is like."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta

from connector.errors import SettingsError
from connector.inbound import line_changes
from connector.inbound.adoption.adopter import Adopter
from connector.inbound.adoption.entity_adopter import EntityAdopter
from connector.inbound.adoption.filter_fields import unknown_fields
from connector.inbound.adoption.planner import AdoptionPlanner
from connector.inbound.adoption.reader import AdoptionReader
from connector.inbound.adoption.references import AdoptionContext
from connector.inbound.adoption.remote_order import line_columns, order_columns
from connector.inbound.adoption.rep_notifier import RepNotifier
from connector.inbound.adoption.rule import LINE, ORDER, AdoptionRule
from connector.inbound.inbound_org import InboundOrg
from connector.inbound.receivers import Receivers
from connector.inbound.record_batch import ACCOUNT_ID
from connector.mapping.mapper import MappingSet
from connector.orders.service import OrderService
from connector.outbound.org_profile import ACTIVATED, OrgProfile
from connector.salesforce.query import soql
from connector.settings import Settings
from connector.settings.inbound import AdoptionSettings, AdoptOrders
from connector.store import cursors, links
from connector.store.engine import Store

BEFORE_OLDEST_LINK = timedelta(minutes=10)
_CURSOR = "adoption"


async def adoption_start(store: Store, org_id: str, settings: AdoptionSettings) -> datetime:
    """The time before which an order was activated without us. It is stored when the connector first reads from the
    org: the time of the oldest link then."""
    if settings.adopt_since is not None:
        return datetime.combine(settings.adopt_since, time(), tzinfo=UTC)
    async with store.single_reader() as connection:
        position = await cursors.get(connection, org_id, _CURSOR)
    if position is not None:
        return datetime.fromisoformat(position["since"])
    async with store.transaction() as uow:
        since = (await links.oldest(uow.connection, org_id) or uow.now) - BEFORE_OLDEST_LINK
        await cursors.set_position(uow, org_id, _CURSOR, {"since": since.isoformat()})
    return since


class AdoptionSetup:
    """Whether and how orders are adopted from one org. `rule` is None if they are not. `filter_problem`: why the filter
    cannot be used; then each order that it would decide about is parked, and all else goes on.

    Raises SettingsError if the org has no such checkbox.
    """

    def __init__(self, settings: Settings, mappings: MappingSet, profile: OrgProfile, *, since: datetime) -> None:
        self._settings = settings
        self._profile = profile
        self._receivers = Receivers(mappings)
        inbound = settings.inbound
        spec = mappings.order.spec
        mapped = (spec.record.sobject, *(record.sobject for record in spec.children.values()))
        box = inbound.adopt_checkbox
        if inbound.adopt_orders is AdoptOrders.CHECKBOX and box not in profile.describes[ORDER].fields:
            raise SettingsError(
                f"CONNECTOR_INBOUND__ADOPT_CHECKBOX: Order has no field {box} in the org.",
                hint="Write the API name of a checkbox, and let the connector's user see it.",
            )
        keys = {mapping.sobject: mapping.external_id for mapping in (mappings.customer, mappings.product)}
        if mapped == (ORDER, LINE):
            keys[ORDER] = spec.record.external_id
        activated = frozenset(value for value, category in profile.statuses.items() if category == ACTIVATED)
        rule = AdoptionRule(settings=inbound, keys=keys, activated=activated, since=since)
        self.rule = rule if rule.sobjects else None
        unknown = unknown_fields(inbound.adopt_filter, profile.describes[ORDER].fields)
        self.filter_problem: SettingsError | None = None
        if unknown and self.rule is not None and ORDER in self.rule.sobjects:
            self.filter_problem = SettingsError(
                f"CONNECTOR_INBOUND__ADOPT_FILTER: Order has no field {' and no field '.join(unknown)} in the org.",
                hint="Write API names of fields of Order, and let the connector's user see them. Until then no order is"
                " adopted.",
            )

    def more_fields(self, sobject: str) -> tuple[str, ...]:
        """What is read of an object besides the mapped fields: to recognize orders that are to be adopted or that
        were moved to another account, and lines that were added to an order."""
        if sobject == LINE:
            return line_changes.FIELDS
        decisive = () if self.rule is None else self.rule.fields(sobject)
        return (ACCOUNT_ID, *decisive) if sobject == ORDER else decisive

    def adopter(self, store: Store, org: InboundOrg, orders: OrderService, *, explain: bool) -> Adopter | None:
        """None if nothing is adopted."""
        if self.rule is None:
            return None
        profile, inbound = self._profile, self._settings.inbound
        columns: tuple[Sequence[str], Sequence[str]] = ((), ())
        if ORDER in self.rule.sobjects:
            of_orders = order_columns(self.rule, self._receivers, profile.describes)
            columns = (of_orders, line_columns(self._receivers, profile.describes))
        reader = AdoptionReader(
            org, soql, store.clock, columns=columns, condition=inbound.adopt_filter, problem=self.filter_problem
        )
        context = AdoptionContext(
            settings=inbound,
            receivers=self._receivers,
            currency=min(profile.currencies),
            price_book=profile.price_book,
            multi_currency=profile.multi_currency,
            webhooks=self._settings.webhooks,
            explain=explain,
        )
        return Adopter(
            store,
            orders,
            reader,
            RepNotifier(org, profile.org_id),
            AdoptionPlanner(context, self.rule),
            entities=EntityAdopter(store, org, soql, context, org_id=profile.org_id),
        )
