"""What the command line says of runs, and of their undo."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.acceptance.sides import Org
from tests.flow.cli_runner import Shell

SOBJECTS = "/services/data/v66.0/sobjects"
ORDER = f"{SOBJECTS}/Order/External_Key__c/SO-1001"


@pytest.mark.usefixtures("sample_shop")
def test_resync_is_shown_and_undone_by_its_name(shell: Shell, beside: Org) -> None:
    assert shell("push").status == 0
    beside.ask("PATCH", ORDER, {"Lifecycle_Stage__c": "placed", "Carrier__c": "by hand"})
    assert shell("resync", "order", "SO-1001").status == 0
    [listed] = shell("runs", "list", "--json").document
    assert (listed["run"], listed["kind"], listed["state"], listed["counts"]["done"]) == (
        "resync-1",
        "resync",
        "done",
        1,
    )
    shown = shell("runs", "show", "resync-1").out
    assert "Order SO-1001 Lifecycle_Stage__c: placed -> " in shown
    assert "1 updated" in shown
    beside.ask("PATCH", ORDER, {"Carrier__c": "by hand again"})

    default = shell("undo", "resync-1", "--dry-run").out
    assert "0 fields would be put back" in default
    assert "1 field in which we would send another value: left as it is, unless --include differs." in default
    plan = shell("undo", "resync-1", "--include", "differs", "--dry-run").out
    assert "1 field would be put back" in plan
    assert "Order.Carrier__c: by hand again, by " in plan
    assert "What we would send is another value: it is not sent until it changes." in plan
    undone = shell("undo", "resync-1", "--include", "differs")
    assert (undone.status, "1 field put back" in undone.out) == (0, True), undone.out
    assert shell("undo", "resync-1", "--field", "Lifecycle_Stage__c", "--json").document["counts"] == {"restored": 1}
    assert shell("undo", "undo-1", "--key", "SO-1001", "--dry-run", "--json").document["counts"] == {"restore": 1}
    assert "Order.Lifecycle_Stage__c" in shell("held", "list").out
    [held] = shell("held", "list", "--json").document
    assert (held["key"], held["fields"][0]["in_org"], held["part"]) == ("SO-1001", "placed", None)
    assert "Nothing is held of order SO-1002" in shell("held", "release", "order", "SO-1002").err
    [undo, resync] = shell("runs", "list", "--json").document
    assert (undo["undoes"], resync["undone_by"]) == ("resync-1", ["undo-1"])
    assert "left as it was changed by" in shell("runs", "show", "undo-1").out
    assert [item["action"] for item in shell("audit", "--entity", "run", "--json").document] == ["undone"]
    assert "There is no run resync-7" in shell("undo", "resync-7").err
    assert "There is no run monday" in shell("runs", "show", "monday").err
    assert shell("runs", "list", "--kind", "monday").status == 2
    since = datetime.now(UTC).isoformat()
    changed = ("act", "SO-1001", "change", "--set")
    assert shell(*changed, "po_number=spoiled").status == 0
    assert shell("push").status == 0
    part = ("--key", "SO-1001", "--field", "PoNumber", "--include", "differs")
    period = shell("undo", "--since", since, *part, "--dry-run", "--json").document
    assert period["counts"] == {"restore": 1}
    assert shell("undo", "--since", "2026-01-01", "--until", "2026-01-02", *part, "--json").document["counts"] == {}
    assert shell("undo", "--since", since, *part).status == 0
    assert shell("runs", "list", "--json").document[0]["what"].startswith("undo writes from 20")
    assert shell("held", "release", "order", "SO-1001", "--json").document == {"fields": 3, "sent": True}
    assert shell("held", "list").out == "Nothing is held.\n"
    usages = ("undo", "undo resync-1 --since 2026-01-01", "undo --since 2026-01-01", "undo resync-1 --include monday",
              "held release monday SO-1001")  # fmt: skip
    for usage in usages:
        assert shell(*usage.split()).status == 2
