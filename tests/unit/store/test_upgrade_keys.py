"""Upgrade of keys: each key gets one spelling, nothing is lost, and colliding keys stay distinct."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text
from typer.testing import CliRunner

from connector.cli import app
from connector.cli.db import _find_last_journal_id, _list_renamed_keys
from connector.errors import CommandError
from connector.model.change import EntityKind
from connector.model.events import Capture, Pick
from connector.model.keys import is_normal
from connector.model.transitions import apply
from connector.orders.command import OrderCommand
from connector.orders.transaction import OrderTransaction
from connector.store import (
    customers,
    dead_letters,
    journal,
    links,
    order_history,
    orders,
    outbox,
    products,
    schema,
    stock,
)
from connector.store.engine import Store
from connector.store.order_history import Request
from tests.databases import Databases
from tests.order_builders import as_history_keeps
from tests.unit.store.test_upgrade import NOW

ROWS = (
    "customers (number, name, version, updated_at) VALUES ('ANN', 'Ann', 1, :at), ('BOB ', 'Bob', 1, :at)",
    "products (sku, name, active, version, updated_at) VALUES ('A', 'A', true, 1, :at), ('A ', 'Other', true, 1, :at)",
    "prices (sku, currency, unit_price) VALUES ('A', 'USD', '10'), ('A ', 'USD', '99')",
    "orders (number, customer, placed_at, currency, stage, version, updated_at, events, declined, tracking_key)"
    " VALUES ('M-1', 'ANN', :at, 'USD', 'placed', 1, :at, 0, false, 't1'),"
    " ('M-1 ', 'BOB ', :at, 'USD', 'placed', 2, :at, 2, false, 't2'),"
    " ('N\u00a01', 'ANN', :at, 'USD', 'placed', 1, :at, 0, false, NULL),"
    " ('\u200b', 'ANN', :at, 'USD', 'placed', 1, :at, 0, false, NULL)",
    "order_lines (order_number, number, sku, quantity, unit_price, discount)"
    " VALUES ('M-1', 1, 'A', '1', '10', '0'), ('M-1 ', 1, 'A ', '7', '10', '0'), ('N\u00a01', 1, 'A', '2', '10', '0')",
    "order_events (order_number, sequence, at, actor, action, stage_after, detail)"
    " VALUES ('M-1 ', 2, :at, 'anna', 'change', 'placed', :detail)",
    "stock (sku, warehouse, on_hand, reserved) VALUES ('A', 'EAST', '5', '0'), ('A', 'EAST ', '3', '0'),"
    " ('A ', 'EAST', '1', '0')",
    'links (org_id, entity, "key", parent, sobject, salesforce_id, snapshot, synced_at)'
    " VALUES ('00D', 'order', 'M-1 ', NULL, 'Order', '801', '{}', :at),"
    " ('00D', 'line', 'M-1 -1', 'M-1 ', 'OrderItem', '802', '{}', :at),"
    " ('00D', 'price', 'A |USD', 'A ', 'PricebookEntry', '01u', '{}', :at)",
    'outbox (entity, "key", slot, lane, version, state, due_at, attempts, captured_at)'
    " VALUES ('order', 'M-1 ', 1, 0, 4, 'due', :at, 0, :at)",
    "tokens (name, digest, role, created_at) VALUES ('desk', 'd1', 'ops', :at), ('desk ', 'd2', 'ops', :at)",
)


Rows = Iterable[tuple[str, dict[str, Any]]]


async def _at_0012(databases: Databases, rows: Rows) -> Store:
    """A database at revision 0012 with these rows; `:at` is a time."""
    store = Store.open(databases.migrated("0012"))
    sqlite = store.dialect == "sqlite"
    at = NOW.replace(" ", "T") if sqlite else NOW
    async with store.transaction() as uow:
        for row, values in rows:
            statement = row.replace("true", "1").replace("false", "0") if sqlite else row
            known = {"at": at, **values} if ":at" in statement else values
            await uow.connection.execute(text(f"INSERT INTO {statement}"), known)
    return store


@pytest.fixture
async def older(databases: Databases) -> AsyncIterator[Store]:
    detail = '{"terms": {"1": {"sku": "A ", "quantity": "7", "discount": "0"}}, "warehouse": "EAST "}'
    store = await _at_0012(databases, [(row, {"detail": detail} if ":detail" in row else {}) for row in ROWS])
    yield store
    await store.close()


async def test_stored_keys_are_normalized_and_colliding_keys_stay_distinct(older: Store) -> None:
    await schema.upgrade(older)
    async with older.reader() as connection:
        numbers = [key async for key in orders.keys(connection)]
        assert sorted(numbers) == ["M-1", "M-1~2", "N 1", "unnamed"]
        ann, bob, other, unnamed = await orders.load(connection, ["M-1", "M-1~2", "N 1", "unnamed"])
        assert [item.customer.number for item in (ann, bob, other, unnamed)] == ["ANN", "BOB", "ANN", "ANN"]
        assert [(line.product.sku, int(line.quantity)) for line in (*ann.lines, *bob.lines)] == [("A", 1), ("A~2", 7)]
        assert (ann.tracking_key, bob.tracking_key, bob.version) == ("t1", "t2", 2)
        assert [item.name for item in await customers.load(connection, ["ANN", "BOB"])] == ["Ann", "Bob"]
        plain, twin = await products.load(connection, ["A", "A~2"])
        assert [int(item.prices[0].unit_price) for item in (plain, twin)] == [10, 99]
        levels = await stock.levels(connection, ["A", "A~2"])
        assert {place: int(level.on_hand) for place, level in levels.items()} == {
            ("A", "EAST"): 5, ("A", "EAST~2"): 3, ("A~2", "EAST"): 1,
        }  # fmt: skip
        detail = json.loads((await connection.execute(text("SELECT detail FROM order_events"))).scalar_one())
        assert (detail["line_edits"]["1"]["sku"], detail["warehouse"]) == ("A~2", "EAST~2")
        assert list(await links.get(connection, "00D", "order", ["M-1~2"])) == ["M-1~2"]
        [line] = (await links.children(connection, "00D", "line", ["M-1~2"]))["M-1~2"].values()
        assert line.key == "M-1~2-1"
        [price] = (await links.children(connection, "00D", "price", ["A~2"]))["A~2"].values()
        assert price.key == "A~2|USD"
        due = await outbox.find(connection, EntityKind.ORDER, ["M-1", "M-1~2", "N 1"])
        assert (due.keys(), due["M-1~2"].version) == ({"M-1~2", "N 1"}, 4)
        [entry] = await journal.read(connection, "order", "M-1~2", limit=5)
        assert (entry.action, entry.detail["from"]) == ("renamed", "M-1 ")
        assert "M-1 is another order" in json.dumps(entry.detail)
        names = list((await connection.execute(text("SELECT name FROM tokens ORDER BY name"))).scalars())
        assert names == ["desk", "desk~2"]
        assert all(is_normal(key) for key in (*numbers, *names))
    await schema.check(older)


async def test_upgrade_reports_its_own_renames_only(older: Store) -> None:
    async with older.transaction() as uow:
        at = NOW.replace(" ", "T") if older.dialect == "sqlite" else NOW
        values = "VALUES (:at, 'order', 'X', 'renamed', :detail)"
        statement = text(f'INSERT INTO journal (at, entity, "key", action, detail) {values}')
        await uow.connection.execute(statement, {"at": at, "detail": '{"from": "X ", "why": ""}'})
    known = await _find_last_journal_id(older)
    await schema.upgrade(older)
    told = await _list_renamed_keys(older, known)
    assert "Order 'M-1 ' is M-1~2 from now on: a key has one spelling; M-1 is another order." in told
    assert "Warehouse 'EAST ' is EAST~2 from now on: a key has one spelling; EAST is another warehouse." in told
    assert "Token 'desk ' is desk~2 from now on: a key has one spelling; desk is another token." in told
    assert len(told) == 7
    assert await _list_renamed_keys(older, await _find_last_journal_id(older)) == []


def test_db_upgrade_lists_the_first_of_many_renamed_keys(
    sqlite_databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite_databases.copy_template(tmp_path / "connector.db", "0012")
    url = f"sqlite:///{tmp_path / 'connector.db'}"
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", url)
    monkeypatch.chdir(tmp_path)

    async def prepare() -> None:
        store = Store.open(url)
        async with store.transaction() as uow:
            values = [{"number": f"C-{number} "} for number in range(30)]
            statement = f"INSERT INTO customers (number, name, version, updated_at) VALUES (:number, 'x', 1, '{NOW}')"
            await uow.connection.execute(text(statement), values)
        await store.close()

    asyncio.run(prepare())
    answer = CliRunner().invoke(app, ["db", "upgrade"])
    assert answer.exit_code == 0
    _, *told = answer.output.splitlines()
    assert told[-1] == "And 10 more: `connector show` shows the former key of each."
    assert len(told) == 21


CUSTOMER = ("customers (number, name, version, updated_at) VALUES ('ANN', 'Ann', 1, :at)", {})
PRODUCT = ("products (sku, name, active, version, updated_at) VALUES ('A', 'A', true, 1, :at)", {})


def _order(number: str, *, stage: str = "placed", events: int = 0, line: str = "", values: str = "") -> Rows:
    """An order over ten pieces of A for 10 each; `line`, `values`: further columns of the line and their values."""
    yield (
        "orders (number, customer, placed_at, currency, stage, version, updated_at, events, declined)"
        " VALUES (:number, 'ANN', :at, 'USD', :stage, 1, :at, :events, false)",
        {"number": number, "stage": stage, "events": events},
    )
    yield (
        f"order_lines (order_number, number, sku, quantity, unit_price, discount{line})"
        f" VALUES (:number, 1, 'A', '10', '10', '0'{values})",
        {"number": number},
    )


def _link(entity: str, key: str, number: int, parent: str | None = None) -> tuple[str, dict[str, Any]]:
    return (
        'links (org_id, entity, "key", parent, sobject, salesforce_id, snapshot, synced_at)'
        " VALUES ('00D', :entity, :key, :parent, 'Order', :id, '{}', :at)",
        {"entity": entity, "key": key, "parent": parent, "id": f"801{number}"},
    )


def _event(order: str, sequence: int, action: str, stage: str, detail: str, **named: str) -> tuple[str, dict[str, Any]]:
    return (
        "order_events (order_number, sequence, at, actor, action, stage_after, stage_before, detail, request,"
        " request_digest)"
        " VALUES (:order, :sequence, :at, 'anna', :action, :stage, :before, :detail, :request, :digest)",
        {"order": order, "sequence": sequence, "action": action, "stage": stage, "detail": detail,
         "before": None if sequence == 1 else stage, "request": None, "digest": None} | named,
    )  # fmt: skip


async def test_orders_that_differ_in_case_only_keep_their_own_returns(databases: Databases) -> None:
    keys = ("so\u00a01", "SO\u00a01")
    parts = [
        _link(entity, key + end, 10 * index + place, parent and key + parent)
        for index, key in enumerate(keys)
        for place, (entity, end, parent) in enumerate(
            (("return", "-RMA1", None), ("return_line", "-RMA1-1", "-RMA1"), ("return", "-RMA12", None))
        )
    ]
    rows = [row for key in keys for row in _order(key)]
    store = await _at_0012(databases, [CUSTOMER, PRODUCT, *rows, *parts, _link("return", "so\u00a012-RMA1", 99)])
    await schema.upgrade(store)
    async with store.reader() as connection:
        found = (await connection.execute(text('SELECT salesforce_id, "key", parent FROM links ORDER BY 1'))).all()
    assert [tuple(row) for row in found] == [
        ("8010", "so 1-RMA1", None), ("8011", "so 1-RMA1-1", "so 1-RMA1"), ("80110", "SO 1-RMA1", None),
        ("80111", "SO 1-RMA1-1", "SO 1-RMA1"), ("80112", "SO 1-RMA12", None), ("8012", "so 1-RMA12", None),
        ("80199", "so\u00a012-RMA1", None),
    ]  # fmt: skip
    await store.close()


async def test_upgrade_runs_the_same_number_of_statements_for_any_number_of_keys(databases: Databases) -> None:
    sent = []
    for number in (3, 40):
        keys = [f"SO-{index} " for index in range(number)]
        rows = [row for key in keys for row in _order(key)]
        links_of = [_link("order", key, index) for index, key in enumerate(keys)]
        store = await _at_0012(databases, [CUSTOMER, PRODUCT, *rows, *links_of])
        statements: list[str] = []
        engine = store._engine.sync_engine
        event.listen(engine, "before_cursor_execute", lambda *said, mine=statements: mine.append(said[2]))
        await schema.upgrade(store)
        async with store.reader() as connection:
            assert len([key async for key in orders.keys(connection) if key.startswith("SO-")]) == number
        sent.append(len(statements))
        await store.close()
    assert sent[0] == sent[1]


LINE = ", allocated, picked", ", '6', '6'"
BEGUN = (
    '{"stage": "fulfilling", "lines": {"1": {"ordered": "10", "total": "100", "allocated": "6", "picked": "6",'
    ' "shipped": "0", "delivered": "0", "returned": "0", "credited": "0", "cancelled": "0"}}, "holds": [],'
    ' "declined": false, "shipments": [{"number": 1, "status": "packed", "warehouse": "SOUTH ", "lines": {"1": "2"}},'
    ' {"number": 2, "status": "labelled", "warehouse": "SOUTH", "carrier": "Post", "tracking_number": "T\u00a02",'
    ' "lines": {"1": "1"}}], "freight": "0", "invoiced": "0", "authorised": "0", "captured": "0", "refunded": "0"}'
)


async def test_histories_replay_to_the_stored_state_after_the_upgrade(databases: Databases) -> None:
    parcel = (
        "shipments (order_number, number, status, warehouse, carrier, tracking_number, lines)"
        " VALUES ('P-1', :number, :status, :warehouse, 'Post', :tracking, :lines)"
    )
    store = await _at_0012(
        databases,
        [
            CUSTOMER, PRODUCT,
            *_order("P-1", stage="fulfilling", events=4, line=LINE[0], values=LINE[1]),
            *_order("N\u00a01", events=1),
            (parcel, {"number": 1, "status": "labelled", "warehouse": "SOUTH ", "tracking": "T  1",
                      "lines": '{"1": "2"}'}),
            (parcel, {"number": 2, "status": "labelled", "warehouse": "SOUTH", "tracking": "T\u00a02",
                      "lines": '{"1": "1"}'}),
            (parcel.replace("'Post'", "NULL"),
             {"number": 3, "status": "packed", "warehouse": "WEST ", "tracking": None, "lines": '{"1": "1"}'}),
            _event("P-1", 1, "begin", "fulfilling", BEGUN),
            _event("P-1", 2, "label", "fulfilling", '{"shipment":1,"carrier":"Post","tracking_number":"T  1"}'),
            _event("P-1", 3, "pack", "fulfilling", '{"lines":{"1":"1"},"warehouse":"WEST "}'),
            _event("P-1", 4, "decline", "fulfilling", '{"reference":"N\u00a01"}'),
            _event("N\u00a01", 1, "split", "placed", '{"lines":{"1":"1"},"reference":"N\u00a01"}'),
            ("reservations (order_number, line, warehouse, quantity) VALUES ('P-1', 1, 'NORTH ', '6')", {}),
        ],
    )  # fmt: skip
    async with store.transaction() as uow:
        await uow.connection.execute(text("UPDATE orders SET declined = :yes WHERE number = 'P-1'"),
                                     {"yes": store.dialect != "sqlite" or 1})  # fmt: skip
    await schema.upgrade(store)
    async with store.reader() as connection:
        [order] = await orders.load(connection, ["P-1"])
        first, *more = await order_history.read(connection, "P-1")
        made = (await connection.execute(text("SELECT detail FROM order_events WHERE order_number = 'N 1'"))).scalar()
        held = await stock.load_reservations(connection, ["P-1"])
    state = first.initial_state
    assert state is not None
    for entry in more:
        state = apply(state, entry.event)
    assert as_history_keeps(state) == as_history_keeps(order.state)
    parcels = [order.state.shipments[number] for number in (1, 2, 3)]
    assert [(item.warehouse, item.tracking_number) for item in parcels] == [
        ("SOUTH~2", "T 1"), ("SOUTH", "T 2"), ("WEST", None),
    ]  # fmt: skip
    assert more[-1].event.reference == "N\u00a01"
    assert json.loads(str(made))["reference"] == "N 1"
    assert list(held) == [("P-1", 1, "NORTH")]
    await store.close()


async def test_request_from_before_the_upgrade_is_recognized_as_a_replay(databases: Databases) -> None:
    old = {"digest": "of what was asked in the old words"}
    store = await _at_0012(
        databases,
        [
            CUSTOMER, PRODUCT, *_order("P-1", events=4), *_order("P-2 ", events=1),
            _event("P-1", 1, "capture", "placed", '{"amount":"5"}', request="a  b", **old),
            _event("P-1", 2, "capture", "placed", '{"amount":"6"}', request="c d", **old),
            _event("P-1", 3, "capture", "placed", '{"amount":"7"}', request="c\u00a0d", **old),
            _event("P-1", 4, "pick", "placed", '{"lines":{"1":"1"},"warehouse":"EAST "}', request="p", **old),
            _event("P-2 ", 1, "capture", "placed", '{"amount":"8"}', request="e", **old),
        ],
    )  # fmt: skip
    await schema.upgrade(store)
    asked = (
        ("P-1", "a b", Capture(amount=Decimal(5))),
        ("P-1", "p", Pick(lines={1: Decimal(1)}, warehouse="EAST")),
        ("P-2", "e", Capture(amount=Decimal(8))),
    )
    async with store.transaction() as uow:
        transaction = OrderTransaction(uow, actor="anna")
        for number, request, said in asked:
            assert await transaction.is_replay(OrderCommand(number=number, event=said, request=request)), (
                number,
                request,
            )
        # A key that was normalized already does not change, so its digests are still compared.
        with pytest.raises(CommandError, match="was used for another command"):
            await transaction.is_replay(OrderCommand(number="P-1", event=Capture(amount=Decimal(7)), request="c d"))
        found = await order_history.load_requests(uow.connection, {"P-1": ["c d~2"]})
    assert found == {("P-1", "c d~2"): Request(key="c d~2", digest=None)}
    await store.close()


async def test_dead_letter_of_a_renamed_record_is_due_again_when_the_record_changes(databases: Databases) -> None:
    refusal = {
        "code": "X", "message": "customer BOB  is blocked (customer BOB is not, nor is line O-1-1).", "field": None,
        "source": None, "fix": "Mend customer BOB .", "record": "customer BOB ",
    }  # fmt: skip
    line = {**refusal, "message": "x", "fix": "Mend line O\u00a01-1.", "record": "line O\u00a01-1"}
    dead = (
        'outbox (entity, "key", slot, lane, version, state, due_at, attempts, captured_at, refused_at, refusal)'
        " VALUES ('order', :key, 1, 0, 1, 'dead', :at, 0, :at, :at, :refusal)"
    )
    store = await _at_0012(
        databases,
        [
            CUSTOMER, PRODUCT, *_order("O-1"), *_order("O\u00a01"),
            (CUSTOMER[0].replace("'ANN'", "'BOB '"), {}), (CUSTOMER[0].replace("'ANN'", "'BOB'"), {}),
            (dead, {"key": "O-1", "refusal": json.dumps(refusal)}),
            (dead, {"key": "O\u00a01", "refusal": json.dumps(line)}),
        ],
    )  # fmt: skip
    await schema.upgrade(store)
    async with store.transaction() as uow:
        letters = {letter.key: letter.refusal for letter in await dead_letters.list_dead_letters(uow.connection)}
        assert letters["O-1"].message == "customer BOB~2 is blocked (customer BOB is not, nor is line O-1-1)."
        assert letters["O-1"].fix == "Mend customer BOB~2."
        assert (letters["O 1"].record, letters["O 1"].fix) == ("line O 1-1", "Mend line O 1-1.")
        assert await dead_letters.requeue_blocked_by(uow, ["customer BOB"]) == 0
        assert await dead_letters.requeue_blocked_by(uow, ["customer BOB~2"]) == 1
    await store.close()
