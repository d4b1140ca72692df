"""Topics, channels and schemas: what clients can subscribe to and publish, and where the events of a commit go."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from connector.localorg import dml_validation
from connector.localorg.dml import Dml
from connector.localorg.errors import Refusal
from connector.localorg.events import avro
from connector.localorg.events.avro import EventSchema
from connector.localorg.events.bus import EventBus, OutgoingEvent
from connector.localorg.events.change_events import ChangeCapture, ChangeEvent, merge_same
from connector.localorg.events.channels import ChannelMember, Channels, member_topics, special_members
from connector.localorg.faults import Faults
from connector.localorg.schema import SObject
from connector.localorg.soql.condition_evaluator import condition_holds
from connector.localorg.storage import Change
from connector.localorg.usage import MAX_PUBLISHED_PER_HOUR, Usage
from connector.localorg.write_plan import Row

RETENTION_SECONDS = 72 * 3600
KEEPALIVE_SECONDS = 250.0  # at most 270 are promised
FETCH_SECONDS = 70.0
MAX_REMEMBERED = 1000  # results of filters
MAX_SECONDS = 10 * 365 * 86_400
HOURLY_LIMIT_EXCEEDED = "The hourly limit of published platform events is exceeded."
ALL_CHANGES = "/data/ChangeEvents"
CAPTURABLE = (
    "Account", "Asset", "Case", "Contact", "Contract", "Order", "OrderItem", "Pricebook2", "PricebookEntry",
    "Product2", "ReturnOrder", "ReturnOrderLineItem", "Task", "User",
)  # fmt: skip
DEFAULT_CAPTURED = ("Account", "Contact", "Order", "OrderItem", "Product2")
"""An org may select five objects without an additional license."""


class EventHub:
    """The org's events. Call `refresh()` after every change of the schema."""

    def __init__(self, dml: Dml, source: random.Random, *, faults: Faults, usage: Usage) -> None:
        storage = dml.storage
        self.bus = EventBus(storage, dml.clock, source, faults, retention=RETENTION_SECONDS)
        self.capture = ChangeCapture(dml, faults)
        self.captured: set[str] = set(DEFAULT_CAPTURED)
        self.channels: Channels = {}
        self.origin = ""  # of the call under way
        self.keepalive_seconds = KEEPALIVE_SECONDS  # a waiting subscriber gets an empty response this often
        self.merge_events = False  # whether equal changes of one commit become one event with several IDs
        self.fetch_seconds = FETCH_SECONDS  # a stream without a request for this long ends
        self._storage = storage
        self._schema = dml.schema
        self._dml = dml
        self._clock = dml.clock
        self._usage = usage
        storage.connection.execute("CREATE TABLE IF NOT EXISTS _event_schema (id TEXT PRIMARY KEY, json TEXT)")
        rows = storage.connection.execute("SELECT json FROM _event_schema").fetchall()
        self._schema_by_id = {
            schema.id: schema for schema in (avro.parse_schema(text) for [text] in rows)
        }  # all there ever were
        self._schema_by_topic: dict[str, EventSchema] = {}  # by topic
        self._passed: dict[tuple[object, ...], bool] = {}  # whether a filter of a header lets such events pass
        storage.commit_listeners.append(self._on_commit)
        dml.publishers.append(self._publish_rows)
        self.refresh()

    def as_dict(self) -> dict[str, Any]:
        return {
            "retention_seconds": self.bus.retention,
            "keepalive_seconds": self.keepalive_seconds,
            "fetch_seconds": self.fetch_seconds,
            "merge_events": self.merge_events,
            "overflow_after": self.capture.max_per_transaction,
            "delivery_limit": self._usage.delivery_limit,
            "captured": sorted(self.captured),
            "channels": {name: sorted(topics) for name, topics in self.channels.items()},
            "latest": self.bus.latest,
        }

    def configure(self, options: Mapping[str, Any]) -> None:
        """Change times and captured objects. ValueError names the wrong option; then nothing changes."""
        for name, value in options.items():
            match name:
                case "retention_seconds" | "keepalive_seconds" | "fetch_seconds":
                    if (
                        isinstance(value, bool)
                        or not isinstance(value, int | float | Decimal)
                        or not 0 < value < MAX_SECONDS
                    ):
                        raise ValueError(f"{name}: must be a number of seconds above 0")
                case "merge_events":
                    if not isinstance(value, bool):
                        raise ValueError("merge_events: must be true or false")
                case "overflow_after" | "delivery_limit":
                    unlimited = name == "delivery_limit" and value is None
                    if not unlimited and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                        raise ValueError(f"{name}: must be a whole number from 0")
                case "captured":
                    if not isinstance(value, list) or any(
                        change_topic(str(item)) not in self._schema_by_topic for item in value
                    ):
                        raise ValueError("captured: must be a list of objects that have change events")
                case _:
                    raise ValueError(
                        f"{name}: is unknown; one of retention_seconds, keepalive_seconds, fetch_seconds, captured,"
                        " merge_events, overflow_after, delivery_limit"
                    )
        self.bus.retention = float(options.get("retention_seconds", self.bus.retention))
        self.keepalive_seconds = float(options.get("keepalive_seconds", self.keepalive_seconds))
        self.fetch_seconds = float(options.get("fetch_seconds", self.fetch_seconds))
        self.merge_events = bool(options.get("merge_events", self.merge_events))
        self.capture.max_per_transaction = int(options.get("overflow_after", self.capture.max_per_transaction))
        self._usage.delivery_limit = options.get("delivery_limit", self._usage.delivery_limit)
        self.captured = set(options.get("captured", self.captured))

    def refresh(self) -> None:
        self._schema_by_topic = {}
        self._passed.clear()
        for sobject in self._schema:
            if sobject.event:
                self._schema_by_topic[f"/event/{sobject.name}"] = avro.platform_event_schema(sobject)
            elif sobject.name in CAPTURABLE or sobject.custom:
                self._schema_by_topic[change_topic(sobject.name)] = avro.change_event_schema(sobject)
        self.captured = {name for name in self.captured if change_topic(name) in self._schema_by_topic}
        new = {schema.id: schema for schema in self._schema_by_topic.values() if schema.id not in self._schema_by_id}
        with self._storage.transaction():
            self._storage.connection.executemany(
                "INSERT INTO _event_schema VALUES (?, ?)", [(schema.id, schema.json) for schema in new.values()]
            )
        self._schema_by_id.update(new)

    def schema_by_id(self, schema_id: str) -> EventSchema | None:
        return self._schema_by_id.get(schema_id)

    def schema_for_topic(self, topic: str) -> EventSchema | None:
        """Return the schema of a topic; None for an unknown one and for channels with several kinds of events."""
        return self._schema_by_topic.get(topic)

    def resolve_topics(self, name: str) -> set[str] | None:
        """Return the topics behind a topic or channel name; None if there is none of this name."""
        if name == ALL_CHANGES:
            return {change_topic(sobject) for sobject in self.captured} | member_topics(
                name, self.channels.get(name, {})
            )
        if name in self.channels:
            return member_topics(name, self.channels[name])
        chosen = {*self.channels.get(ALL_CHANGES, {}), *map(change_topic, self.captured)}
        if name in self._schema_by_topic and (name.startswith("/event/") or name in chosen):
            return {name}
        return None

    def can_publish(self, topic: str) -> bool:
        return topic.startswith("/event/") and topic in self._schema_by_topic

    def publish_encoded(self, topic: str, schema_id: str, payload: bytes, event_uuid: str) -> int:
        """Publish an event in the client's encoding; return its replay number. ValueError if it does not fit."""
        schema = self._schema_by_topic[topic]
        if schema_id != schema.id:
            raise ValueError(f"The schema {schema_id[:80]!r} is not the current one of {topic}, which is {schema.id}.")
        if self._usage.published.used >= MAX_PUBLISHED_PER_HOUR:
            raise ValueError(HOURLY_LIMIT_EXCEEDED)
        values = schema.decode(payload)
        self._check_values(topic, values)
        return self.publish(topic, values, event_uuid)

    def _check_values(self, topic: str, values: Mapping[str, Any]) -> None:
        """Check an event as REST does: required fields, lengths, values. ValueError says what is wrong."""
        plan = self._dml.plan(topic.removeprefix("/event/"))
        row: Row = {}
        try:
            for entry in plan.inputs.values():
                value = values.get(entry.name)
                if value is None or not entry.createable or entry.name not in plan.column_names:
                    continue
                given = value if isinstance(value, bool) else avro.decode_value(entry.field, value)
                row[entry.name] = entry.coerce(Decimal(repr(given)) if isinstance(given, float) else given)
            dml_validation.check_required({**dict.fromkeys(plan.columns), **row}, plan.required)
        except (Refusal, ArithmeticError) as refusal:
            raise ValueError(str(refusal)) from None

    def publish(self, topic: str, payload: Mapping[str, Any], event_uuid: str = "") -> int:
        """Publish one platform event; return its replay number. ValueError if the payload does not fit the topic."""
        schema = self._schema_by_topic[topic]
        values = {**payload, "CreatedById": self._dml.user_id}
        values.setdefault("CreatedDate", round(self._clock().timestamp() * 1000))
        try:
            encoded = schema.encode(values)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(str(error)) from None
        event_uuid = event_uuid or _new_uuid()
        [number] = self.bus.publish(topic, [(schema.id, event_uuid, encoded)])
        for alias, member in special_members(self.channels, topic):
            if self._passes_filter(member, topic.removeprefix("/event/"), self._filter_row(topic, values)):
                self.bus.publish(alias, [(schema.id, event_uuid, encoded)])
        self._usage.published.add(1)
        return number

    def _filter_row(self, topic: str, payload: Mapping[str, Any]) -> Row:
        plan = self._dml.plan(topic.removeprefix("/event/"))
        return {name: avro.decode_value(plan.inputs[name.lower()].field, payload.get(name)) for name in plan.columns}

    def _passes_filter(self, member: ChannelMember, sobject: str, row: Row, *, with_header: bool = False) -> bool:
        if not member.condition:
            return True
        seen, now = self._dml.full_schema, self._clock()
        return condition_holds(self._storage, seen, sobject, member.condition, row, now, with_header=with_header)

    def _publish_rows(self, sobject: SObject, messages: list[dict[str, Any]]) -> None:
        """Publish platform events that were written as rows."""
        if self._usage.published.used + len(messages) > MAX_PUBLISHED_PER_HOUR:
            raise Refusal("LIMIT_EXCEEDED", HOURLY_LIMIT_EXCEEDED, fields=[])
        for message in messages:
            values = {
                field.name: avro.encode_value(field, message.get(field.name))
                for field in sobject.fields.values()
                if field.name not in {"ReplayId", "EventUuid"}
            }
            topic, event_uuid = f"/event/{sobject.name}", str(message["EventUuid"])
            if sobject.immediate:
                self._storage.after_transaction.append(partial(self.publish, topic, values, event_uuid))
            else:
                self.publish(topic, values, event_uuid)

    def _on_commit(self, changes: list[Change]) -> None:
        names = {change.sobject for change in changes}
        schemas = {name: schema for name in names if (schema := self._captured_schema(name)) is not None}
        milliseconds = round(self._clock().timestamp() * 1000)
        events = self.capture.change_events(changes, schemas, origin=self.origin, milliseconds=milliseconds)
        merged = merge_same(events) if self.merge_events else events
        payloads = [schemas[item.sobject].encode(item.payload) for item in merged]
        self.bus.publish_all([
            *(
                OutgoingEvent(change_topic(item.sobject), schemas[item.sobject].id, _new_uuid(), payload)
                for item, payload in zip(merged, payloads, strict=True)
            ),
            *self._filtered_events(merged, payloads, schemas),
            *self._enriched_events(events, schemas),  # values of one record: never merged
        ])  # fmt: skip

    def _filtered_events(
        self, events: Sequence[ChangeEvent], payloads: Sequence[bytes], schemas: Mapping[str, EventSchema]
    ) -> Iterator[OutgoingEvent]:
        """The events of the members that only filter.

        A filter without fields of the record (they would enrich the events) is about the header only. It is evaluated
        once for all events with the same header values.
        """
        for item, payload in zip(events, payloads, strict=True):
            members = self._special_members(item, enriched=False)
            if members:
                header, event_uuid = _filter_header(item), _new_uuid()
                for alias, member in members:
                    if self._passes_header_filter(member, item.sobject, header):
                        yield OutgoingEvent(alias, schemas[item.sobject].id, event_uuid, payload)

    def _enriched_events(
        self, events: Sequence[ChangeEvent], schemas: Mapping[str, EventSchema]
    ) -> Iterator[OutgoingEvent]:
        """The events of the members that enrich; they may filter, too."""
        for item in events:
            schema, event_uuid = schemas[item.sobject], _new_uuid()
            for alias, member in self._special_members(item, enriched=True):
                more = item.enrich(self._dml.plan(item.sobject), schema, member.enriched)
                row = {name: more.row.get(name) for name in more.visible} | _filter_header(more)
                if self._passes_filter(member, item.sobject, row, with_header=True):
                    yield OutgoingEvent(alias, schema.id, event_uuid, schema.encode(more.payload))

    def _special_members(self, event: ChangeEvent, *, enriched: bool) -> list[tuple[str, ChannelMember]]:
        members = special_members(self.channels, change_topic(event.sobject))
        return [found for found in members if bool(found[1].enriched) == enriched]

    def _passes_header_filter(self, member: ChannelMember, sobject: str, header: Row) -> bool:
        condition = member.condition.lower()
        used = tuple(str(value) for name, value in header.items() if name.lower() in condition)
        key = (sobject, member.condition, used)
        if key not in self._passed:
            if len(self._passed) >= MAX_REMEMBERED:
                self._passed.clear()
            self._passed[key] = self._passes_filter(member, sobject, header, with_header=True)
        return self._passed[key]

    def _captured_schema(self, sobject: str) -> EventSchema | None:
        """Return the schema of an object whose changes somebody may subscribe to, else None."""
        topic = change_topic(sobject)
        chosen = sobject in self.captured or any(topic in members for members in self.channels.values())
        return self._schema_by_topic.get(topic) if chosen else None


def change_topic(sobject: str) -> str:
    return f"/data/{avro.change_event_name(sobject)}"


def _new_uuid() -> str:
    return str(uuid.uuid4())


def _filter_header(event: ChangeEvent) -> Row:
    """The header of an event, as a filter sees it."""
    return {f"{avro.CHANGE_HEADER}.{name}": value for name, value in event.header.items()}
