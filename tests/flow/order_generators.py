"""What may be asked of an order in a random life: mostly what comes next, now and then what makes no sense."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from connector.errors import CommandError
from connector.model.action_fields import ACTION_FIELDS, REQUESTABLE, make_event
from connector.model.actions import Action
from connector.model.events import Detail, Event, LineEdit
from connector.model.holds import Hold
from connector.model.order import LineInput, Order, OrderInput
from connector.model.product import Price, Product
from connector.model.shipments import (
    IN_HOUSE,
    ON_THE_WAY,
    ZERO,
    Resolution,
    ReturnReason,
    ReturnStatus,
    ShipmentStatus,
)
from connector.model.stage import Stage
from connector.orders.command import OrderCommand
from connector.orders.transaction import OrderTransaction
from connector.store import orders
from tests.flow.conftest import World
from tests.order_builders import order_input

SKUS = ("TEA", "CUP")
PLACES = ("EAST", "WEST")
PRICE = Decimal("12.75")
ONE = Decimal(1)
ACTIONS = REQUESTABLE


@dataclass(frozen=True)
class Wish:
    """`action` None asks for what comes next; `part` is how much of what is possible: all, one, or too much;
    `careless` gives the action every field that there is."""

    order: int
    action: Action | None
    part: str
    hold: Hold
    lucky: bool
    careless: bool = False


PARTS = ("all", "all", "all", "one", "more")
QUANTITIES = tuple(Decimal(text) for text in ("1", "2", "3.5", "10"))
DISCOUNTS = (ZERO, Decimal("0.15"))

wishes = st.builds(
    Wish,
    order=st.integers(0, 30),
    action=st.one_of(st.none(), st.none(), st.sampled_from(ACTIONS)),
    part=st.sampled_from(PARTS),
    hold=st.sampled_from(tuple(Hold)),
    lucky=st.booleans(),
    careless=st.integers(0, 9).map(lambda number: number == 9),
)
drafts = st.lists(
    st.tuples(
        st.sampled_from(SKUS),
        st.sampled_from(QUANTITIES),
        st.sampled_from(DISCOUNTS),
    ),
    min_size=1,
    max_size=3,
)


def random_wish(chance: random.Random) -> Wish:
    return Wish(
        order=chance.randint(0, 30),
        action=chance.choice(ACTIONS) if chance.random() < 0.2 else None,
        part=chance.choice(PARTS),
        hold=chance.choice(tuple(Hold)),
        lucky=chance.random() < 0.5,
        careless=chance.random() < 0.1,
    )


def random_draft(chance: random.Random) -> list[tuple[str, Decimal, Decimal]]:
    return [
        (chance.choice(SKUS), chance.choice(QUANTITIES), chance.choice(DISCOUNTS)) for _ in range(chance.randint(1, 3))
    ]


def products(shop: str) -> list[Product]:
    return [
        Product(sku=f"{shop}-{sku}", name=sku.title(), prices=(Price(currency="USD", unit_price=PRICE),))
        for sku in SKUS
    ]


def new_order(shop: str, index: int, draft: list[tuple[str, Decimal, Decimal]]) -> OrderInput:
    return order_input(
        number=f"{shop}-{index}",
        customer=f"C-{index % 8 + 1}",
        placed_at=datetime(2026, 3, 1, 8, tzinfo=UTC),
        currency="USD",
        channel="web",
        freight=Decimal("4.90"),
        tax_rate=Decimal("0.0825") if index % 3 == 0 else None,
        ship_complete=index % 4 == 0,
        ship_to_street="Hafenweg 1",
        ship_to_city="Münster",
        ship_to_country="Germany",
        lines=tuple(
            LineInput(number=number, sku=f"{shop}-{sku}", quantity=quantity, unit_price=PRICE, discount=discount)
            for number, (sku, quantity, discount) in enumerate(draft, start=1)
        ),
    )


async def ask(world: World, wishes: Sequence[tuple[str, Wish]]) -> list[str]:
    """Ask all of it at once: the actions that were carried out, or the rules that refused them.

    An order that is named once is loaded with the others, as nothing else changes it meanwhile. Each command of an
    order that is named several times loads it by itself, so some see what another command has done to it.
    """
    count = Counter(number for number, _ in wishes)
    alone = sorted(number for number in count if count[number] == 1)
    loaded = {order.number: order for order in await _load(world, alone)}

    async def ask_one(number: str, wish: Wish) -> str:
        [order] = [loaded[number]] if number in loaded else await _load(world, [number])
        return await _carry_out(world, order, wish)

    return await asyncio.gather(*(ask_one(number, wish) for number, wish in wishes))


async def _load(world: World, numbers: Sequence[str]) -> list[Order]:
    if not numbers:
        return []
    async with world.service.store.reader() as connection:
        return await orders.load(connection, numbers)


async def _carry_out(world: World, order: Order, wish: Wish) -> str:
    try:
        event = event_for(order, wish)
        async with world.service.store.transaction() as uow:
            version = order.version if wish.lucky else None
            await OrderTransaction(uow, actor="test").execute_all(
                [OrderCommand(number=order.number, event=event, version=version)]
            )
    except CommandError as error:
        return f"refused by {error.rule}"
    return event.action


def event_for(order: Order, wish: Wish) -> Event:
    """What the wish asks of the order; CommandError for a careless one."""
    action = wish.action or _next(order)
    parcels = [item for item in order.state.shipments.values() if item.status in (IN_HOUSE | ON_THE_WAY)]
    coming = [item for item in order.state.returns.values() if item.open]
    written_off = {}
    lines = {line: part for line, most in _possible(order, action).items() if (part := _part(most, wish)) > 0}
    if action is Action.INSPECT_RETURN and not wish.lucky:
        lines, written_off = {}, lines
    if action is Action.SHIP and parcels:
        lines = {}
    values: dict[str, Any] = {
        "lines": lines,
        "written_off": written_off,
        "line_edits": _terms(order, wish) if wish.careless or wish.part != "one" else {},
        "details": _details(order, wish),
        "amount": _amount(order, action, wish),
        "hold": next(iter(order.state.holds), wish.hold) if action is not Action.HOLD else wish.hold,
        "shipment": parcels[0].number if parcels and wish.lucky and not (action is Action.SHIP and lines) else None,
        "status": ShipmentStatus.DELIVERED if wish.lucky else ShipmentStatus.EXCEPTION,
        "return_number": coming[0].number if coming and wish.lucky else None,
        "reason": ReturnReason.DAMAGED,
        "resolution": Resolution.REFUND if wish.lucky else Resolution.REPLACEMENT,
        "warehouse": None if action is Action.SHIP and parcels and wish.part == "all" else _warehouse(action, wish),
        "carrier": "Swift Post",
        "tracking_number": None if action is Action.PACK and wish.lucky else f"T{order.number}",
        "reference": "PAY-1",
        "note": "as wished",
    }
    has = ACTION_FIELDS[action].requestable
    event = make_event(action, **{name: value for name, value in values.items() if wish.careless or name in has})
    assert not wish.careless, f"{action} took every field"
    return event


def _warehouse(action: Action, wish: Wish) -> str | None:
    """Parcels need not say where they leave; what is put on a shelf must say which."""
    quiet = action in {Action.PICK, Action.PACK, Action.SHIP} and wish.hold in {Hold.PAYMENT, Hold.STOCK, Hold.MANUAL}
    return None if quiet else PLACES[wish.lucky]


def _next(order: Order) -> Action:
    state = order.state
    if order.state.holds:
        return Action.RELEASE
    match order.stage:
        case Stage.PLACED:
            return Action.VERIFY
        case Stage.VERIFIED:
            return Action.CONFIRM
        case Stage.CONFIRMED | Stage.FULFILLING:
            return _in_house(order)
        case Stage.SHIPPED:
            return Action.DELIVER
        case Stage.DELIVERED:
            return Action.INVOICE if state.invoiced < state.due else Action.CAPTURE
    [*_, latest] = [None, *order.state.returns.values()]
    if latest is None or not latest.open:
        return Action.REQUEST_RETURN if state.net == state.due else Action.REFUND
    return {
        ReturnStatus.REQUESTED: Action.APPROVE_RETURN,
        ReturnStatus.APPROVED: Action.RECEIVE_RETURN,
        ReturnStatus.RECEIVED: Action.INSPECT_RETURN,
    }[latest.status]


def _in_house(order: Order) -> Action:
    state = order.state
    if any(item.status in IN_HOUSE for item in order.state.shipments.values()):
        return Action.SHIP
    if state.sum("picked") > state.sum("shipped"):
        return Action.PACK if order.version % 2 else Action.SHIP
    if state.sum("allocated") > state.sum("picked"):
        return Action.PICK
    if any(item.status in ON_THE_WAY for item in order.state.shipments.values()):
        return Action.DELIVER
    return Action.ALLOCATE


def _possible(order: Order, action: Action) -> dict[int, Decimal]:
    """By line, how much of it the action could concern."""
    packed = order.state.packed
    back = {
        number: line
        for item in order.state.returns.values()
        if item.open and item.status is not ReturnStatus.REQUESTED
        for number, line in item.lines.items()
    }
    return {
        line.number: {
            Action.ALLOCATE: line.quantity - line.state.canceled - line.state.allocated,
            Action.DEALLOCATE: line.state.allocated - line.state.picked,
            Action.PICK: line.state.allocated - line.state.picked,
            Action.PACK: line.state.picked - line.state.shipped - packed(line.number),
            Action.SHIP: line.state.picked - line.state.shipped - packed(line.number),
            Action.CANCEL: line.quantity - line.state.canceled - line.state.shipped,
            Action.SPLIT: line.quantity - line.state.canceled - line.state.allocated,
            Action.REQUEST_RETURN: line.state.delivered - line.state.returned,
            Action.RECEIVE_RETURN: back[line.number].requested - back[line.number].received
            if line.number in back
            else ZERO,
            Action.INSPECT_RETURN: back[line.number].received - back[line.number].inspected
            if line.number in back
            else ZERO,
        }.get(action, ZERO)
        for line in order.lines
    }


def _part(most: Decimal, wish: Wish) -> Decimal:
    return {"all": most, "one": min(most, ONE), "more": most + ONE}[wish.part]


def _terms(order: Order, wish: Wish) -> dict[int, LineEdit]:
    last = order.lines[-1]
    quantity = {"all": last.quantity + 2, "one": ZERO, "more": ONE}[wish.part]
    if wish.lucky:
        return {last.number + 1: LineEdit(sku=last.product.sku, quantity=Decimal(3))}
    return {last.number: LineEdit(sku=last.product.sku, quantity=quantity, discount=last.discount)}


def _details(order: Order, wish: Wish) -> dict[str, Detail]:
    """Nothing, one, or some that matter to money, to verification, or to nobody."""
    return {
        "all": {},
        "one": {"freight": None} if wish.lucky else {"ship_to_street": "Domplatz 2", "ship_complete": True},
        "more": {"tax_rate": Decimal("0.19"), "notes": "again"} if wish.lucky else {"po_number": order.number},
    }[wish.part]


def _amount(order: Order, action: Action, wish: Wish) -> Decimal:
    state = order.state
    left = {
        Action.INVOICE: state.due - state.invoiced,
        Action.AUTHORIZE: state.due - state.authorized,
        Action.CAPTURE: state.due - state.net,
        Action.REFUND: state.net - state.due if state.net > state.due else state.net,
    }.get(action, ZERO)
    return _part(left, wish)
