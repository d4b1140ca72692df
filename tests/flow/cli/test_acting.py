"""`connector act`, `stock`, `analytics` and `tokens`: an order is completed by commands, and errors are one line."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from connector.model.action_fields import REQUESTABLE
from connector.model.holds import Hold
from connector.model.order_header import CHANGEABLE
from connector.model.shipments import CARRIER_STATUSES, Resolution, ReturnReason
from connector.orders.analytics.metric_list import METRICS
from tests.flow.cli_runner import Shell


@pytest.fixture(scope="session")
def bought(tmp_path_factory: pytest.TempPathFactory, upgraded: Path) -> Path:
    """A folder with a database that has one order."""
    folder = tmp_path_factory.mktemp("bought")
    shutil.copytree(upgraded, folder, dirs_exist_ok=True)
    files = folder / "shop"
    files.mkdir()
    (files / "customers.csv").write_text("number,name,street,city,country\nC-1,Ada Ltd,,Oslo,Norway\n")
    (files / "products.csv").write_text("sku,name,unit_price,currency\nTEA,Tea,10,USD\n")
    (files / "orders.csv").write_text("number,customer,placed_at,currency\nO-1,C-1,2026-03-01T08:00:00Z,USD\n")
    (files / "order_lines.csv").write_text("order,line,sku,quantity,unit_price\nO-1,1,TEA,2,10\n")
    assert Shell(folder)("import", "shop").status == 0
    return folder


@pytest.fixture
def shop(shell: Shell, bought: Path) -> Shell:
    shutil.copytree(bought, shell.folder, dirs_exist_ok=True)
    return shell


def test_act_takes_an_order_from_hold_to_payment_and_cancellation(shop: Shell) -> None:
    held = shop("act", "O-1", "verify")
    assert (held.status, held.out) == (
        0,
        "Held address, address missing, The delivery address lacks street.\n"
        "Order O-1 is placed, on hold (address): unfulfilled, unpaid, 20.00 USD due, 0 shipments.\n",
    )
    assert shop("act", "O-1", "release", "--hold", "address").status == 0
    assert "is verified" in shop("act", "O-1", "verify").out
    document = json.loads(shop("act", "O-1", "confirm", "--json").out)
    assert (document["stage"], document["payment_status"]) == ("confirmed", "unpaid")
    refused = shop("act", "O-1", "capture", "--amount", "21")
    assert (refused.status, refused.err) == (
        1,
        "connector: Order O-1 cannot capture 21.00: 20.00 is left of 20.00. Ask for 20.00 at most.\n",
    )
    for said in ("Captured 5.00 USD.\nOrder O-1", "Done already. Order O-1"):
        paid = shop("act", "O-1", "capture", "--amount", "5", "--request", "till-1")
        assert paid.out.startswith(f"{said} is confirmed: unfulfilled, partially paid, 15.00 USD due")
    other = shop("act", "O-1", "capture", "--amount", "6", "--request", "till-1")
    assert (other.status, other.err.split(".")[0]) == (
        1,
        "connector: Request till-1 of order O-1 was used for another command before",
    )
    assert shop("act", "O-1", "refund", "--amount", "5", "--request", "").status == 2
    assert shop("act", "O-1", "refund", "--amount", "5").status == 0
    odd = shop("act", "O-1", "cancel", "--line", "one")
    assert (odd.status, odd.err) == (
        2,
        "connector: --line: invalid value 'one'. Write the line number and a quantity, as --line 1=2.\n",
    )
    assert shop("act", "O-1", "cancel", "--line", "1=true").status == 2
    assert "is canceled" in shop("act", "O-1", "cancel", "--line", "1=2", "--note", "changed their mind").out
    assert "changed their mind" in shop("show", "order", "O-1").out


def test_token_is_shown_once_and_rejected_after_revocation(shop: Shell) -> None:
    secret = shop("tokens", "create", "--role", "ops", "--name", "desk").out.strip()
    assert secret.startswith("crm_")
    assert shop("tokens", "create", "--role", "ops", "--name", "desk").status == 1
    assert shop("tokens", "create", "--role", "king", "--name", "x").status == 2
    listed = shop("tokens", "list", "--json").out
    assert (secret in listed, json.loads(listed)[0]["role"]) == (False, "ops")
    assert shop("tokens", "revoke", "desk").status == 0
    assert shop("tokens", "revoke", "desk").status == 1


def test_metrics_are_printed_as_table_json_and_csv(shop: Shell) -> None:
    for action in (("hold", "--hold", "credit"), ("release", "--hold", "credit"), ("capture", "--amount", "5")):
        assert shop("act", "O-1", *action).status == 0
    assert "captured 5.00 USD" in shop("show", "order", "O-1").out
    period = ("--since", "2026-01-01", "--until", "2027-01-01")
    about, _, head, row = shop("analytics", "revenue", *period).out.splitlines()
    assert about.startswith("Captured less refunded")
    assert (head.split(), row.split()) == (["channel", "currency", "orders", "revenue"], ["(none)", "USD", "1", "5.00"])
    assert json.loads(shop("analytics", "holds", *period, "--json").out)["rows"][0]["reason"] == "credit"
    assert shop("analytics", "revenue", *period, "--csv").out.splitlines()[1] == ",USD,1,5.00"
    assert "Nothing in this period" in shop("analytics", "stages", "--until", "2020-01-01").out
    wrong = shop("analytics", "mood")
    assert (wrong.status, "Use one of: `dwell`, `fill-rate`" in wrong.err) == (2, True)
    assert "Did you mean `revenue`?" in shop("analytics", "revenu").err
    assert set(METRICS) <= set(
        shop("analytics", "--help", COLUMNS="200").out.replace(",", " ").replace(".", " ").split()
    )
    assert shop("analytics", "revenue", "--since", "soon").status == 2
    assert shop("analytics", "revenue", "--since", "0001-01-01").status == 2


def test_show_prints_a_return_and_the_history_of_its_order(shop: Shell) -> None:
    assert shop("stock", "count", "WEST", "TEA=9").status == 0
    for action in ("hold --hold manual", "release --hold manual", "verify", "release --hold address", "verify",
                   "confirm", "allocate", "pick", "pack", "ship --carrier DHL --tracking-number T1", "deliver",
                   "request_return --line 1=1 --reason damaged", "approve_return", "receive_return"):  # fmt: skip
        shop("act", "O-1", *action.split())
    shown = shop("show", "return", "O-1-RMA1")
    assert (shown.status, shown.err) == (0, "")
    assert "order                  O-1" in shown.out
    assert "customer               C-1  Ada Ltd" in shown.out
    assert ["1", "TEA", "1", "1", "0", "0"] in [line.split() for line in shown.out.splitlines()]
    document = shop("show", "return", "O-1-RMA1", "--json").document["here"]
    assert (document["order"], document["reason"], document["lines"][0]["received"]) == ("O-1", "damaged", "1")
    for entity, key in (("order", "O-1"), ("customer", "C-1"), ("product", "TEA")):
        assert shop("show", entity, key).status == 0
    history = shop("show", "order", "O-1").out
    begun = next(line for line in history.splitlines() if "its history begins here" in line)
    assert begun.split()[3:6] == ["placed", "import", "imported"]
    assert shop("show", "order", "O-1", "--json").document["history"][0]["imported"] is True
    assert "automatic: fulfilling" in history
    assert " begun" not in history
    assert " advanced" not in history


def test_count_of_an_unknown_warehouse_or_implausible_quantity_is_rejected(shop: Shell) -> None:
    assert shop("stock", "count", "WEST", "TEA=12").status == 0
    for words, status, line in (
        (("WSET", "TEA=1"), 1,
         "There is no warehouse WSET. Use WEST, or --new to add WSET."),
        (("WEST", "TEA=99999999999999999999"), 2,
         "TEA=99999999999999999999: a quantity must be a number of at most 18 digits. Write fewer digits."),
    ):  # fmt: skip
        refused = shop("stock", "count", *words)
        assert (refused.status, refused.err) == (status, f"connector: {line}\n")
    assert shop("stock", "count", "EAST", "TEA=1.5", "--new").status == 0
    _, east, west = shop("stock", "list", "TEA").out.splitlines()
    assert (east.split()[:3], west.split()[:3]) == (["TEA", "EAST", "1.50"], ["TEA", "WEST", "12"])
    assert east.index("1.50") + len("1.50") == west.index("12") + len("12")
    unknown = shop("stock", "list", "TEA", "NOPE")
    assert (unknown.status, unknown.out, unknown.err) == (
        1,
        "",
        "connector: There is no product NOPE. Correct the SKU, or import the product.\n",
    )


def test_period_that_ends_before_it_begins_is_rejected(shop: Shell) -> None:
    refused = shop("analytics", "revenue", "--since", "2027-01-01", "--until", "2026-01-01")
    assert refused.status == 2
    assert "--since (2027-01-01) must be before --until (2026-01-01)." in refused.err


def test_invalid_missing_or_foreign_option_is_named_as_it_was_typed(shop: Shell) -> None:
    holds = "payment, address, stock, fraud, credit, manual"
    for words, said in (
        ("shp", "ACTION 'shp' is unknown. Did you mean `ship`?"),
        ("begin", "ACTION 'begin' is automatic and cannot be requested."),
        ("change --set promised_on=null", "--set promised_on must be a day, as 2026-01-31."),
        ("change --set promisd_on=2026-01-31",
         "--set promisd_on is not a detail. Did you mean `promised_on`?"),
        ("change --set po=x", "--set po is not a detail. Did you mean `po_number`?"),
        ("change --set tax_rate=19", "--set tax_rate must be less than 1: 0.19 is 19 %."),
        ("capture --amount x", "--amount must be a number, as 25.00."),
        ("authorize --set freight=50 --set tax_rate=0.5",
         "--set is not an option of authorize; authorize takes --amount, --reference and --note."),
        ("change --hold address --carrier DHL --set notes=x",
         "--hold and --carrier are not options of change; change takes --line-edit, --set and --note."),
        ("hold", f"--hold is required; one of {holds}."),
        ("hold --hold adress", "--hold adress is unknown. Did you mean `address`?"),
        ("hold --hold why", f"--hold must be one of {holds}."),
        ("change", "--line-edit or --set is required."),
        ("inspect_return", "--line or --written-off is required."),
        ("inspect_return --line 1=1", "--warehouse is required."),
        ("label", "--carrier is required. --tracking-number is required."),
        ("track", "--status is required; one of in_transit, out_for_delivery, exception, delivered."),
        ("split", "--line is required."),
        ("deliver --on soon", "--on must be a day, as 2026-01-31."),
    ):  # fmt: skip
        refused = shop("act", "O-1", *words.split())
        hint = " `connector act --help` lists the options of each action.\n"
        assert (refused.status, refused.err) == (2, f"connector: {said}{hint}")
    twice = shop("act", "O-1", "cancel", "--line", "1=1", "--line", "1=2")
    assert (twice.status, twice.err) == (2, "connector: --line: 1 is given twice. Give it once.\n")


def test_option_required_by_the_state_of_the_order_is_named_as_it_is_typed(shop: Shell) -> None:
    address = "--set ship_to_street=Kai --set ship_to_city=Oslo --set ship_to_country=Norway"
    for words in ("stock count WEST TEA=9", f"act O-1 change {address}",
                  "act O-1 verify", "act O-1 confirm", "act O-1 allocate", "act O-1 pick",
                  "act O-1 pack --line 1=1", "act O-1 pack"):  # fmt: skip
        done = shop(*words.split())
        assert done.status == 0, done.err
    for words, said in (
        ("unpack", "--shipment: Order O-1 cannot unpack: it names no shipment. Possible now: 1 or 2."),
        ("deliver", "Order O-1 is fulfilling: it cannot deliver now."),
        ("cancel --line 9=1", "--line 9: Order O-1 cannot cancel: it has no line 9. Its only line is 1."),
        ("refund", "--amount: Order O-1 cannot refund: it owes the customer nothing."
                   " Nothing was captured."),
        ("request_return", "Order O-1 cannot request a return: it has nothing left to request a return."),
    ):  # fmt: skip
        refused = shop("act", "O-1", *words.split())
        if words != "deliver":
            assert (refused.status, refused.err) == (1, f"connector: {said}\n")
        else:
            assert refused.status == 1


def test_act_reports_what_it_did_and_what_still_waits(shop: Shell) -> None:
    for words in ("verify", "release --hold address", "verify", "confirm"):
        assert shop("act", "O-1", *words.split()).status == 0
    assert shop("act", "O-1", "allocate").out.startswith("Nothing was allocated: line 1 waits for 2.\nOrder O-1 is ")
    assert shop("stock", "count", "WEST", "TEA=9", "--new").out == "Counted 9 of TEA in WEST.\n"
    assert shop("act", "O-1", "deallocate").status == 0
    assert shop("act", "O-1", "allocate").out.startswith("Allocated 2 of line 1.\nOrder O-1 is ")
    refused = shop("act", "O-1", "split", "--line", "1=1")
    assert (refused.status, refused.err) == (
        1, "connector: Order O-1 cannot split line 1: all of it is allocated. Deallocate it first.\n"
    )  # fmt: skip
    for words in ("pick", "pack", "ship --carrier DHL --tracking-number T1", "deliver"):
        assert shop("act", "O-1", *words.split()).status == 0
    assert shop("act", "O-1", "invoice").out.startswith("Invoiced 20.00 USD, INV-000001.\nOrder O-1 is ")
    unknown = shop("act", "O-9", "verify")
    assert unknown.err == "connector: There is no order O-9. Correct the number, or import the order.\n"


def test_help_of_act_lists_every_action_and_value_in_eighty_columns(shop: Shell) -> None:
    for columns in ("80", "100"):
        shown = shop("act", "--help", COLUMNS=columns)
        assert (shown.status, shown.err) == (0, "")
        assert max(map(len, shown.out.splitlines())) <= int(columns)
        rows = {line.split()[0]: line.split()[1:] for line in shown.out.splitlines() if line.startswith("  ")}
        assert rows.keys() >= {action.value for action in REQUESTABLE}
        assert rows["track"] == ["--status", "[--shipment]", "[--on]"]
        assert rows["hold"] == ["--hold"]
        words = set(shown.out.replace(",", " ").split())
        for choices in (Hold, ReturnReason, Resolution, CARRIER_STATUSES, CHANGEABLE):
            assert words >= set(choices)


def test_act_does_not_load_server_and_drawing_libraries(shop: Shell) -> None:
    """Loading the libraries that serve, send and draw takes longer than an action."""
    done = shop.start("-X", "importtime", "-m", "connector", "act", "O-1", "verify", program=(sys.executable,))
    told = done.communicate(timeout=60)[1]
    assert done.returncode == 0
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in told.splitlines()}
    assert "sqlalchemy" in loaded
    assert loaded & {"alembic", "grpc", "aiohttp", "fpdf", "jinja2", "simple_salesforce", "structlog"} == set()
