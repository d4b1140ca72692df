"""Orders: drafted, given lines, activated by Status alone, and fixed from then on.

The error codes are those observed on real orgs. Where several were reported, the most specific is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.localorg.errors import Refusal
from connector.localorg.field_values import format_timestamp
from connector.localorg.rules.rule import Rule, delete_blocked, integrity_error, require_permission

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.localorg.record_store import RecordStore
    from connector.localorg.write_plan import Row, WritePlan

DRAFT = "Draft"
ACTIVATED = "Activated"
FIXED_AFTER_ACTIVATION = ("AccountId", "Pricebook2Id", "ContractId", "EffectiveDate", "CurrencyIsoCode")


def is_draft(order: Row) -> bool:
    return order.get("StatusCode") == DRAFT


class OrderRule(Rule):
    def insert(self, store: RecordStore, row: Row, given: Row) -> None:
        if row.get("AccountId") is None:
            raise Refusal("REQUIRED_FIELD_MISSING", "Select an account.", fields=[])
        category = store.plan("Order").status_category(row["Status"])
        if category != DRAFT:
            raise Refusal(
                "FAILED_ACTIVATION",
                "For a new or cloned order, choose Draft. An Activated order's status can't be edited.",
                fields=["Status"],
            )
        row["StatusCode"] = DRAFT
        row["TotalAmount"] = 0.0
        _check_dates(row)
        _check_contract(store, row)
        _check_reduction(store, row)

    def update(self, store: RecordStore, old: Row, new: Row, changed: set[str]) -> None:
        category = store.plan("Order").status_category(new["Status"])
        was_draft = is_draft(old)
        if was_draft:
            self._check_draft_change(store, new, changed)
        elif fixed := [name for name in FIXED_AFTER_ACTIVATION if name in changed]:
            raise integrity_error("unable to modify activated order", *fixed)
        elif changed - {"Status"}:
            require_permission(store, "EditActivatedOrders")
        if changed & {"EffectiveDate", "EndDate"}:
            _check_dates(new)
            _check_line_dates(store, new)
        if was_draft and category != DRAFT:
            self._check_activation(store, new, changed)
        elif not was_draft and category == DRAFT:
            _check_not_reduced(store, new)
            new["ActivatedDate"] = new["ActivatedById"] = None
        new["StatusCode"] = category

    def _check_draft_change(self, store: RecordStore, new: Row, changed: set[str]) -> None:
        has_lines = changed & {"Pricebook2Id", "CurrencyIsoCode"} and _line_count(store, new)
        if has_lines and "Pricebook2Id" in changed:
            raise integrity_error(
                "You can't change the price book of an order that has order products.", "Pricebook2Id"
            )
        if has_lines and "CurrencyIsoCode" in changed:
            raise integrity_error(
                "You can't change the currency of an order that has order products.", "CurrencyIsoCode"
            )
        if changed & {"AccountId", "ContractId"}:
            _check_contract(store, new)

    def _check_activation(self, store: RecordStore, new: Row, changed: set[str]) -> None:
        require_permission(store, "ActivateOrder")
        others = sorted(changed - {"Status"})
        if others:
            raise Refusal(
                "FAILED_ACTIVATION",
                "When you activate an order, Status is the only field you can change in the same save.",
                fields=others,
            )
        if not _line_count(store, new):
            raise Refusal("FAILED_ACTIVATION", "An order must have at least one product.", fields=["Status"])
        contract = store.fetch("Contract", new.get("ContractId"))
        if contract is not None and contract.get("StatusCode") != ACTIVATED:
            raise Refusal(
                "FAILED_ACTIVATION", "The order's contract must be activated before the order.", fields=["Status"]
            )
        new["ActivatedDate"] = format_timestamp(store.clock())
        new["ActivatedById"] = store.user_id

    def delete(self, store: RecordStore, row: Row) -> None:
        if not is_draft(row):
            raise Refusal("DELETE_FAILED", "unable to modify activated order", fields=[])
        number = store.scalar(
            'SELECT "OrderNumber" FROM "Order" WHERE "OriginalOrderId" = ? AND "IsDeleted" = 0', row["Id"]
        )
        if number is not None:
            raise delete_blocked(row["OrderNumber"], "reduction orders", number)

    def dependents(self, store: RecordStore, row: Row) -> Iterator[tuple[WritePlan, Row]]:
        plan = store.plan("OrderItem")
        for line in store.select("OrderItem", '"OrderId" = ?', row["Id"]):
            yield plan, line


def _line_count(store: RecordStore, order: Row) -> int:
    return int(store.scalar('SELECT COUNT(*) FROM "OrderItem" WHERE "OrderId" = ?', order["Id"]))


def _check_dates(order: Row) -> None:
    start, end = order.get("EffectiveDate"), order.get("EndDate")
    if isinstance(start, str) and isinstance(end, str) and end < start:
        raise integrity_error("The order's end date must be on or after its start date.", "EndDate")


def _check_line_dates(store: RecordStore, order: Row) -> None:
    start, end = order.get("EffectiveDate"), order.get("EndDate")
    early = store.scalar('SELECT 1 FROM "OrderItem" WHERE "OrderId" = ? AND "ServiceDate" < ?', order["Id"], start)
    late = end and store.scalar('SELECT 1 FROM "OrderItem" WHERE "OrderId" = ? AND "EndDate" > ?', order["Id"], end)
    if early or late:
        raise integrity_error(
            "The dates of the order products must lie within the order's dates.", "EffectiveDate", "EndDate"
        )


def _check_contract(store: RecordStore, order: Row) -> None:
    contract = store.fetch("Contract", order.get("ContractId"))
    if contract is not None and contract["AccountId"] != order["AccountId"]:
        raise integrity_error("The contract belongs to another account than the order.", "ContractId")


def _check_reduction(store: RecordStore, order: Row) -> None:
    if not order.get("IsReductionOrder"):
        if order.get("OriginalOrderId"):
            raise integrity_error("Only a reduction order can refer to an original order.", "OriginalOrderId")
        return
    if not store.settings.reduction_orders:
        raise Refusal(
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            "Unable to create/update fields: IsReductionOrder. Please check the security settings of this field and"
            " verify that it is read/write for your profile or permission set.",
            fields=["IsReductionOrder"],
        )
    original = store.fetch("Order", order.get("OriginalOrderId"))
    if original is None:
        return
    if is_draft(original):
        raise integrity_error("The original order must be activated before it can be reduced.", "OriginalOrderId")
    if original.get("IsReductionOrder"):
        raise integrity_error("A reduction order can't be reduced.", "OriginalOrderId")
    for name in ("AccountId", "ContractId"):
        if original.get(name) != order.get(name):
            raise integrity_error("A reduction order must have the account and contract of the original order.", name)


def _check_not_reduced(store: RecordStore, order: Row) -> None:
    reduced = store.scalar(
        'SELECT 1 FROM "OrderItem" r JOIN "OrderItem" o ON r."OriginalOrderItemId" = o."Id" WHERE o."OrderId" = ?',
        order["Id"],
    )
    if reduced:
        raise integrity_error("You can't set an order back to Draft while a reduction order refers to it.", "Status")
