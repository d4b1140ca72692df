"""Topics, channels and schemas: what can be subscribed to and published, and where a commit's events go."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from connector.localorg.dml import Dml
from connector.localorg.events import avro
from connector.localorg.events.avro import EventSchema
from connector.localorg.events.bus import Bus
from connector.localorg.events.changes import Capture
from connector.localorg.schema import Schema, SObject
from connector.localorg.storage import Change, Storage

RETENTION_SECONDS = 72 * 3600
ALL_CHANGES = "/data/ChangeEvents"
CAPTURABLE = (
    "Account", "Asset", "Case", "Contact", "Contract", "Order", "OrderItem", "Pricebook2", "PricebookEntry",
    "Product2", "ReturnOrder", "ReturnOrderLineItem", "Task", "User",
)  # fmt: skip
DEFAULT_CAPTURED = ("Account", "Contact", "Order", "OrderItem", "Product2")
"""Five objects is what an org may select without a licence of its own."""


class Hub:
    """The org's events. `refresh()` after every change of the schema."""

    def __init__(
        self, storage: Storage, schema: Schema, dml: Dml, clock: Callable[[], datetime], source: random.Random
    ) -> None:
        self.bus = Bus(storage, clock, source, retention=RETENTION_SECONDS)
        self.capture = Capture(dml)
        self.captured: set[str] = set(DEFAULT_CAPTURED)
        self.channels: dict[str, set[str]] = {}  # custom channel -> topics of its members
        self.origin = ""  # of the call under way
        self._storage = storage
        self._schema = schema
        self._dml = dml
        self._clock = clock
        self._schemas: dict[str, EventSchema] = {}  # every one there ever was, by ID
        self._current: dict[str, EventSchema] = {}  # by topic
        storage.listeners.append(self._committed)
        dml.publishers.append(self._published)
        self.refresh()

    def refresh(self) -> None:
        self._current = {}
        for sobject in self._schema:
            if sobject.event:
                self._current[f"/event/{sobject.name}"] = avro.platform_event(sobject)
            elif sobject.name in CAPTURABLE or sobject.custom:
                self._current[change_topic(sobject.name)] = avro.change_event(sobject)
        self._schemas.update({schema.id: schema for schema in self._current.values()})

    def schema_by_id(self, schema_id: str) -> EventSchema | None:
        return self._schemas.get(schema_id)

    def current(self, topic: str) -> EventSchema | None:
        """The schema of a topic of one kind of event; None for channels of several and for unknown ones."""
        return self._current.get(topic)

    def topics(self, name: str) -> set[str] | None:
        """What a subscription to a topic or channel hears; None if there is no such thing."""
        if name == ALL_CHANGES:
            return {change_topic(sobject) for sobject in self.captured}
        if name in self.channels:
            return self.channels[name]
        if name in self._current and (name.startswith("/event/") or self._entity(name) in self.captured):
            return {name}
        return None

    def _entity(self, topic: str) -> str:
        return next((sobject.name for sobject in self._schema if change_topic(sobject.name) == topic), "")

    def publish(self, topic: str, payload: Mapping[str, Any], event_uuid: str = "") -> int:
        """One platform event; its replay number. ValueError if the payload is not the topic's."""
        schema = self._current[topic]
        given = {**payload, "CreatedById": self._dml.user_id}
        given.setdefault("CreatedDate", round(self._clock().timestamp() * 1000))
        try:
            encoded = schema.encode(given)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(str(error)) from None
        [number] = self.bus.publish(topic, [(schema.id, event_uuid or str(uuid.uuid4()), encoded)])
        return number

    def _published(self, sobject: SObject, messages: list[dict[str, Any]]) -> None:
        """Events written as rows."""
        for message in messages:
            values = {
                field.name: avro.value(field, message.get(field.name))
                for field in sobject.fields.values()
                if field.name not in {"ReplayId", "EventUuid"}
            }
            topic, event_uuid = f"/event/{sobject.name}", str(message["EventUuid"])
            if sobject.immediate:
                self._storage.afterwards.append(partial(self.publish, topic, values, event_uuid))
            else:
                self.publish(topic, values, event_uuid)

    def _committed(self, changes: list[Change]) -> None:
        schemas = {name: self._current[change_topic(name)] for name in self.captured}
        milliseconds = round(self._clock().timestamp() * 1000)
        told = self.capture.payloads(changes, schemas, origin=self.origin, milliseconds=milliseconds)
        for sobject, payload in told:
            schema = schemas[sobject]
            self.bus.publish(change_topic(sobject), [(schema.id, str(uuid.uuid4()), schema.encode(payload))])


def change_topic(sobject: str) -> str:
    return f"/data/{avro.event_name(sobject)}"
