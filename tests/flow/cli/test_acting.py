"""`connector act` and `connector tokens`: an order through its life by commands, and what is refused in one line."""

from __future__ import annotations

import json

import pytest

from tests.flow.shell import Shell


@pytest.fixture
def shop(shell: Shell) -> Shell:
    folder = shell.folder / "shop"
    folder.mkdir()
    (folder / "customers.csv").write_text("number,name,street,city,country\nC-1,Ada Ltd,Main St 1,Oslo,Norway\n")
    (folder / "products.csv").write_text("sku,name,unit_price,currency\nTEA,Tea,10,USD\n")
    (folder / "orders.csv").write_text("number,customer,placed_at,currency\nO-1,C-1,2026-03-01T08:00:00Z,USD\n")
    (folder / "order_lines.csv").write_text("order,line,sku,quantity,unit_price\nO-1,1,TEA,2,10\n")
    assert shell("db", "upgrade").status == 0
    assert shell("import", "shop").status == 0
    return shell


def test_an_order_is_acted_on_by_commands(shop: Shell) -> None:
    held = shop("act", "O-1", "verify")
    assert (held.status, held.out) == (
        0,
        "Order O-1 is placed, on hold (address): unfulfilled, unpaid, 20.00 USD due, 0 shipments.\n",
    )
    assert shop("act", "O-1", "release", "--hold", "address").status == 0
    assert "is verified" in shop("act", "O-1", "verify").out
    document = json.loads(shop("act", "O-1", "confirm", "--json").out)
    assert (document["stage"], document["payment_status"]) == ("confirmed", "unpaid")
    refused = shop("act", "O-1", "capture", "--amount", "21")
    assert (refused.status, refused.err) == (
        1,
        "connector: Order O-1 cannot capture 21: 20 is left of 20. Ask for 20 at most.\n",
    )
    for said in ("Order O-1", "Done before. Order O-1"):
        paid = shop("act", "O-1", "capture", "--amount", "5", "--request", "till-1")
        assert paid.out.startswith(f"{said} is confirmed: unfulfilled, partially paid, 15.00 USD due")
    other = shop("act", "O-1", "capture", "--amount", "6", "--request", "till-1")
    assert (other.status, other.err.split(".")[0]) == (
        1,
        "connector: Something else was asked of order O-1 as request till-1 before",
    )
    assert shop("act", "O-1", "refund", "--amount", "5", "--request", "").status == 2
    assert shop("act", "O-1", "refund", "--amount", "5").status == 0
    odd = shop("act", "O-1", "cancel", "--line", "one")
    assert (odd.status, odd.err) == (
        2,
        "connector: 'one' is no line. Write the line's number and a quantity, as --line 1=2.\n",
    )
    assert shop("act", "O-1", "cancel", "--line", "1=true").status == 2
    assert "is cancelled" in shop("act", "O-1", "cancel", "--line", "1=2", "--note", "changed their mind").out
    assert "changed their mind" in shop("show", "order", "O-1").out


def test_a_token_is_shown_once_and_ends_when_it_is_revoked(shop: Shell) -> None:
    secret = shop("tokens", "create", "--role", "ops", "--name", "desk").out.strip()
    assert secret.startswith("crm_")
    assert shop("tokens", "create", "--role", "ops", "--name", "desk").status == 1
    assert shop("tokens", "create", "--role", "king", "--name", "x").status == 2
    listed = shop("tokens", "list", "--json").out
    assert (secret in listed, json.loads(listed)[0]["role"]) == (False, "ops")
    assert shop("tokens", "revoke", "desk").status == 0
    assert shop("tokens", "revoke", "desk").status == 1


def test_figures_as_a_table_as_json_and_as_csv(shop: Shell) -> None:
    for action in (("hold", "--hold", "credit"), ("release", "--hold", "credit"), ("capture", "--amount", "5")):
        assert shop("act", "O-1", *action).status == 0
    period = ("--since", "2026-01-01", "--until", "2027-01-01")
    about, _, head, row = shop("analytics", "revenue", *period).out.splitlines()
    assert about.startswith("Captured less refunded")
    assert (head.split(), row.split()) == (["channel", "currency", "orders", "revenue"], ["(none)", "USD", "1", "5.00"])
    assert json.loads(shop("analytics", "holds", *period, "--json").out)["rows"][0]["reason"] == "credit"
    assert shop("analytics", "revenue", *period, "--csv").out.splitlines()[1] == ",USD,1,5.00"
    assert "Nothing in this period" in shop("analytics", "stages", "--until", "2020-01-01").out
    wrong = shop("analytics", "mood")
    assert (wrong.status, "There are stages, dwell" in wrong.err) == (2, True)
    assert shop("analytics", "revenue", "--since", "soon").status == 2
    assert shop("analytics", "revenue", "--since", "0001-01-01").status == 2
