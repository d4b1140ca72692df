"""Types of outbound planning: pending entities, and the writes planned for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from connector.model.change import Change, Refusal
from connector.model.customer import Customer
from connector.model.order import Order
from connector.model.order_return import OrderReturn
from connector.model.product import Product
from connector.model.record import FieldValue, Link, MappedRecord

Fields = dict[str, FieldValue]


@dataclass(frozen=True, kw_only=True)
class PendingEntity:
    """A due entity with its mapped record and the links to what the org holds of it.

    `record` is None if the mapping's `when` excludes the entity, or if a value cannot be mapped, which `problem`
    describes. `line_links` are the links of its lines, by line key. `is_read_back`: the links were just read from the
    org. `missing_lines` are links of lines that the org no longer has. `held_fields` are in conflict: a person decides
    whose value stands, and until then neither is sent; or our value was undone. `restored` fields get a former value
    back. `ended_holds` are values that were held and that ours is no longer, by field, by kind and key of their record.
    `message` is what the record is to say to reps. `entity` is None once it is planned.
    """

    change: Change
    entity: Customer | Product | Order | OrderReturn | None
    record: MappedRecord | None
    problem: Refusal | None = None
    link: Link | None = None
    line_links: Mapping[str, Link] = field(default_factory=dict)
    is_read_back: bool = False
    missing_lines: Mapping[str, Link] = field(default_factory=dict)
    held_fields: frozenset[str] = frozenset()
    restored: frozenset[str] = frozenset()
    ended_holds: Mapping[tuple[str, str], Mapping[str, FieldValue]] = field(default_factory=dict)
    message: str | None = None

    @property
    def unconfirmed(self) -> bool:
        """Whether the org may hold more than the links say, or something else."""
        return self.change.unconfirmed and not self.is_read_back

    def without_entity(self) -> PendingEntity:
        """Return the same for its calls, which need the record only: both take much memory."""
        return replace(self, entity=None)

    def without_values(self) -> PendingEntity:
        """Return what is needed of it to set its status and to record the result: values of many orders take much
        memory."""
        return PendingEntity(change=self.change, entity=None, record=None, link=self.link)

    def with_held_fields(self, names: Collection[str]) -> PendingEntity:
        """Return the same with these fields held: what is sent has none of them."""
        if not names or self.record is None or self.link is None:
            return self
        return replace(self, record=self.record.without_fields(names), held_fields=self.held_fields | frozenset(names))


@dataclass(frozen=True, kw_only=True)
class RecordUpdate:
    """An update of a record whose Salesforce ID is known, with only the fields that differ.

    For a customer or product, `identity` holds our key: the update restores it if somebody cleared or changed it in the
    org.
    """

    pending: PendingEntity
    entity: str
    key: str
    sobject: str
    id: str
    fields: Fields
    identity: Fields = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RecordUpsert:
    """A record to be upserted by its external ID; `fields` contains that key too. `implied_fields` are further values
    that the record will have without being sent."""

    entity: str
    key: str
    sobject: str
    external_id: str
    fields: Fields
    implied_fields: Fields = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Upsert:
    """A customer or product that the org does not have yet, or not for certain."""

    pending: PendingEntity
    record: RecordUpsert


@dataclass(frozen=True, kw_only=True)
class OrderGraph:
    """A new order or return, sent as one graph. `account` is set if its account is new as well.

    `status` is the Status to write once the lines are created (None: it stays Draft). A `partial` graph does not have
    all lines or values of the order; a later claim sends the rest, and only then the status.
    """

    pending: PendingEntity
    customer: str
    account: RecordUpsert | None
    order: RecordUpsert
    lines: tuple[RecordUpsert, ...]
    status: str | None
    partial: bool

    @property
    def node_count(self) -> int:
        return 1 + len(self.lines) + (self.account is not None)


@dataclass(frozen=True, kw_only=True)
class OrderRewrite:
    """Changes of an order that must run one after the other in one composite call: reopen, delete lines, header, add
    and update lines, activate."""

    pending: PendingEntity
    order_id: str
    reopen: str | None
    header: Fields
    delete: tuple[tuple[str, str], ...]  # (line key, ID)
    add: tuple[RecordUpsert, ...]
    update: tuple[RecordUpdate, ...]
    status: str | None
    partial: bool


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A refused entity. `certain`: the org holds nothing of what was refused. `deleted_lines` are links of lines that
    somebody deleted in the org: inbound sync decides by its policy whether the refusal stands."""

    pending: PendingEntity
    refusal: Refusal
    certain: bool = True
    deleted_lines: tuple[Link, ...] = ()


@dataclass(kw_only=True)
class Plan:
    """The writes planned for one claim. Entities in `unchanged` need no call."""

    upserts: list[Upsert] = field(default_factory=list)
    graphs: list[OrderGraph] = field(default_factory=list)
    updates: list[RecordUpdate] = field(default_factory=list)
    rewrites: list[OrderRewrite] = field(default_factory=list)
    status_updates: list[RecordUpdate] = field(default_factory=list)
    refused: list[Rejection] = field(default_factory=list)
    unchanged: list[PendingEntity] = field(default_factory=list)
