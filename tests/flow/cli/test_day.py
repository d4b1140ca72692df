"""The commands of a working day in sequence, against a local org."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.flow.cli_runner import ROOT, SHOP, Shell


def test_import_and_push_take_an_empty_database_to_in_sync(shell: Shell) -> None:
    assert shell("db", "upgrade").out == (
        "sqlite:///connector.db is ready. Next: `connector import PATH` brings orders in.\n"
    )
    assert shell("db", "upgrade").out == "sqlite:///connector.db is up to date.\n"
    assert shell("status").out.endswith("The database is empty: `connector import PATH` brings orders in.\n")

    forecast = shell("import", SHOP, "--dry-run")
    assert forecast.status == 0
    assert forecast.out.endswith("13 order lines in these orders.\nDry run: nothing was stored.\n")
    assert shell("status", "--json").document["entities"]["order"]["here"] == 0

    brought = shell("import", SHOP, "--json").document
    assert brought["orders"] == {"created": 8, "updated": 0, "unchanged": 0}
    again = shell("import", SHOP, "--json").document
    assert again["orders"] == {"created": 0, "updated": 0, "unchanged": 8}
    waiting = shell("status")
    assert waiting.status == 1
    assert "26 changes to be sent, the oldest since " in waiting.out

    foretold = shell("push", "--dry-run", "--json").document
    assert foretold["dry_run"] is True
    first = shell("push", "--json").document
    assert first["in_sync"] is True
    assert first["created"] == {"Account": 6, "Order": 8, "OrderItem": 13, "PricebookEntry": 12, "Product2": 12}
    assert {name: first[name] for name in ("created", "updated")} == {
        name: foretold[name] for name in ("created", "updated")
    }
    assert first["api_calls"]["writes"] == foretold["api_calls"]["writes"]
    second = shell("push")
    assert (second.status, second.out.splitlines()[-1]) == (0, "In sync.")
    assert second.out.startswith("The org has everything.\nNo API call was made.\n")
    assert shell("status").status == 0

    shown = shell("show", "order", "SO-1001").out
    assert "In the org: Order 801" in shown
    assert "Nothing is due: the org has it as it is here." in shown
    assert shell("show", "order", "SO-1001", "--json").document["here"]["exact_total"] == "387.00"


@pytest.mark.usefixtures("empty_database")
def test_refused_order_is_listed_fixed_replayed_and_discarded(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "customers.csv").write_text("number,name\nR-1,Refused Ltd\n")
    (tmp_path / "products.csv").write_text("sku,name,unit_price,currency\nR-TEA,Tea,4.50,USD\n")
    (tmp_path / "orders.csv").write_text("number,customer,placed_at,currency\nR-1,R-1,2026-03-01,XAU\n")
    (tmp_path / "order_lines.csv").write_text("order,line,sku,quantity,unit_price\nR-1,1,R-TEA,1,4.50\n")
    assert shell("import", ".").status == 0
    pushed = shell("push")
    assert pushed.status == 1
    assert "1 dead letter: `connector dead-letters list` says why and what to do." in pushed.out

    listed = shell("dead-letters", "list").out
    assert listed.startswith("order R-1: ")
    assert "XAU" in listed
    assert "What to do: " in listed
    [letter] = shell("dead-letters", "list", "--json").document
    assert (letter["entity"], letter["key"]) == ("order", "R-1")
    assert "What to do: " in shell("dead-letters", "show", "order", "R-1").out
    assert shell("status").status == 1

    (tmp_path / "orders.csv").write_text("number,currency\nR-1,USD\n")
    assert shell("import", "orders.csv").status == 0
    assert shell("push").status == 0
    assert shell("dead-letters", "list").out == "No dead letters.\n"
    steps = shell("journey", "order", "R-1").out
    assert steps.index("-> Refused") < steps.index("-> Sent 2 records by POST composite/graph: accepted.")
    assert ", mapping version 1\n    Order R-1 External_Key__c = R-1\n" in steps
    document = shell("journey", "order", "R-1", "--redacted", "--json").document
    assert (document["key"], document["waiting"]) == ("R-1", None)
    assert shell("journey", "order", "none").status == 1
    assert shell("journey", "letter", "R-1").status == 2

    assert shell("dead-letters", "correct", "order", "R-1", "--set", "po_number=7").status == 1  # it is none any more
    (tmp_path / "orders.csv").write_text("number,currency,customer,placed_at\nR-2,XAU,R-1,2026-03-01\n")
    (tmp_path / "order_lines.csv").unlink()
    shell("import", "orders.csv")
    assert shell("push").status == 1
    wrong = shell("dead-letters", "correct", "order", "R-2", "--set", "po_numbr=7")
    assert wrong.err.startswith("connector: --set po_numbr: is unknown. Did you mean `po_number`?")
    corrected = shell("dead-letters", "correct", "order", "R-2", "--set", "po_number=7").out
    assert corrected == "order R-2 is changed, and 1 dead letter due again: `connector push`.\n"
    assert shell("push").status == 1
    assert shell("dead-letters", "replay", "order", "R-2").out == (
        "1 dead letter due again: `connector push` sends it.\n"
    )
    assert shell("push").status == 1
    [letter] = shell("dead-letters", "list", "--json").document
    cause = letter["group"]
    for words in (["list"], ["list", "--by-cause"], ["show", "order", "R-2"]):
        assert cause in shell("dead-letters", *words).out
    assert shell("dead-letters", "assign", cause, "kim").out == f"Cause {cause} is kim's.\n"
    assert shell("dead-letters", "note", cause, "Asked Ann").out == f"Noted with cause {cause}.\n"
    assert shell("dead-letters", "snooze", cause, "--hours", "4").out.startswith(f"Cause {cause} is snoozed until ")
    assert re.search(r"\n  kim's\. Snoozed until .*\. Asked Ann\n", shell("dead-letters", "list", "--by-cause").out)
    assert shell("dead-letters", "snooze", cause, "--wake").out == f"Cause {cause} is awake.\n"
    assert shell("dead-letters", "snooze", cause).status == 2
    unknown = shell("dead-letters", "note", "none", "x")
    assert (unknown.status, "There is no dead letter with the cause none." in unknown.err) == (1, True)
    assert shell("dead-letters", "closed").out == "No cause was closed lately.\n"
    by_cause = ("dead-letters", "replay", "--group")
    assert shell(*by_cause, cause).out == "1 dead letter due again: `connector push` sends it.\n"
    gone = shell(*by_cause, cause)
    assert (gone.status, f"There is no dead letter with the cause {cause}." in gone.err) == (1, True)
    assert shell(*by_cause, cause, "--all").status == 2
    assert shell("push").status == 1
    assert shell("dead-letters", "discard", "--group", cause).out == (
        "1 dead letter discarded: its change is not sent. `connector resync ENTITY KEY` sends it after all.\n"
    )
    assert "fields: po_number; " in shell("audit", "--action", "corrected").out
    user = shell("audit", "--json").document[0]["actor"]
    steps = shell("journey", "order", "R-2").out
    assert f"Replayed by {user}.\n" in steps  # who it was stands there once
    assert f"Corrected, as the org had refused it: po_number.  [{user}]\n" in steps
    assert shell("dead-letters", "replay", "order", "R-2").err == (
        "connector: There is no dead letter of order R-2. `connector dead-letters list` shows all.\n"
    )


@pytest.mark.usefixtures("empty_database")
def test_discarded_changes_are_reported_until_a_resync_sends_them(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "customers.csv").write_text(f"number,name\nD-1,{'Long ' * 60}\n")
    (tmp_path / "products.csv").write_text("sku,name,unit_price,currency\nD-TEA,Tea,4.50,USD\n")
    (tmp_path / "orders.csv").write_text("number,customer,placed_at,currency\nD-1,D-1,2026-03-01,USD\n")
    (tmp_path / "order_lines.csv").write_text("order,line,sku,quantity,unit_price\nD-1,1,D-TEA,1,4.50\n")
    shell("import", ".")
    assert shell("push").status == 1
    advice = "`connector dead-letters correct customer D-1 --set NAME=VALUE`"
    for words in (["list"], ["show", "order", "D-1"]):
        assert advice in shell("dead-letters", *words).out
    assert "`connector dead-letters correct ENTITY KEY --set" in shell("dead-letters", "list", "--by-cause").out
    refused = shell("status", "--json").document["entities"]
    assert (refused["order"]["refused"], refused["customer"]["blocked"]) == (1, 1)
    assert shell("show", "order", "D-1", "--json").document["unsent"]["state"] == "refused"
    assert shell("dead-letters", "discard", "--all").status == 0
    for entity in ("order", "customer"):
        shown = shell("show", entity, "D-1").out
        assert "Nothing is due, and it is not in the org: its change was discarded on 20" in shown
        assert f"`connector resync {entity} D-1` sends it." in shown
    status = shell("status")
    assert (status.status, "In sync" in status.out) == (0, False)  # as a push: a person decided so
    assert "Everything else is in sync with org 00D" in status.out
    document = shell("status", "--json").document
    assert (document["complete"], document["in_sync"]) == (True, False)
    assert "2 changes discarded, which the org does not have: customer D-1, order D-1." in status.out
    pushed = shell("push")
    assert (pushed.status, pushed.out.splitlines()[-1]) == (
        0, "2 changes discarded, which the org does not have: `connector status` says which."
    )  # fmt: skip
    assert shell("resync", "order", "D-1").status == 1
    assert shell("status", "--json").document["discarded"] == [{"entity": "customer", "key": "D-1"}]
    (tmp_path / "customers.csv").write_text("number,name\nD-1,Short\n")
    shell("import", "customers.csv")
    assert shell("push").status == 0
    assert shell("status").status == 0


@pytest.mark.usefixtures("empty_database")
def test_discarded_change_of_a_linked_entity_leaves_older_values_in_the_org(shell: Shell, tmp_path: Path) -> None:
    for name in ("Tea", "Tea " * 80):
        (tmp_path / "products.csv").write_text(f"sku,name,unit_price,currency\nL-TEA,{name},4.50,USD\n")
        assert shell("import", "products.csv").status == 0
        shell("push")
    assert shell("dead-letters", "discard", "product", "L-TEA").out == (
        "1 dead letter discarded: its change is not sent. `connector resync product L-TEA` sends it after all.\n"
    )
    assert "Nothing is due, and the org has older values: its change was discarded on 20" in (
        shell("show", "product", "L-TEA").out
    )
    (tmp_path / "products.csv").write_text("sku,name,unit_price,currency\nL-TEA,Tea,4.50,USD\n")
    shell("import", "products.csv")
    assert shell("push").status == 0
    assert shell("resync", "product", "L-TEA").status == 0
    assert shell("status").status == 0
    assert "Nothing is due: the org has it as it is here." in shell("show", "product", "L-TEA").out


@pytest.mark.usefixtures("sample_shop")
def test_resync_applies_a_changed_mapping_to_existing_records(shell: Shell, tmp_path: Path) -> None:
    assert shell("push").status == 0
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    file = tmp_path / "mappings" / "customer.yaml"
    file.write_text(file.read_text().replace("  Name: name\n", "  Name: {path: name, transform: upper}\n"))
    mine = {"CONNECTOR_MAPPINGS_DIR": str(tmp_path / "mappings")}
    assert shell("push", "--json", **mine).document["updated"] == {}
    foretold = shell("resync", "customer", "--dry-run", "--json", **mine).document
    assert (foretold["updated"], foretold["dry_run"]) == ({"Account": 6}, True)
    assert "No API call would be made." in shell("resync", "product", "--dry-run").out
    activating = shell("resync", "product", **mine)
    assert activating.out.splitlines()[0] == "Mapping version 2 is now active."
    (tmp_path / "customers.csv").write_text("number,name,phone\nC-1001,Harbor Roasters,1\n")
    assert shell("import", "customers.csv").status == 0
    # A process whose files are others works by the version that is active, too.
    assert shell("push", "--json").document["updated"] == {"Account": 1}
    assert "HARBOR ROASTERS" in shell("show", "customer", "C-1001").out
    broken = shell("status", CONNECTOR_MAPPINGS_DIR="nope")
    assert (broken.status, "CONNECTOR_MAPPINGS_DIR" in broken.out) == (1, True)
    sent = shell("resync", "customer", "--json", **mine).document
    assert (sent["updated"], sent["api_calls"]["writes"], sent["in_sync"]) == ({"Account": 5}, 1, True)
    assert shell("resync", "--all", "--json", **mine).document["api_calls"]["writes"] == 0
    assert shell("resync", "order", "NONE").err == (
        "connector: There is no order NONE here. Correct the key, or import it.\n"
    )
    mixed = shell("resync", "order", "SO-1001", "NONE")
    said = "There is no order NONE here. Nothing was made due, SO-1001 neither. Correct the key, or import it."
    assert (mixed.status, mixed.out, mixed.err) == (1, "", f"connector: {said}\n")
    latest, former = shell("runs", "list", "--json").document[:2]
    for run, total in ((latest, 2), (former, 1)):
        assert (run["state"], run["counts"]) == ("failed", {"total": total, "done": 0, "failed": 0})
    assert latest["error"] == said
    assert f"  {said}\n" in shell("runs", "show", latest["run"]).out
    assert (
        shell("resync").err
        == "connector: resync: either ENTITY or --all is required. Give an entity with or without keys, or --all.\n"
    )
    assert shell("resync", "customer", "C-1001", "--json").document["updated"] == {}


@pytest.mark.usefixtures("sample_shop")
def test_commands_say_that_they_wait_for_api_calls_and_how_to_go_on(shell: Shell) -> None:
    assert shell("push").status == 0
    cap = {"CONNECTOR_BUDGET__MOST_CALLS_PER_DAY": "1"}
    waiting = shell("resync", "customer", "C-1001", **cap)
    assert waiting.status == 1
    assert waiting.out.splitlines()[0] == "No API call was made."
    assert waiting.err == ""  # no line of the log besides
    [said] = [
        line for line in waiting.out.splitlines() if "1 change to be sent later (1 backfill). All calls pause" in line
    ]
    assert "of the 1 calls of CONNECTOR_BUDGET__MOST_CALLS_PER_DAY are made. Nothing is lost: a running service" in said
    assert said.endswith("To go on now, raise CONNECTOR_BUDGET__MOST_CALLS_PER_DAY.")
    document = shell("push", "--json", **cap).document
    assert (document["paused"], document["in_sync"]) == ({"backfill": 1}, False)
    assert "1 change waiting for API calls (since " in shell("status", **cap).out
    refused = shell("pull", **cap)
    assert (refused.status, refused.out, refused.err.count("\n")) == (1, "", 1)
    assert refused.err.startswith("connector: All calls pause, to save the API budget: ")
    assert shell("push").status == 0


@pytest.mark.usefixtures("sample_shop")
def test_mapping_that_does_not_fit_the_org_changes_nothing(shell: Shell, tmp_path: Path) -> None:
    assert shell("push").status == 0
    before = shell("status", "--json").document
    assert before["budget"]["text"].startswith("API budget: ")
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    with (tmp_path / "mappings" / "customer.yaml").open("a") as file:
        file.write("  Nope__c: city\n")
    wrong = shell("push", "--dry-run", CONNECTOR_MAPPINGS_DIR=str(tmp_path / "mappings"))
    assert (wrong.status, "Nope__c" in wrong.err) == (2, True)
    refused = shell("resync", "--all", CONNECTOR_MAPPINGS_DIR=str(tmp_path / "mappings"))
    assert refused.status == 2
    assert shell("push").status == 0
    after = shell("status", "--json").document
    assert after | {"budget": None} == before | {"budget": None}


@pytest.mark.usefixtures("sample_shop")
def test_wrong_api_version_makes_no_dead_letters(shell: Shell) -> None:
    assert shell("push").status == 0
    (shell.folder / "customers.csv").write_text("number,city\nC-1001,Salem\n")
    shell("import", "customers.csv")
    assert shell("push", CONNECTOR_SALESFORCE__API_VERSION="10.0").status == 1
    assert shell("dead-letters", "list").out == "No dead letters.\n"
    assert shell("push").status == 0


@pytest.mark.usefixtures("empty_database")
def test_order_fixed_through_its_product_is_due_again(shell: Shell) -> None:
    files = {
        "customers.csv": f"number,name\nM-1,{'x' * 300}\n",
        "products.csv": "sku,name\nM-TEA,Tea\n",
        "orders.csv": "number,customer,placed_at,currency\nM-1,M-1,2026-03-01,USD\n",
        "order_lines.csv": "order,line,sku,quantity,unit_price\nM-1,1,M-TEA,1,4.50\n",
    }
    for name, text in files.items():
        (shell.folder / name).write_text(text)
    shell("import", ".")
    forecast = shell("push", "--dry-run")
    assert forecast.status == 1
    assert "order M-1: STRING_TOO_LONG on Account.Name of customer M-1" in forecast.out
    assert shell("push").status == 1
    (shell.folder / "customers.csv").write_text("number,name\nM-1,Short\n")
    shell("import", "customers.csv")
    assert "product M-TEA" in shell("push").out + shell("dead-letters", "list").out
    (shell.folder / "products.csv").write_text("sku,name,unit_price,currency\nM-TEA,Tea,4.50,USD\n")
    shell("import", "products.csv")
    assert shell("dead-letters", "replay", "order", "M-1").out == (
        "order M-1 is no longer a dead letter; it is due, and `connector push` sends it.\n"
    )
    assert shell("push").status == 0


@pytest.mark.usefixtures("empty_database")
def test_bad_rows_are_reported_and_good_rows_are_imported(shell: Shell, tmp_path: Path) -> None:
    rows = "".join(f"B-{number},,\n" for number in range(30))
    (tmp_path / "products.csv").write_text("sku,name,description\nB-G,Good,Tea\n" + rows)
    answer = shell("import", "products.csv")
    assert answer.status == 1
    assert answer.out.splitlines()[1].split() == ["products", "1", "0", "0", "30"]
    told = answer.err.splitlines()
    assert told == [
        "products.csv:3:2: name: is empty; it needs a value (29 more like it, in lines 4, 13, 14, 15, 16, …)"
    ]
    assert len(shell("import", "products.csv", "--json").document["problems"]) == 30
