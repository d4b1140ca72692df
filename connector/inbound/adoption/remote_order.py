"""An order of the org with everything that adoption needs, and which columns that takes. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connector.inbound.adoption.rule import LINE, ORDER, AdoptionRule
from connector.inbound.receivers import Receivers
from connector.mapping.receiver import RecordReceiver
from connector.model.describe import SObjectDescribe
from connector.model.inbound_change import RemoteRecord
from connector.model.observed_value import AUTHOR_NAME, author_of, read_moment
from connector.model.record import IS_PERSON, SYNC_MESSAGE

_ORDER = ("Id", "OrderNumber", "Status", "AccountId", "EffectiveDate", "Pricebook2Id", "CreatedDate",
          "LastModifiedById", "LastModifiedDate", "SystemModstamp", "CurrencyIsoCode")  # fmt: skip
_LINE = ("Id", "OrderId", "PricebookEntryId", "Product2Id", "Quantity", "UnitPrice", "ListPrice")

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteOrder:
    """An order as the org had it just after `read_at`. `row` has its account as `Account`, a line its product as
    `Product2`; `lines` are in the sequence in which they were created."""

    row: Row
    lines: Sequence[Row]
    read_at: datetime

    @property
    def id(self) -> str:
        return str(self.row["Id"])

    @property
    def record(self) -> RemoteRecord:
        """The order as a record that was read."""
        return RemoteRecord(
            sobject=ORDER,
            id=self.id,
            fields={},
            read_at=self.read_at,
            modified_at=read_moment(self.row["LastModifiedDate"]),
            stamped_at=read_moment(self.row["SystemModstamp"]),
            modified_by=self.row.get("LastModifiedById"),
            author=author_of(self.row),
        )

    @property
    def author(self) -> str:
        """Who changed it last, for a person to read."""
        return author_of(self.row) or ""

    @property
    def account(self) -> Row:
        return self.row.get("Account") or {}

    @property
    def account_id(self) -> str:
        return str(self.row["AccountId"])


def order_columns(rule: AdoptionRule, receivers: Receivers, describes: Mapping[str, SObjectDescribe]) -> list[str]:
    """The columns of an order and its account."""
    order = receivers.named("order")
    columns = [*_existing([*_ORDER, *rule.fields(ORDER), *_mapped(order)], describes[ORDER]), AUTHOR_NAME]
    accounts = [receiver for receiver in receivers if receiver.sobject == "Account"]
    names = [name for receiver in accounts for name in receiver.fields]
    return columns + [
        f"Account.{name}" for name in _existing([*names, "AccountNumber", IS_PERSON], describes["Account"])
    ]


def line_columns(receivers: Receivers, describes: Mapping[str, SObjectDescribe]) -> list[str]:
    """The columns of a line and its product."""
    columns = _existing([*_LINE, *_mapped(receivers.named("line"))], describes[LINE])
    names = [*receivers.named("product").fields, "ProductCode"]
    return columns + [f"Product2.{name}" for name in _existing(names, describes["Product2"])]


def snapshot_of(receiver: RecordReceiver, row: Row) -> dict[str, Any]:
    """What both sides agree on from now on: what the org has in the mapped fields."""
    return {name: row[name] for name in (*_mapped(receiver), SYNC_MESSAGE) if name in row}


def _mapped(receiver: RecordReceiver) -> list[str]:
    return [entry.name for entry in receiver.spec.entries]


def _existing(names: Sequence[str], describe: SObjectDescribe) -> list[str]:
    return [name for name in dict.fromkeys(names) if name in describe.fields]
