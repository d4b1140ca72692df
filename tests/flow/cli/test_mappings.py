"""`connector mappings`: versions of the mappings on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.sides import Org
from tests.flow.cli_runner import Shell


@pytest.mark.usefixtures("sample_shop")
def test_files_are_checked_applied_and_rolled_back_and_versions_are_written_to_files(
    shell: Shell, beside: Org, tmp_path: Path
) -> None:
    empty = shell("mappings", "history")
    assert empty.out == "No version was active yet: the first push, or `connector mappings apply`, makes one.\n"
    assert shell("push").status == 0
    folder = tmp_path / "mine"
    assert shell("mappings", "export", str(folder)).out == f"11 files written to {folder}.\n"
    order = folder / "order.yaml"
    text = order.read_text(encoding="utf-8")
    order.write_text(text.replace("Carrier__c: carrier", "Carrier__c: {path: carrier, transform: uper}"))

    checked = shell("mappings", "check", "--dir", str(folder))
    assert checked.status == 1
    assert f"error: {order}:41:31: Carrier__c: has the transform `uper`, which does not exist. Did you" in checked.out
    assert shell("mappings", "check", "--dir", str(folder), "--json").document["problems"][0]["file"] == str(order)
    refused = shell("mappings", "apply", "--dir", str(folder))
    assert (refused.status, f"{order}:41:31: Carrier__c: has the transform `uper`" in refused.err) == (2, True)

    order.write_text(text.replace("Carrier__c: carrier", "Carrier__c: {path: carrier, transform: upper}"))
    report = shell("mappings", "check", "--dir", str(folder), "--json").document
    assert (report["errors"], report["problems"], len(report["orgs"])) == (0, [], 1)
    planned = shell("mappings", "plan", "--dir", str(folder), "--limit", "2")
    assert planned.out.startswith(f"source Order.Carrier__c: carrier -> carrier, transform upper ({order}:41)\n")
    assert "Risk: low." in planned.out
    plan = planned.out.rsplit("mappings apply ", 1)[1].split("`")[0]
    assert shell("mappings", "plan", "--dir", str(folder), "--json").document["state"] == "open"
    assert shell("mappings", "apply", "nosuchplan").err.startswith("connector: There is no plan nosuchplan.")
    applied = shell("mappings", "apply", plan, "--note", "carriers in capitals")
    assert applied.out.startswith("Version 2 of the mappings is active; every running process follows it.\n")
    assert "resync 1" in applied.out
    again = shell("mappings", "apply", "--dir", str(folder))
    assert (again.status, again.err.startswith("connector: These files are the active version already")) == (1, True)

    listed = shell("mappings", "history", "--json").document
    assert [(item["number"], item["active"], item["note"], item["changed"]) for item in listed] == [
        (2, True, "carriers in capitals", ["order.yaml"]),
        (1, False, None, []),
    ]
    assert "2 (active)" in shell("mappings", "history").out
    assert "+  Carrier__c: {path: carrier, transform: upper}\n" in shell("mappings", "diff", "1", "2").out
    assert shell("mappings", "show", "1", "--file", "order.yaml").out == text
    back = shell("mappings", "rollback", "1", "--no-resync", "--json").document
    assert (back["version"]["number"], back["version"]["origin"], back["resyncs"]) == (3, "rollback", [])
    differs = shell("mappings", "export", str(folder))
    assert (differs.status, "order.yaml" in differs.err, "--force" in differs.err) == (2, True, True)
    assert shell("mappings", "export", str(folder), "--force").out == f"1 file written to {folder}.\n"
    assert order.read_text(encoding="utf-8") == text
    assert shell("mappings", "drift").out == "No change in the org concerns the mappings.\n"
    assert "There is no shadow" in shell("mappings", "shadow").out
    order.write_text(text.replace("  Carrier__c: carrier\n", ""))
    assert "removed Order.Carrier__c: carrier -> nothing (before: order.yaml:41)\n" in shell(
        "mappings", "plan", "--dir", str(folder)
    ).out  # fmt: skip
    order.write_text(text.replace("Carrier__c: carrier", "Carrier__c: {const: none}"))
    started = shell("mappings", "shadow", "--start", "--dir", str(folder), "--note", "try it")
    assert (started.status, ": try it" in started.out, "computed 0 times" in started.out) == (0, True, True)
    assert shell("mappings", "shadow", "--discard").out == "The shadow was discarded.\n"
    assert shell("mappings", "schema").document["$defs"].keys() >= {"order", "values"}
    assert shell("mappings", "show", "8").err.startswith("connector: There is no version 8 of the mappings.")
    assert shell("mappings", "check", "--dir", str(tmp_path / "nowhere")).status == 2
