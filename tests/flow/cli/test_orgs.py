"""One database and two orgs on the command line: what is reported, and which commands decide."""

from __future__ import annotations

import pytest

from connector.cli.localorg import environment
from tests.acceptance.sides import Org
from tests.flow.cli_runner import Shell
from tests.flow.forked_org import forked_org


@pytest.mark.usefixtures("sample_shop")
def test_push_and_status_report_another_org_until_org_use_confirms_it(shell: Shell, beside: Org) -> None:
    assert shell("push").status == 0
    first = shell("status", "--json").document["org"]
    with forked_org() as other:
        elsewhere = environment(other.banner)
        changed = shell("status", **elsewhere)
        assert changed.status == 1
        assert "CONNECTOR_SALESFORCE__LOGIN_URL has changed to" in changed.out
        refused = shell("push", **elsewhere)
        assert (refused.status, refused.out) == (1, "")
        assert refused.err.count("\n") == 1
        told = shell("status", "--json", **elsewhere).document
        assert (told["org"], told["in_sync"]) == (first, False)
        second = told["other_org"]["org"]
        assert f"`connector org use {second}`" in refused.err
        assert f"connector org use {second}" in shell("status", **elsewhere).out
        used = shell("org", "use", second, **elsewhere)
        assert used.err == ""  # no line of the log besides its sentences
        assert (used.status, used.out.splitlines()[1]) == (
            0, "26 entities due: `connector push --dry-run` shows what would be sent.",
        )  # fmt: skip
        assert shell("push", **elsewhere).status == 0
        assert f"\nIn sync with org {second}.\n" in shell("status", **elsewhere).out
    assert shell("push").status == 1
    assert shell("org", "use", first).status == 0
    assert shell("push").status == 0
    assert shell("org", "use", "00D000000000001").status == 1


@pytest.mark.usefixtures("sample_shop")
def test_link_unlink_and_resync_report_missing_entities_and_records(shell: Shell) -> None:
    shell("push")
    customer = "C-1001"
    account = shell("show", "customer", customer, "--json").document["in_org"][0]["salesforce_id"]
    unlinked = shell("unlink", "customer", customer).out
    assert unlinked.startswith(f"customer {customer} is no longer linked to Account {account}.\n")
    assert f"`connector link customer {customer} RECORD-ID` links it first" in unlinked
    assert "linked to no record" in shell("show", "customer", customer).out
    assert shell("link", "customer", customer, account, "--dry-run").out.endswith("nothing was changed.\n")
    linked = shell("link", "customer", customer, account, "--json").document
    assert (linked["id"], linked["differs"]) == (account, {})
    assert shell("push").status == 0
    assert shell("link", "return", "1", account).status == 2
    assert shell("link", "customer", customer, "nonsense").err == (
        "connector: 'nonsense' is not a record ID. A record ID has 15 or 18 letters and digits; it is in the"
        " address of the record's page.\n"
    )
    absent = shell("resync", "customer", customer, "NOBODY")
    assert (absent.status, absent.err) == (
        1, "connector: There is no customer NOBODY here. Nothing was made due, C-1001 neither."
        " Correct the key, or import it.\n",
    )  # fmt: skip
    assert shell("resync", "customer", "--recreate").status == 2
    same = shell("resync", "customer", customer, "--json").document
    assert (same["unchanged"], same["api_calls"]["writes"], same["in_sync"]) == ({"customer": 1}, 0, True)
