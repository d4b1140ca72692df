"""The pieces of outbound work: what is considered, and what is to be written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from connector.model.change import Change, Refusal
from connector.model.customer import Customer
from connector.model.order import Order
from connector.model.order_return import OrderReturn
from connector.model.product import Product
from connector.model.record import FieldValue, Link, MappedRecord

Fields = dict[str, FieldValue]


@dataclass(frozen=True, kw_only=True)
class PendingEntity:
    """A due entity with its record and what the org is known to hold of it.

    `record` is None where the mapping's `when` leaves the entity out, and where a value does not suit it, which
    `problem` then tells. `links` are those of the lines, by line key. `seen`: the links say what the org holds just
    now; `lost` are links of lines that it has no more.
    """

    change: Change
    entity: Customer | Product | Order | OrderReturn
    record: MappedRecord | None
    problem: Refusal | None = None
    link: Link | None = None
    links: Mapping[str, Link] = field(default_factory=dict)
    seen: bool = False
    lost: Mapping[str, Link] = field(default_factory=dict)

    @property
    def unsure(self) -> bool:
        """Whether the org may hold more, or other, than the links say."""
        return self.change.unsure and not self.seen


@dataclass(frozen=True, kw_only=True)
class RecordUpdate:
    """A write to a record whose Salesforce ID is known: only the fields that differ. Of a customer or product it has
    our key too (`identity`), which so comes back where somebody in the org has cleared or changed it."""

    candidate: PendingEntity
    entity: str
    key: str
    sobject: str
    id: str
    fields: Fields
    identity: Fields = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RecordUpsert:
    """A record to be upserted by its external ID; `fields` holds that key too. `known` is what the org will hold of it
    besides, without being sent it."""

    entity: str
    key: str
    sobject: str
    external_id: str
    fields: Fields
    known: Fields = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Upsert:
    """A customer or product that the org does not have yet."""

    candidate: PendingEntity
    record: RecordUpsert


@dataclass(frozen=True, kw_only=True)
class OrderGraph:
    """An order (or return) the org does not have: one graph. `account` is set where the account is new as well.

    `status` is the Status to be written once the lines are in (None: it stays Draft). `partial` orders have more lines
    than one graph takes; the rest follows, and only then the status.
    """

    candidate: PendingEntity
    customer: str
    account: RecordUpsert | None
    order: RecordUpsert
    lines: tuple[RecordUpsert, ...]
    status: str | None
    partial: bool

    @property
    def nodes(self) -> int:
        return 1 + len(self.lines) + (self.account is not None)


@dataclass(frozen=True, kw_only=True)
class OrderRewrite:
    """Changes that only work one after the other: reopen, header, delete lines, add and change lines, activate."""

    candidate: PendingEntity
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
    """`certain`: nothing of what was refused is in the org."""

    candidate: PendingEntity
    refusal: Refusal
    certain: bool = True


@dataclass(kw_only=True)
class Plan:
    """What one claim comes to. Whatever is in `unchanged` costs no call."""

    upserts: list[Upsert] = field(default_factory=list)
    graphs: list[OrderGraph] = field(default_factory=list)
    rows: list[RecordUpdate] = field(default_factory=list)
    sequences: list[OrderRewrite] = field(default_factory=list)
    statuses: list[RecordUpdate] = field(default_factory=list)
    refused: list[Rejection] = field(default_factory=list)
    unchanged: list[PendingEntity] = field(default_factory=list)
