"""`connector reconcile` and what `connector status` says of it."""

from __future__ import annotations

import pytest

from tests.flow.cli_runner import SHOP, Shell


@pytest.mark.usefixtures("empty_database")
def test_comparison_is_announced_reported_and_shown_by_status(shell: Shell) -> None:
    assert shell("import", SHOP).status == 0
    assert shell("push").status == 0

    announced = shell("reconcile", "--dry-run")
    assert announced.status == 0
    assert "About 2 read calls, and one for each 200 to 2,000 records that differ.\n" in announced.out
    assert announced.out.endswith("Dry run: nothing was compared, nothing was stored.\n")
    assert "verified at" not in shell("status").out

    equal = shell("reconcile")
    assert equal.status == 0
    assert "39 of 39 verified at " in equal.out
    assert "39 of 39 verified at " in shell("status").out
    assert shell("reconcile", "--heal", "--json").document["healing"] == {"differences": 0, "healed": 0}
    assert shell("status", "--json").document["reconciliation"]["verified"] == 39

    assert shell("db", "prune").out == "Nothing is older than its retention.\n"
    nothing = shell("pull", "--dry-run")
    assert nothing.status == 0
    assert nothing.out.endswith("Dry run: nothing was changed, here or in the org.\n")
    assert shell("pull", "--dry-run", "--json").document["changes"] == []

    assert shell("unlink", "customer", "C-1001").status == 0
    differs = shell("reconcile", "--json", "--limit-report", "0")
    assert differs.status == 1
    assert differs.document["findings"] == []
    assert (differs.document["verified"], differs.document["differing"]) == (38, 1)
    assert "38 of 39 verified at " in shell("status").out

    assert "Not listed: 1 difference, beyond --limit-report or part" in shell("reconcile", "--limit-report", "0").out

    assert shell("unlink", "order", "SO-1001").status == 0
    differs = shell("reconcile", "--json")
    assert (len(differs.document["findings"]), differs.document["differing"]) == (2, 4)
    text = shell("reconcile").out
    assert "Not listed: 2 parts (lines, prices) of what is listed.\n" in text
    assert "more" not in text

    assert shell("reconcile", "--key", "C-1001").err == (
        "connector: --key: --entity is required with it, once. Name the entity that has the key.\n"
    )
    assert shell("reconcile", "--entity", "account").status == 2
