"""The order rules: holds, priority and choice of warehouses; and invalid rules files."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from connector.errors import CommandError, RulesError
from connector.model.action_fields import REQUESTABLE, make_event
from connector.model.actions import Action
from connector.model.events import Cancel, Capture
from connector.model.holds import Hold
from connector.model.order_state import OrderState
from connector.model.stage import Stage
from connector.model.stock import StockLevel
from connector.orders.command import OrderCommand
from connector.orders.inventory.sourcing import choose_sources
from connector.orders.policy.order_facts import OrderFacts
from connector.orders.policy.rules import Routing, Rules, load_rules, standard
from connector.orders.policy.verification import verify
from connector.orders.service import execute_in
from connector.orders.transaction import OrderTransaction
from connector.store import customers, order_history, orders
from connector.store.engine import Store
from connector.store.queries.customer_history import load_customer_histories
from connector.store.tables import holds
from tests.unit.store import samples
from tests.unit.store.samples import placements
from tests.unit.store.test_plans import watch

GUIDE = (Path(__file__).parents[3] / "docs" / "lifecycle.md").read_text(encoding="utf-8")
WHOLE = {"ship_to_street": "Rue 1", "ship_to_country": "France"}


async def held(store: Store, number: str = "1") -> dict[Hold, str]:
    """The holds that verification has placed, with their notes."""
    async with store.transaction() as uow:
        await verify(OrderTransaction(uow, actor="job"), [number])
        rows = await uow.connection.execute(select(holds).where(holds.c.order_number == number))
        return {Hold(row.reason): row.note for row in rows}


async def placed(store: Store, **changes: object) -> None:
    await samples.stock(store)
    async with store.transaction() as uow:
        await OrderTransaction(uow, actor="shop").place(placements([samples.order("1", **WHOLE | changes)]))


async def test_order_without_violations_is_verified(store: Store) -> None:
    await placed(store)
    assert await held(store) == {}
    async with store.reader() as connection:
        [order] = await orders.load(connection, ["1"])
    assert order.stage == "verified"


@pytest.mark.parametrize(
    ("changes", "hold", "note"),
    [
        ({"ship_to_street": None, "ship_to_city": None}, Hold.ADDRESS, "The delivery address lacks street and city."),
        ({"lines": (samples.line(1, price="40"),)}, Hold.MANUAL, "A price is 122.22 % off the list."),
        ({"lines": (samples.line(1, quantity="20000"),)}, Hold.MANUAL, "A quantity of 20000."),
        ({"lines": (samples.line(1, quantity="2000"),)}, Hold.FRAUD, "of this customer is worth 36032.38."),
    ],
)  # fmt: skip
async def test_order_that_violates_a_rule_is_put_on_hold(
    store: Store, changes: dict[str, object], hold: Hold, note: str
) -> None:
    await placed(store, **changes)
    assert note in (await held(store))[hold]


async def test_credit_limit_includes_the_balance_of_other_orders(store: Store) -> None:
    await placed(store)
    async with store.transaction() as uow:
        await customers.save(uow, [replace(samples.ALFKI, credit_limit=Decimal(150))])
        await OrderTransaction(uow, actor="shop").place(placements([samples.order("2", **WHOLE)]))
    assert (await held(store, "2"))[Hold.CREDIT].startswith("With 98.02 more the customer would owe 98.02 and exceed")


async def test_credit_limit_counts_orders_in_the_same_currency_only(store: Store) -> None:
    await placed(store)
    yen = {"currency": "JPY", "freight": None, "lines": (samples.line(1, price="9000"),)}
    async with store.transaction() as uow:
        await customers.save(uow, [replace(samples.ALFKI, credit_limit=Decimal(200))])
        await OrderTransaction(uow, actor="shop").place(
            placements([samples.order("2", **WHOLE | yen), samples.order("3", **WHOLE)])
        )
    assert Hold.CREDIT not in await held(store, "3")  # 98.02 and 98.02; what is owed in yen does not count
    assert (await held(store, "2"))[Hold.CREDIT].startswith("With 18000 more the customer would owe 0 and exceed")


async def test_open_balance_is_exact_and_computed_once_per_customer(store: Store) -> None:
    await placed(store)
    async with store.transaction() as uow:
        await customers.save(uow, [replace(samples.ALFKI, credit_limit=Decimal(1000))])
        transaction = OrderTransaction(uow, actor="shop")
        some = [
            samples.order("2", tax_rate=Decimal("0.19"), lines=(samples.line(1, price="1.115"),)),
            samples.order("3", freight=None),
            samples.order("4", freight=None, lines=(samples.line(1, price=None),)),
            samples.order("5", currency="EUR"),
            samples.order("6"),
        ]
        await transaction.place(placements(some))
        events = [
            ("1", Capture(amount=Decimal(50))),
            ("3", Cancel(lines={1: Decimal(1)})),
            ("6", Cancel(lines={1: Decimal(2), 2: Decimal("1.5")})),
        ]
        await transaction.execute_all([OrderCommand(number=number, event=event) for number, event in events])
        await orders.save(uow, [samples.order("imported", stage=Stage.SHIPPED)])
        every = await orders.load(uow.connection, ["1", "2", "3", "4", "5", "imported"])
        asked = watch(uow.connection)
        found = await load_customer_histories(uow.connection, every)
        assert len(asked) == 3  # earlier orders, those of the day, open balances
    due = {order.number: order.amount_due for order in every if order.currency == "USD"}
    assert due["2"] == Decimal("41.19")  # (2 x 1.115 + 32.38) x 1.19
    expected = {number: sum(due.values()) - mine for number, mine in due.items()}
    assert {number: item.open_balance for number, item in found.items()} == expected | {"5": 0}


async def ask_for(store: Store, action: Action, rules: Rules | None = None, **event: Any) -> OrderState:
    async with store.transaction() as uow:
        transaction = OrderTransaction(uow, actor="anna", rules=rules)
        await execute_in(transaction, OrderCommand(number="1", event=make_event(action, **event)))
        [(order, _)] = (await transaction.load(["1"])).values()
    return order.state


@pytest.mark.parametrize("before", [[], [Action.VERIFY], [Action.VERIFY, Action.CONFIRM]])
async def test_order_with_a_declined_payment_is_held(store: Store, before: list[Action]) -> None:
    await placed(store)
    for action in (*before, Action.AUTHORIZE):
        await ask_for(store, action)
    failed = await ask_for(store, Action.DECLINE)
    if not before:
        failed = await ask_for(store, Action.VERIFY)
    assert failed.holds == {Hold.PAYMENT}
    with pytest.raises(CommandError, match="is on hold"):
        await ask_for(store, (Action.VERIFY, Action.CONFIRM, Action.ALLOCATE)[len(before)])
    async with store.reader() as connection:
        *_, entry = await order_history.read(connection, "1")
    assert (entry.event.reference, entry.event.note) == ("payment failed", "The payment failed.")


async def test_released_payment_hold_returns_only_after_another_decline(store: Store) -> None:
    await placed(store)
    await ask_for(store, Action.VERIFY)
    assert (await ask_for(store, Action.DECLINE)).holds == {Hold.PAYMENT}
    await ask_for(store, Action.RELEASE, hold=Hold.PAYMENT)
    await ask_for(store, Action.CHANGE, details={"po_number": "PO-7"})
    confirmed = await ask_for(store, Action.CONFIRM)
    assert (confirmed.stage, confirmed.holds) == (Stage.CONFIRMED, frozenset())
    assert (await ask_for(store, Action.DECLINE)).holds == {Hold.PAYMENT}


async def test_decline_checks_payment_rules_only(store: Store) -> None:
    await placed(store, ship_to_street=None)
    await ask_for(store, Action.VERIFY)
    await ask_for(store, Action.RELEASE, hold=Hold.ADDRESS)
    await ask_for(store, Action.VERIFY)
    async with store.transaction() as uow:
        await customers.save(uow, [replace(samples.ALFKI, credit_limit=Decimal(1))])
    assert (await ask_for(store, Action.DECLINE)).holds == {Hold.PAYMENT}


async def test_rules_can_use_authorized_and_captured_amounts(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(
        "verification:\n"
        '  - {name: unpaid, hold: payment, when: payment_status == "unpaid", say: "Not paid."}\n'
        "  - {name: too little, hold: credit, when: authorized + captured < value,\n"
        '     say: "{authorized} authorized, {captured} captured of {value}."}\n',
        encoding="utf-8",
    )
    rules = load_rules(file)
    await placed(store)
    assert (await ask_for(store, Action.VERIFY, rules)).holds == {Hold.PAYMENT, Hold.CREDIT}
    async with store.reader() as connection:
        *_, entry = await order_history.read(connection, "1")
    assert entry.event.note == "0.00 authorized, 0.00 captured of 98.02."
    for hold in (Hold.PAYMENT, Hold.CREDIT):
        await ask_for(store, Action.RELEASE, rules, hold=hold)
    assert (await ask_for(store, Action.VERIFY, rules)).stage is Stage.VERIFIED


async def test_fully_authorized_order_is_not_unpaid(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    unpaid = '{name: unpaid, hold: payment, when: payment_status == "unpaid", say: "Not paid."}'
    file.write_text(f"verification: [{unpaid}]", encoding="utf-8")
    await placed(store)
    await ask_for(store, Action.AUTHORIZE)
    assert (await ask_for(store, Action.VERIFY, load_rules(file))).stage is Stage.VERIFIED


async def test_urgent_order_gets_a_higher_priority(store: Store) -> None:
    await placed(store, service_level="same_day", promised_on=store.clock.now().date())
    async with store.reader() as connection:
        [order] = await orders.load(connection, ["1"])
    assert order.priority == 140


def level(on_hand: int, since: date | None = None) -> StockLevel:
    return StockLevel(on_hand=Decimal(on_hand), since=since)


NEEDS = {1: ("TEA", Decimal(4)), 2: ("CUP", Decimal(2))}


@pytest.mark.parametrize(
    ("routing", "chosen"),
    [
        (Routing(), {(1, "WEST"), (2, "WEST")}),
        (Routing(criteria=("cost", "shipments"), cost={"EAST": Decimal(1), "NORTH": Decimal(2), "WEST": Decimal(9)}),
         {(1, "EAST"), (2, "NORTH")}),
    ],
)  # fmt: skip
def test_routing_rule_chooses_the_warehouses(routing: Routing, chosen: set[tuple[int, str]]) -> None:
    levels = {
        ("TEA", "EAST"): level(9), ("CUP", "NORTH"): level(9), ("TEA", "WEST"): level(9), ("CUP", "WEST"): level(9),
    }  # fmt: skip
    assert set(choose_sources(NEEDS, levels, routing)) == chosen


def test_routing_prefers_the_oldest_stock_among_equal_warehouses() -> None:
    levels = {("TEA", "EAST"): level(9, date(2026, 3, 1)), ("TEA", "WEST"): level(9, date(2026, 1, 1))}
    assert set(choose_sources({1: ("TEA", Decimal(4))}, levels)) == {(1, "WEST")}


def test_routing_adds_warehouses_until_the_quantity_is_reached() -> None:
    levels = {("TEA", f"W{index}"): level(index) for index in range(1, 12)}
    chosen = choose_sources({1: ("TEA", Decimal(30))}, levels)
    assert (sum(chosen.values()), len(chosen)) == (30, 3)


def test_all_problems_of_a_rules_file_are_reported_at_once(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(
        "verification:\n- {name: a, hold: weather, when: value > 1, say: x}\n"
        "- {name: b, hold: fraud, when: valeu > 1, say: '{nothing}'}\nrouting: {criteria: [mood]}\nextra: 1\n"
    )
    with pytest.raises(RulesError) as refused:
        load_rules(file)
    said = [problem.removeprefix(f"{file}:") for problem in refused.value.problems]
    assert [line.split(": ")[:2] for line in said] == [
        ["2:13", "verification.1.hold"], ["3:26", "verification.2.when"], ["3:43", "verification.2.say"],
        ["4:22", "routing.criteria.1"], ["5:1", "extra"],
    ]  # fmt: skip
    assert "An order has no `valeu`. Did you mean `value`?" in said[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ":1:1: file: is empty: copy connector/orders/policy/rules.yaml"),
        ("# nothing\n\n", ":1:1: file: is empty: copy connector/orders/policy/rules.yaml"),
        ("urgent_from: 5\n", ":1:1: verification: is missing, and every order would pass: copy connector/orders/"),
        ("- a\n", ":1:1: file: is empty or no mapping"),
        ("verification: [", ":1:16: file: is not YAML"),
        ("verification: []\nurgent_from: 1\nurgent_from: 2\n", ":3:1: file: is not YAML: found duplicate key"),
        ("verification: []\nescalation: {paymnt: 1}\n",
         ":2:14: escalation.paymnt: is unknown. Did you mean `payment`?"),
        ("verification: []\nbilling: {tax_rate: much}\n", ":2:11: billing.tax_rate: must be a number."),
        ("verification: []\nrouting: {cots: {}}\n", ":2:11: routing.cots: is unknown. Did you mean `cost`?"),
    ],
)  # fmt: skip
def test_invalid_rules_file_is_rejected_with_a_plain_message(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    with pytest.raises(RulesError) as refused:
        load_rules(file)
    assert [problem for problem in refused.value.problems if problem.startswith(f"{file}{said}")], refused.value


def test_empty_verification_list_has_no_checks(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("verification: []\n")
    assert load_rules(file).checks == ()


def test_missing_rules_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match=r"nix\.yaml: there is no such file: correct CONNECTOR_RULES_FILE"):
        load_rules(tmp_path / "nix.yaml")
    with pytest.raises(RulesError, match="cannot be read"):
        load_rules(tmp_path)


def test_guide_documents_every_fact_and_action() -> None:
    assert [item.name for item in fields(OrderFacts) if f"`{item.name}" not in GUIDE] == []
    assert [action for action in REQUESTABLE if f"`{action}`" not in GUIDE] == []
    assert set(standard().escalation) == set(Hold)


def test_rules_that_are_shared_cannot_be_changed() -> None:
    for shared in (standard().escalation, standard().routing.cost):
        with pytest.raises(TypeError, match="does not support item assignment"):
            shared["EAST"] = 1  # type: ignore[index]
