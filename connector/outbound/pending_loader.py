"""Loads entities as they are to be sent: with their record by the mappings, their links and what is held of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from connector.errors import MappingError
from connector.mapping import MappingSet
from connector.model.change import Change, EntityKind, Refusal
from connector.model.customer import Customer
from connector.model.order import Order
from connector.model.record import PARTS, SYNC_MESSAGE, Link
from connector.outbound.entities import LOADERS
from connector.outbound.plan_types import PendingEntity
from connector.outbound.undone_fields import with_undone_fields
from connector.store import conflicts, links, sync_messages
from connector.store.engine import Connection
from connector.store.partitions import slot_of


class PendingLoader:
    """Loads pending entities of one org. `slots`: those of what the claim has loaded, by kind and key."""

    def __init__(self, mappings: MappingSet, org_id: str) -> None:
        self._mappings = mappings
        self._org_id = org_id
        self.slots: dict[tuple[EntityKind, str], int] = {}

    async def load(self, connection: Connection, entity: EntityKind, changes: Sequence[Change]) -> list[PendingEntity]:
        """The entities of these changes that exist here, with records and links."""
        keys = [change.key for change in changes]
        entities = {item.key: item for item in await LOADERS[entity].load(connection, keys)}
        self.slots |= {(entity, key): slot_of(item) for key, item in entities.items()}
        links_by_key = await links.get(connection, self._org_id, entity.value, keys)
        has_lines = entity in {EntityKind.ORDER, EntityKind.RETURN}
        lines = await links.children(connection, self._org_id, PARTS[entity.value], keys) if has_lines else {}
        held = await conflicts.open_fields(connection, self._org_id, entity.value, keys)
        messages: Mapping[str, str] = {}
        if entity in {EntityKind.ORDER, EntityKind.CUSTOMER}:
            record_ids = [link.salesforce_id for link in links_by_key.values()]
            messages = await sync_messages.texts(connection, self._org_id, record_ids)
        loaded = []
        for change in changes:
            if change.key in entities:
                link, parts = links_by_key.get(change.key), lines.get(change.key, {})
                message = None if link is None else messages.get(link.salesforce_id)
                loaded.append(self._build(change, entities[change.key], link, parts, message))
        return [item.with_held_fields(held.get(item.change.key, {}).keys()) for item in loaded]

    def map_again(self, pending: PendingEntity, link: Link | None, parts: Sequence[Link]) -> PendingEntity:
        """The pending entity, mapped with links that were just read from the org."""
        lines = {part.key: part for part in parts}
        rebuilt = self._build(pending.change, pending.entity, link, lines, pending.message)
        return replace(rebuilt.with_held_fields(pending.held_fields), is_read_back=True)

    def _build(
        self, change: Change, entity: Any, link: Link | None, lines: Mapping[str, Link], message: str | None
    ) -> PendingEntity:
        record, problem, mapping = None, None, self._mappings.of(change.entity)
        change = replace(change, stage=entity.stage) if isinstance(entity, Order) else change
        try:
            if isinstance(entity, Customer):
                record = self._mappings.map_customer(entity, link)
            else:
                record = None if mapping is None else mapping.map(entity)
        except MappingError as error:  # one order's unmappable value must not keep the others waiting
            text, place = error.problems[0], error.problems[0].partition(": ")[0]
            fix, of = "Correct the value or the mapping line, then replay.", f"{change.entity} {change.key}"
            problem = Refusal(code="MAPPING", message=text, field=None, source=place, fix=fix, record=of)
        if record is not None and link is not None and message != link.snapshot.get(SYNC_MESSAGE):
            record = replace(record, fields={**record.fields, SYNC_MESSAGE: message})
        return with_undone_fields(PendingEntity(
            change=change, entity=entity, record=record, problem=problem, link=link, line_links=lines, message=message
        ))  # fmt: skip
