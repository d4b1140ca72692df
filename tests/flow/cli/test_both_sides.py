"""What the command line says when both sides changed something, or the org lacks a record."""

from __future__ import annotations

import re
from pathlib import Path
from shutil import copytree

import pytest

from connector.mapping.loader import shipped_mappings
from tests.acceptance.sides import Org
from tests.flow.cli_runner import Shell

SOBJECTS = "/services/data/v66.0/sobjects"


@pytest.mark.usefixtures("sample_shop")
def test_conflict_is_named_by_a_push_and_its_resolution_is_judged_by_its_own_entity(
    shell: Shell, beside: Org, tmp_path: Path
) -> None:
    folder = copytree(str(shipped_mappings()), tmp_path / "mappings")
    text = (folder / "order.yaml").read_text(encoding="utf-8")
    asking = text.replace("Description: {path: notes, owner: newest}", "Description: {path: notes, owner: ask}")
    (folder / "order.yaml").write_text(asking, encoding="utf-8")
    shell.settings["CONNECTOR_MAPPINGS_DIR"] = str(folder)
    assert shell("push").status == 0
    assert shell("pull").status == 0
    (tmp_path / "products.csv").write_text(f"sku,name,unit_price,currency\nL-TEA,{'Tea ' * 80},4.50,USD\n")
    shell("import", "products.csv")
    shell("push")
    assert shell("dead-letters", "discard", "product", "L-TEA").status == 0
    order = f"{SOBJECTS}/Order/External_Key__c/SO-1001"
    beside.ask("PATCH", order, {"Description": "theirs\nin two lines"})
    assert shell("act", "SO-1001", "change", "--set", "notes=ours").status == 0
    pushed = shell("push")
    assert pushed.out.endswith("1 conflict to be resolved: `connector conflicts list` shows both values.\n")
    assert "theirs ⏎ in two lines" in shell("conflicts", "list").out
    note = "(as both sides last agreed: it is in conflict)"
    assert note in shell("show", "order", "SO-1001").out

    resolved = shell("conflicts", "resolve", "1", "--take", "local")
    assert (resolved.status, resolved.out) == (0, "Order.Description of order SO-1001 is ours on both sides.\n")
    assert not shell("status", "--json").document["in_sync"]  # for the product
    assert shell("inbox", "replay").out == "Nothing to replay.\n"


@pytest.mark.usefixtures("sample_shop")
def test_record_that_was_deleted_in_the_org_is_counted_and_named(shell: Shell, beside: Org) -> None:
    assert shell("push").status == 0
    assert shell("pull").status == 0
    assert shell("status").status == 0
    beside.ask("PATCH", f"{SOBJECTS}/OrderItem/External_Key__c/SO-1007-1", {"Quantity": 7})
    forecast = shell("pull", "--dry-run").out
    assert re.search(r"SO-1007-1 +Quantity +\d+ +7  ", forecast), forecast
    assert shell("pull").status == 0
    assert re.search(r"  Quantity +7\n", shell("show", "order", "SO-1007").out)
    shell("push")
    beside.ask("DELETE", f"{SOBJECTS}/Order/External_Key__c/SO-1007")
    assert shell("pull").status == 0

    status = shell("status")
    assert (status.status, "In sync" in status.out) == (1, False)
    assert "1 record deleted in the org: order SO-1007. `connector resync ENTITY KEY --recreate`" in status.out
    assert re.search(r"^order +8 +7 ", status.out, re.M)
    pushed = shell("push")
    assert (pushed.status, pushed.out) == (0, (
        "Nothing was due.\nNo API call was made.\n1 record deleted in the org: order SO-1007."
        " `connector resync ENTITY KEY --recreate` creates one again.\n"
    ))  # fmt: skip
    other = shell("resync", "order", "SO-1001").out
    assert ("deleted in the org" in other, other.endswith(("in sync.\n", "In sync.\n"))) == (
        False,
        True,
    )
    document = shell("push", "--json").document
    assert (document["in_sync"], document["deleted_in_org"]) == (False, [{"entity": "order", "key": "SO-1007"}])
    shown = shell("show", "order", "SO-1007").out
    assert "Nothing is due, and the org does not have it: its record was deleted there." in shown
    assert "the org has it as it is here" not in shown

    assert shell("resync", "order", "SO-1007", "--recreate").status == 0
    assert shell("status").status == 0


@pytest.mark.usefixtures("sample_shop")
def test_show_says_what_the_org_has_and_that_our_value_will_be_restored(shell: Shell, beside: Org) -> None:
    assert shell("push").status == 0
    assert shell("pull").status == 0
    order = f"{SOBJECTS}/Order/External_Key__c/SO-1005"
    beside.ask("PATCH", order, {"Lifecycle_Stage__c": "shipped", "Payment_Status__c": None})
    assert shell("pull").status == 0
    shown = shell("show", "order", "SO-1005").out
    assert re.search(r"\nIn the org: Order 801\w+, as noted here at 20\d\d-[-\d: ]+ UTC:\n", shown)
    assert "agreed" not in shown
    assert re.search(r"  Lifecycle_Stage__c +shipped  \(to be restored to \w+\)\n", shown)
    assert re.search(r"  Payment_Status__c +nothing  \(to be restored to \w+\)\n", shown)
    assert shell("push").status == 0
    assert "to be restored" not in shell("show", "order", "SO-1005").out
