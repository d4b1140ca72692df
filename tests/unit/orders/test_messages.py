"""Notifications are captured with their event, once, and only if there is a transport."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert

from connector.errors import CommandError, StoreError
from connector.model.action_fields import make_event
from connector.model.actions import Action
from connector.model.holds import Hold
from connector.model.notification import MessageKind, MessageState
from connector.model.shipments import Resolution, ReturnReason
from connector.model.stage import Stage
from connector.orders.command import OrderCommand
from connector.orders.policy.rules import load_rules, load_rules_for, standard
from connector.orders.transaction import OrderTransaction
from connector.settings import Settings
from connector.settings.messages import MessageSettings, Via
from connector.store import journal, notifications, orders
from connector.store.engine import Store
from connector.store.tables import messages as table
from tests.mail_servers import RULES, act, confirmed, opened, outbox, owed
from tests.unit.store import samples

LABEL = {"carrier": "Northern Parcel", "tracking_number": "NP1"}


async def shipped(store: Store) -> None:
    """Ship and deliver order 1 in two parcels."""
    await confirmed(store)
    await act(store, Action.ALLOCATE, lines={1: 2, 2: "1.5"})
    await act(store, Action.PICK, lines={1: 2, 2: "1.5"})
    await act(store, Action.SHIP, lines={1: 2}, **LABEL)
    await act(store, Action.SHIP, lines={2: "1.5"}, **LABEL)
    for parcel in (1, 2):
        await act(store, Action.DELIVER, shipment=parcel)


async def test_every_customer_event_captures_a_notification(store: Store) -> None:
    await shipped(store)
    await act(store, Action.INVOICE, amount="90")
    await act(store, Action.INVOICE, amount="8.02")
    await act(store, Action.CAPTURE, amount="98.02")
    await act(store, Action.REQUEST_RETURN, lines={1: 1}, reason=ReturnReason.DAMAGED)
    await act(store, Action.APPROVE_RETURN)
    await act(store, Action.LABEL_RETURN, **LABEL)
    await act(store, Action.RECEIVE_RETURN, lines={1: 1})
    await act(store, Action.INSPECT_RETURN, written_off={1: Decimal(1)})
    await act(store, Action.REFUND, amount="10")
    await act(store, Action.REFUND, amount="8")
    found = await owed(store)
    assert found[:6] == [
        ("1", "confirmation", ""),
        ("1", "shipment", "1"),
        ("1", "shipment", "2"),
        ("1", "invoice", "INV-000001"),
        ("1", "invoice", "INV-000002"),
        ("1", "return_label", "RMA1 NP1"),
    ]
    assert [kind for _, kind, _ in found[6:]] == ["refund", "refund"]
    assert found[6][2] != found[7][2]


async def test_new_return_label_is_notified_and_the_same_label_is_not(store: Store) -> None:
    await shipped(store)
    await act(store, Action.REQUEST_RETURN, lines={1: 1}, reason=ReturnReason.DAMAGED)
    await act(store, Action.APPROVE_RETURN)
    for number in ("NP1", "NP1", "NP2"):
        await act(store, Action.LABEL_RETURN, carrier="Northern Parcel", tracking_number=number)
    assert [reference for _, kind, reference in await owed(store) if kind == "return_label"] == ["RMA1 NP1", "RMA1 NP2"]


async def test_canceled_order_is_notified_and_a_canceled_line_is_not(store: Store) -> None:
    await opened(store)
    await act(store, Action.CANCEL, lines={1: 1})
    assert await owed(store) == []
    await act(store, Action.CANCEL, lines={1: 1, 2: "1.5"})
    assert await owed(store) == [("1", "cancellation", "")]


async def test_every_escalation_captures_a_notification(store: Store) -> None:
    await opened(store)
    for _ in range(2):
        await act(store, Action.HOLD, hold=Hold.FRAUD)
        await act(store, Action.ESCALATE, hold=Hold.FRAUD)
        await act(store, Action.RELEASE, hold=Hold.FRAUD)
    assert [kind for _, kind, _ in await owed(store)] == ["escalation", "escalation"]


async def test_split_and_replacement_orders_are_confirmed_separately(store: Store) -> None:
    await confirmed(store)
    await act(store, Action.SPLIT, lines={2: "1.5"})
    assert await owed(store) == [("1", "confirmation", ""), ("1-S1", "confirmation", "")]
    await act(store, Action.ALLOCATE, lines={1: 2})
    await act(store, Action.PICK, lines={1: 2})
    await act(store, Action.SHIP, lines={1: 2}, **LABEL)
    await act(store, Action.DELIVER)
    await act(
        store, Action.REQUEST_RETURN, lines={1: 1}, reason=ReturnReason.DAMAGED, resolution=Resolution.REPLACEMENT
    )
    await act(store, Action.APPROVE_RETURN)
    await act(store, Action.RECEIVE_RETURN, lines={1: 1})
    await act(store, Action.INSPECT_RETURN, written_off={1: Decimal(1)})
    await act(store, Action.CONFIRM, "1-R1")
    assert (await owed(store))[-1] == ("1-R1", "confirmation", "")


async def test_rejected_command_captures_no_notification(store: Store) -> None:
    await opened(store)
    commands = [OrderCommand(number="1", event=make_event(action)) for action in (Action.CONFIRM, Action.CONFIRM)]
    with pytest.raises(CommandError):
        async with store.transaction() as uow:
            await OrderTransaction(uow, actor="anna", rules=RULES).execute_all(commands)
    assert await owed(store) == []


async def test_no_notification_is_captured_without_a_transport(store: Store) -> None:
    await opened(store)
    await act(store, Action.CONFIRM, rules=standard())
    assert await owed(store) == []


async def test_only_kinds_enabled_by_the_rules_are_captured(store: Store) -> None:
    await opened(store)
    quiet = replace(RULES, notified_kinds=frozenset({MessageKind.INVOICE}))
    await act(store, Action.CONFIRM, rules=quiet)
    await act(store, Action.INVOICE, rules=quiet, amount="10")
    assert await owed(store) == [("1", "invoice", "INV-000001")]


async def test_imported_order_captures_no_notification(store: Store) -> None:
    await samples.stock(store)
    async with store.transaction() as uow:
        await orders.save(uow, [samples.order("1", stage=Stage.SHIPPED)])
    assert await owed(store) == []


async def test_notification_is_captured_once(store: Store) -> None:
    await confirmed(store)
    [first] = await outbox(store)
    async with store.transaction() as uow:
        await notifications.capture(uow, [first, first])
    assert await outbox(store) == [first]


async def test_unknown_kind_and_state_are_rejected_by_the_database(store: Store) -> None:
    await opened(store)
    now = store.clock.now()
    row: dict[str, Any] = {
        "key": "k", "order_number": "1", "kind": "confirmation", "reference": "", "state": "due", "attempts": 0,
        "captured_at": now, "since": now, "due_at": now,
    }  # fmt: skip
    for wrong in ({"kind": "advert"}, {"state": "lost"}, {"order_number": "none"}):
        with pytest.raises(StoreError):
            async with store.transaction() as uow:
                await uow.connection.execute(insert(table), row | wrong)
    assert await owed(store) == []


async def test_outbox_stores_no_address_and_no_name(store: Store) -> None:
    await confirmed(store)
    async with store.reader() as connection:
        [row] = (await connection.execute(table.select())).all()
    assert not [value for value in row if isinstance(value, str) and ("@" in value or "Bon app" in value)]


def test_settings_determine_the_captured_kinds(tmp_path: Any) -> None:
    assert load_rules_for(Settings(_env_file=None)).notified_kinds == frozenset()
    some = MessageSettings(via=Via.SMTP, sender="a@b.example", smtp_host="localhost")
    assert load_rules_for(Settings(_env_file=None, messages=some)).notified_kinds == set(MessageKind) - {
        MessageKind.ESCALATION
    }
    whole = some.model_copy(update={"ops_address": "ops@b.example"})
    assert load_rules_for(Settings(_env_file=None, messages=whole)).notified_kinds == set(MessageKind)
    file = tmp_path / "rules.yaml"
    file.write_text("verification: []\nmessages: [invoice]\n")
    assert load_rules(file).messages == {MessageKind.INVOICE}
    assert load_rules_for(Settings(_env_file=None, messages=whole, rules_file=file)).notified_kinds == {
        MessageKind.INVOICE
    }


async def test_retried_or_discarded_notification_is_journaled_with_its_actor(store: Store) -> None:
    await confirmed(store)
    [message] = await outbox(store)
    async with store.transaction() as uow:
        assert await notifications.retry(uow, [message.id], by="anna") == []
        assert [item.id for item in await notifications.discard(uow, [message.id], by="anna")] == [message.id]
        assert await notifications.discard(uow, [message.id], by="anna") == []
    assert [item.state for item in await outbox(store)] == [MessageState.DISCARDED]
    async with store.transaction() as uow:
        assert [item.id for item in await notifications.retry(uow, [message.id, 99], by="ben")] == [message.id]
    assert [item.state for item in await outbox(store)] == [MessageState.DUE]
    async with store.reader() as connection:
        entries = await journal.read(connection, "order", "1")
    said = [(entry.action, entry.detail) for entry in entries if entry.action.startswith("message")]
    assert said == [
        ("message retried", {"message": "confirmation of order 1", "by": "ben"}),
        ("message discarded", {"message": "confirmation of order 1", "by": "anna"}),
    ]
