"""Header fields of orders: changes and their limits, tax, and the total that the customer saw."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from connector.api.transitions import DetailsBody
from connector.errors import CommandError, StoreError
from connector.model.actions import Action
from connector.model.change import EntityKind
from connector.model.events import ChangeOrder, IssueInvoice, LineEdit
from connector.model.holds import Hold
from connector.model.order import Order
from connector.model.order_header import CHANGEABLE
from connector.model.order_state import OrderState
from connector.model.product import Price, Product
from connector.model.stage import Stage
from connector.model.transitions import apply
from connector.orders.command import OrderCommand
from connector.orders.documents.invoice import load
from connector.orders.policy.rules import Rules, load_rules, standard
from connector.orders.policy.verification import verify
from connector.orders.transaction import OrderTransaction
from connector.store import invoices, order_history, orders, outbox_counts, products
from connector.store.engine import Store
from connector.store.tables import holds
from connector.store.tables import orders as table
from tests.order_builders import as_history_keeps
from tests.unit.orders.test_transaction import SHIPPED, act, allocate, opened
from tests.unit.store import samples
from tests.unit.store.samples import placements

NET = replace(
    standard(), billing=replace(standard().billing, net=True, tax_rate=Decimal("0.0825"), company="Tax Collectors")
)


async def change(store: Store, rules: Rules | None = None, **details: Any) -> OrderState:
    async with store.transaction() as uow:
        command = OrderCommand(number="1", event=ChangeOrder(details=details))
        [state] = await OrderTransaction(uow, actor="anna", rules=rules).execute_all([command])
    return state


async def read(store: Store, number: str = "1") -> Order:
    async with store.reader() as connection:
        [order] = await orders.load(connection, [number])
    return order


async def replayed(store: Store, number: str = "1") -> OrderState:
    async with store.reader() as connection:
        first, *more = await order_history.read(connection, number)
    assert first.initial_state is not None
    state = first.initial_state
    for entry in more:
        state = apply(state, entry.event)
    return as_history_keeps(state)


async def packed(store: Store) -> None:
    await opened(store)
    for action in (Action.VERIFY, Action.CONFIRM):
        await act(store, action)
    await allocate(store)
    await act(store, Action.PICK, lines={1: 2, 2: "1.5"})
    await act(store, Action.PACK, lines={1: 2})


async def test_new_address_requires_verification_and_is_sent_to_the_org(store: Store) -> None:
    await opened(store)
    await act(store, Action.VERIFY)
    await samples.settle_everything(store)
    state = await change(store, ship_to_street="Rue 2", ship_to_country="France")
    assert state.stage is Stage.PLACED
    assert ((await read(store)).header.ship_to_street, (await read(store)).header.ship_to_city) == ("Rue 2", "Reims")
    assert [item.key for item in await samples.pending(store, EntityKind.ORDER)] == ["1"]
    assert await replayed(store) == as_history_keeps((await read(store)).state)


async def test_history_keeps_no_personal_value(store: Store) -> None:
    await opened(store)
    await change(store, ship_to_name="Marie Dupont", notes="ring at Dupont's", freight=Decimal("9.90"))
    async with store.reader() as connection:
        *_, entry = await order_history.read(connection, "1")
    assert "Dupont" not in str(entry.payload)
    assert entry.payload["personal"] == ["notes", "ship_to_name"]
    assert entry.payload["details"] == {"freight": "9.9"}
    order = await read(store)
    assert (order.header.ship_to_name, order.header.notes, order.header.freight) == (
        "Marie Dupont",
        "ring at Dupont's",
        Decimal("9.9"),
    )


async def test_every_changeable_field_can_be_set_and_cleared(store: Store) -> None:
    await opened(store)
    values: dict[type, Any] = {str: "other", date: date(2026, 5, 1), bool: True, Decimal: Decimal("0.5")}
    await change(store, **{name: values[info.kind.python_type] for name, info in CHANGEABLE.items()})
    order = await read(store)
    assert {name: getattr(order.header, name) for name in CHANGEABLE} == {
        name: values[info.kind.python_type] for name, info in CHANGEABLE.items()
    }
    await change(store, **dict.fromkeys(CHANGEABLE))
    order = await read(store)
    assert not any(getattr(order.header, name) for name in CHANGEABLE)
    assert await replayed(store) == as_history_keeps(order.state)
    assert set(DetailsBody.model_fields) == set(CHANGEABLE)


async def test_shipped_order_accepts_changes_of_notes_only(store: Store) -> None:
    await packed(store)
    await act(store, Action.PACK, lines={2: "1.5"})
    for parcel in (1, 2):
        await act(store, Action.SHIP, shipment=parcel, **SHIPPED)
    with pytest.raises(
        CommandError, match=r"is shipped: it cannot change promised_on now.*notes, po_number or rep_comment later too"
    ):
        await change(store, promised_on=date(2026, 4, 1))
    with pytest.raises(CommandError, match="it cannot change its lines now"):
        await act(store, Action.CHANGE, line_edits={1: LineEdit(sku="CHAI", quantity=Decimal(9))})
    await change(store, po_number="PO-7", notes="asked twice")
    assert (await read(store)).header.po_number == "PO-7"


async def test_address_change_with_a_labeled_parcel_is_rejected(store: Store) -> None:
    await packed(store)
    await change(store, ship_to_street="Rue 2")
    await act(store, Action.LABEL, carrier="Swift Post", tracking_number="T1")
    with pytest.raises(CommandError, match=r"has shipment 1 labeled for the old address\. Unpack it first") as refused:
        await change(store, ship_to_street="Rue 3")
    assert (refused.value.field, refused.value.rule) == ("shipment", "shipment")
    await change(store, delivery_note="back door")
    await act(store, Action.UNPACK)
    await change(store, ship_to_street="Rue 3")
    await act(store, Action.SHIP, lines={1: 2}, **SHIPPED)
    with pytest.raises(CommandError, match=r"has shipment 2 that left for the old address\. Split off the rest"):
        await change(store, ship_to_street="Rue 4")


@pytest.mark.parametrize(
    ("details", "field", "says"),
    [
        ({"color": "red"}, "details.color", "it has no detail color. It has service_level, "),
        ({"freight": Decimal(-1)}, "details.freight", "got the freight -1. It must not be less than 0."),
        ({"tax_rate": Decimal(19)}, "details.tax_rate", "It is a fraction: 0.19 for 19 %."),
        ({"promised_on": "soon"}, "details.promised_on", "It must be a day."),
        ({"ship_complete": "maybe"}, "details.ship_complete", "It must be yes or no."),
        ({}, "line_edits", "names nothing"),
    ],
)
async def test_invalid_detail_is_rejected(store: Store, details: dict[str, Any], field: str, says: str) -> None:
    await opened(store)
    before = await read(store)
    with pytest.raises(CommandError) as refused:
        await change(store, **details)
    assert refused.value.field == field
    assert says in str(refused.value)
    assert await read(store) == before


async def test_change_below_the_captured_amount_is_rejected(store: Store) -> None:
    await opened(store)
    await act(store, Action.CAPTURE, amount="98.02")
    with pytest.raises(CommandError, match=r"has 98\.02 paid, but only 66\.64 would be due"):
        await change(store, freight=Decimal(1))
    assert (await change(store, freight=Decimal("40"))).payment_status == "partially_paid"


async def test_ship_complete_order_waits_until_all_lines_are_packed(store: Store) -> None:
    await packed(store)
    await change(store, ship_complete=True)
    with pytest.raises(CommandError, match=r"it must ship complete, and 1\.5 of line 2 is not packed") as refused:
        await act(store, Action.SHIP, shipment=1, **SHIPPED)
    assert (refused.value.field, refused.value.rule) == ("ship_complete", "complete")
    await act(store, Action.PACK, lines={2: "1.5"})
    assert (await act(store, Action.SHIP, shipment=1, **SHIPPED)).stage is Stage.FULFILLING
    assert (await act(store, Action.SHIP, shipment=2, **SHIPPED)).stage is Stage.SHIPPED
    assert await replayed(store) == as_history_keeps((await read(store)).state)


async def test_ship_complete_order_does_not_wait_for_canceled_lines(store: Store) -> None:
    await packed(store)
    await change(store, ship_complete=True)
    await act(store, Action.CANCEL, lines={2: "1.5"})
    assert (await act(store, Action.SHIP, shipment=1, **SHIPPED)).stage is Stage.SHIPPED


async def placed(store: Store, rules: Rules, **fields: Any) -> Order:
    await samples.stock(store)
    async with store.transaction() as uow:
        await OrderTransaction(uow, actor="shop", rules=rules).place(placements([samples.order("1", **fields)]))
    return await read(store)


async def test_tax_is_added_to_net_prices(store: Store) -> None:
    order = await placed(store, NET)
    # 98.02375 x 1.0825 = 106.1107...
    assert (order.header.tax_rate, order.state.due, order.tax) == (
        Decimal("0.0825"),
        Decimal("106.11"),
        Decimal("8.09"),
    )
    assert order.amount_due == Decimal("106.11")
    for action in (Action.VERIFY, Action.CONFIRM):
        await act(store, action)
    async with store.transaction() as uow:
        invoice = IssueInvoice(amount=Decimal("106.11"))
        await OrderTransaction(uow, actor="anna", rules=NET).execute_all([OrderCommand(number="1", event=invoice)])
    async with store.reader() as connection:
        [issued] = await invoices.of_order(connection, "1")
    view = load(issued.body)
    assert (view.tax_added, view.tax_rate, view.total) == (Decimal("8.09"), Decimal("0.0825"), Decimal("106.11"))
    assert view.goods + view.freight + view.rounding + view.tax_added == view.total
    canceled = await act(store, Action.CAPTURE, amount="106.11")
    assert canceled.payment_status == "paid"
    assert await replayed(store) == as_history_keeps((await read(store)).state)


async def test_tax_is_reduced_by_a_cancellation(store: Store) -> None:
    await placed(store, NET)
    state = await act(store, Action.CANCEL, lines={2: "1.5"})
    # (36 + 32.38) x 1.0825
    assert (state.due, state.tax) == (Decimal("74.02"), Decimal("5.64"))
    assert (await act(store, Action.CANCEL, lines={1: 2})).due == 0


async def test_tax_rate_of_the_order_is_kept(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(
        "verification: []\n"
        "billing: {prices: net, tax_rate: 0.07, tax: [{rate: 0.19, when: 'ship_to_country == \"Germany\"'}]}",
        encoding="utf-8",
    )
    rules = load_rules(file)
    assert (await placed(store, rules, ship_to_country="Germany")).header.tax_rate == Decimal("0.19")
    assert (await change(store, rules, ship_to_country="France")).header.tax_rate == Decimal("0.07")
    assert (await change(store, rules, ship_to_country="Germany", tax_rate=Decimal("0.16"))).header.tax_rate == Decimal(
        "0.16"
    )
    assert (await change(store, rules, ship_to_country="France")).header.tax_rate == Decimal("0.16")
    assert (await read(store)).header.tax_rate == Decimal("0.16")
    assert await replayed(store) == as_history_keeps((await read(store)).state)


async def held(store: Store) -> dict[Hold, tuple[str, str]]:
    async with store.transaction() as uow:
        await verify(OrderTransaction(uow, actor="job"), ["1"])
        rows = await uow.connection.execute(select(holds))
        return {Hold(row.reason): (row.rules, row.note) for row in rows}


WHOLE = {"ship_to_street": "Rue 1", "ship_to_country": "France"}


async def test_stated_total_that_differs_holds_the_order_with_its_rule(store: Store) -> None:
    await placed(store, standard(), **WHOLE, stated_total=Decimal("98.00"))
    assert await held(store) == {
        Hold.MANUAL: ("total does not add up", "The order says 98.00, its lines come to 98.02.")
    }
    await act(store, Action.RELEASE, hold=Hold.MANUAL)
    await change(store, stated_total=Decimal("98.01"))
    assert Hold.MANUAL in await held(store)
    await act(store, Action.RELEASE, hold=Hold.MANUAL)
    await act(store, Action.CHANGE, line_edits={1: LineEdit(sku="CHAI", quantity=Decimal(3))})
    assert (await read(store)).header.stated_total is None
    assert await held(store) == {}


async def test_stated_total_that_is_correct_does_not_hold_the_order(store: Store) -> None:
    await placed(store, standard(), **WHOLE, stated_total=Decimal("98.02"))
    assert await held(store) == {}


async def test_changed_note_does_not_restore_a_released_hold(store: Store) -> None:
    await placed(store, standard(), stated_total=Decimal("98.02"))
    assert list(await held(store)) == [Hold.ADDRESS]
    await act(store, Action.RELEASE, hold=Hold.ADDRESS)
    await change(store, notes="spoke to them")
    assert await held(store) == {}
    assert (await read(store)).stage is Stage.VERIFIED
    await change(store, ship_to_city="Lyon")
    assert list(await held(store)) == [Hold.ADDRESS]


async def test_change_recomputes_the_priority(store: Store) -> None:
    await placed(store, standard(), **WHOLE)
    await change(store, service_level="same_day")
    order = await read(store)
    assert order.priority >= 100
    async with store.reader() as connection:
        counted = await outbox_counts.counts(connection)
        lane = (await connection.execute(select(table.c.priority))).scalar_one()
    assert lane == order.priority
    assert counted[EntityKind.ORDER]


async def test_order_for_an_unknown_product_is_held_until_the_product_arrives(store: Store) -> None:
    line = samples.line(3, "NEW-1", price="5")
    order = await placed(store, standard(), **WHOLE, lines=(samples.line(1), line))
    assert order.lines[1].product.name == "Unknown product NEW-1"
    assert await held(store) == {Hold.STOCK: ("product unknown", "Not in the catalog: NEW-1.")}
    async with store.transaction() as uow:
        await products.save(
            uow, [Product(sku="NEW-1", name="New", prices=(Price(currency="USD", unit_price=Decimal(5)),))]
        )
    await act(store, Action.RELEASE, hold=Hold.STOCK)
    assert await held(store) == {}
    assert (await read(store)).lines[1].product == await product(store, "NEW-1")


async def product(store: Store, sku: str) -> Product:
    async with store.reader() as connection:
        return (await products.find(connection, [sku]))[sku]


async def test_unknown_products_are_rejected_by_rule_and_unknown_customers_always(
    store: Store,
) -> None:
    await samples.stock(store)
    for rules, changes in (
        (replace(standard(), keep_unknown=False), {"lines": (samples.line(1, "NEW-1"),)}),
        (standard(), {"lines": (samples.line(1, "NEW-1"),), "customer": "NOBODY"}),
    ):
        with pytest.raises(StoreError, match="unknown"):
            async with store.transaction() as uow:
                await OrderTransaction(uow, actor="shop", rules=rules).place(
                    placements([samples.order("1", **changes)])
                )
    async with store.reader() as connection:
        assert await orders.count(connection) == 0
        assert await products.find(connection, ["NEW-1"]) == {}


async def test_line_without_a_price_gets_a_list_price_once_there_is_one(store: Store) -> None:
    await placed(store, standard(), lines=(samples.line(1, "NEW-1", price=None),))
    async with store.transaction() as uow:
        await products.save(
            uow, [Product(sku="NEW-1", name="New", prices=(Price(currency="USD", unit_price=Decimal(5)),))]
        )
    await act(store, Action.CHANGE, line_edits={1: LineEdit(sku="NEW-1", quantity=Decimal(4))})
    assert (await read(store)).lines[0].unit_price == 5


async def test_tax_is_rounded_separately_from_the_amount(store: Store) -> None:
    lines = (samples.line(1, quantity="1", price="29.40"), samples.line(2, "TOFU", "1", "19.215"))
    order = await placed(store, standard(), tax_rate=Decimal("0.19"), freight=None, lines=lines)
    assert (order.tax, order.state.due) == (Decimal("9.24"), Decimal("57.86"))  # 48.615 is 48.62, its tax 9.23685
