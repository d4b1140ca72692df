"""The commands of a working day, one after the other, against a local org that runs beside them."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from connector.cli.org import environment
from tests.acceptance.sides import Org, an_org
from tests.flow.shell import CONNECTOR, LONGEST, SERVICE, SHOP, Shell


@pytest.fixture(scope="module")
def beside() -> Iterator[Org]:
    with an_org() as org:
        yield org


@pytest.fixture
def shell(tmp_path: Path, beside: Org) -> Shell:
    return Shell(tmp_path, environment(beside.banner))


def test_from_nothing_to_in_sync(shell: Shell) -> None:
    assert shell("db", "upgrade").out == (
        "sqlite:///connector.db is ready. Next: `connector import PATH` brings orders in.\n"
    )
    assert shell("db", "upgrade").out == "sqlite:///connector.db is up to date.\n"
    assert shell("status").out.endswith("The database is empty: `connector import PATH` brings orders in.\n")

    rehearsed = shell("import", SHOP, "--dry-run")
    assert rehearsed.status == 0
    assert rehearsed.out.endswith("13 order lines in these orders.\nRehearsal: nothing was stored.\n")
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


def test_a_refused_order_from_letter_to_replay(shell: Shell, tmp_path: Path) -> None:
    shell("db", "upgrade")
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

    (tmp_path / "orders.csv").write_text("number,currency,customer,placed_at\nR-2,XAU,R-1,2026-03-01\n")
    (tmp_path / "order_lines.csv").unlink()
    shell("import", "orders.csv")
    assert shell("push").status == 1
    assert shell("dead-letters", "replay", "order", "R-2").out == (
        "1 dead letter due again: `connector push` sends it.\n"
    )
    assert shell("push").status == 1
    assert shell("dead-letters", "discard", "--all").out == "1 dead letter forgotten.\n"
    assert shell("dead-letters", "replay", "order", "R-2").err == (
        "connector: There is no dead letter of order R-2. `connector dead-letters list` names all.\n"
    )


def test_bad_rows_are_told_and_the_rest_is_in(shell: Shell, tmp_path: Path) -> None:
    shell("db", "upgrade")
    rows = "".join(f"B-{number},,\n" for number in range(30))
    (tmp_path / "customers.csv").write_text("number,name,city\nB-G,Good,Leeds\n" + rows)
    answer = shell("import", "customers.csv")
    assert answer.status == 1
    assert answer.out.splitlines()[1].split() == ["customers", "1", "0", "0", "30"]
    told = answer.err.splitlines()
    assert told[0] == "customers.csv:3:2: name: is empty; it needs a value"
    assert told[-1] == "… and 10 more: --json lists all."
    assert len(shell("import", "customers.csv", "--json").document["problems"]) == 30


NO_DATABASE = "connector: The database sqlite:///connector.db has no tables yet. Run `connector db upgrade`.\n"
REFUSALS: list[tuple[list[str], int, str]] = [
    (["bogus"], 2, "connector: No such command 'bogus'. Try `connector --help`.\n"),
    (["import"], 2, "connector: Missing argument 'paths'. Try `connector import --help`.\n"),
    (["import", "absent", "--dry-run"], 1, NO_DATABASE),
    (["status"], 1, NO_DATABASE),
    (["push"], 1, NO_DATABASE),
    (["show", "order", "1"], 1, NO_DATABASE),
    (["show", "invoice", "1"], 2, "connector: 'invoice' is no entity. It is customer, product or order.\n"),
    (["dead-letters", "replay"], 2,
     "connector: Which dead letters? Name an entity and a key, an entity alone, or --all.\n"),
    (["dead-letters", "show", "invoice", "1"], 2,
     "connector: 'invoice' is no entity. It is customer, product or order.\n"),
    (["demo", "--orders", "0"], 2,
     "connector: Invalid value for '--orders': Input should be greater than or equal to 1."
     " Try `connector demo --help`.\n"),
    (["localorg", "--port", "99999"], 2,
     "connector: Invalid value for '--port': Input should be less than or equal to 65535."
     " Try `connector localorg --help`.\n"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "status", "line"), REFUSALS, ids=[" ".join(words) for words, *_ in REFUSALS])
def test_a_refusal_is_one_line_that_says_what_to_do(shell: Shell, words: list[str], status: int, line: str) -> None:
    answer = shell(*words)
    assert (answer.status, answer.err, answer.out) == (status, line, "")
    assert not (shell.folder / "connector.db").exists()


SETTINGS: list[tuple[dict[str, str], str]] = [
    ({"CONNECTOR_DATABASE_URL": "mysql://root:hunter2@db/x"}, "sqlite:///"),
    ({"CONNECTOR_DATABASE_URL": "hunter2"}, "sqlite:///"),
    ({"CONNECTOR_SALESFORCE__LOGIN_URL": "ftp://hunter2"}, "CONNECTOR_SALESFORCE__LOGIN_URL"),
    ({"CONNECTOR_SALESFORCE__AUTH": "hunter2"}, "CONNECTOR_SALESFORCE__AUTH must be"),
    ({"CONNECTOR_SALESFORCE__AUTH": "jwt"}, "CONNECTOR_SALESFORCE__USERNAME"),
    ({"CONNECTOR_SALESFORCE__API_VERSION": "hunter2"}, "CONNECTOR_SALESFORCE__API_VERSION must look like 66.0"),
    ({"CONNECTOR_SYNC__PARTITIONS": "0"}, "CONNECTOR_SYNC__PARTITIONS must be at least 1"),
    ({"CONNECTOR_SALESFORCE__LOGINURL": "hunter2"}, "did you mean CONNECTOR_SALESFORCE__LOGIN_URL?"),
    ({"CONNECTOR_MAPPINGS_DIR": "hunter2"}, "hunter2"),
]


@pytest.mark.parametrize(("wrong", "named"), SETTINGS, ids=[f"{name}={value}" for item, _ in SETTINGS for name, value in item.items()])  # fmt: skip  # noqa: E501
def test_a_wrong_setting_is_named_and_its_value_is_not(shell: Shell, wrong: dict[str, str], named: str) -> None:
    shell("db", "upgrade")
    answer = shell("push", **wrong)
    assert (answer.status, answer.out) == (2, "")
    assert answer.err.count("\n") == 1
    assert named in answer.err
    assert "hunter2" not in answer.err.replace(str(shell.folder), "") or "MAPPINGS_DIR" in next(iter(wrong))


def test_a_wrong_secret_is_refused_in_words_without_it(shell: Shell) -> None:
    shell("db", "upgrade")
    shell("import", SHOP)
    answer = shell("push", CONNECTOR_SALESFORCE__CLIENT_SECRET="hunter2", CONNECTOR_LOG_LEVEL="DEBUG")
    assert answer.status == 1
    assert "hunter2" not in answer.err + answer.out
    assert "invalid_client" in answer.err


def test_no_secret_and_nothing_personal_in_the_most_talkative_log(shell: Shell, beside: Org) -> None:
    shell("db", "upgrade")
    shell("import", SHOP)
    answer = shell("push", CONNECTOR_LOG_LEVEL="DEBUG")
    assert answer.status == 0
    for hidden in (beside.banner["client_secret"], "Bearer", "alderfinch", "Mill Lane", "+1 555"):
        assert hidden not in answer.err + answer.out


def test_wrong_mappings_are_told_whole(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "mappings"
    folder.mkdir()
    (folder / "customer.yaml").write_text("entity: customer\nsobject: Account\nfields: 7\nfilds: {}\n")
    shell("db", "upgrade")
    answer = shell("push", CONNECTOR_MAPPINGS_DIR=str(folder))
    assert (answer.status, answer.out) == (2, "")
    assert len(answer.err.splitlines()) > 2
    assert all(line.split(":")[0].endswith(".yaml") for line in answer.err.splitlines())


def test_an_org_that_cannot_be_reached(shell: Shell) -> None:
    shell("db", "upgrade")
    shell("import", SHOP)
    answer = shell("push", CONNECTOR_SALESFORCE__LOGIN_URL="http://127.0.0.1:9")
    assert answer.status == 1
    assert "127.0.0.1:9" in answer.err
    assert shell("push").status == 0


def test_help_and_version(shell: Shell) -> None:
    assert shell("--version").out.startswith("connector 0.")
    listed = shell("--help").out
    for command in ("localorg", "demo", "import", "push", "db", "status", "show", "dead-letters"):
        assert f"  {command} " in listed
        assert shell(command, "--help").status == 0
    assert shell().status == 2


def test_the_local_org_says_where_it_is_keeps_its_data_and_stops_on_a_signal(shell: Shell, tmp_path: Path) -> None:
    kept = tmp_path / "org.db"
    for expected in (0, 8):
        process = shell.start("localorg", "--port", "0", "--json", "--data", str(kept))
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            here = Shell(tmp_path, _pointed(line))
            assert _orders(line) == expected
            here("db", "upgrade")
            here("import", SHOP)
            assert here("push").status == 0
        finally:
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=LONGEST)
        assert (process.returncode, out, err) == (0, "", "")


def test_a_port_that_is_taken(shell: Shell, beside: Org) -> None:
    port = beside.banner["instance_url"].rpartition(":")[2]
    answer = shell("localorg", "--port", port)
    assert (answer.status, answer.out) == (1, "")
    assert answer.err == (
        f"connector: Port {port} cannot be used: address already in use."
        " Name another with --port or --tls-port; 0 takes a free one.\n"
    )


def test_a_bare_org_lacks_our_fields_and_the_push_says_so(shell: Shell, tmp_path: Path) -> None:
    process = shell.start("localorg", "--port", "0", "--json", "--bare")
    assert process.stdout is not None
    here = Shell(tmp_path, _pointed(process.stdout.readline()))
    try:
        here("db", "upgrade")
        here("import", SHOP)
        answer = here("push")
    finally:
        process.terminate()
        process.communicate(timeout=LONGEST)
    assert answer.status == 1
    assert "The org has none of the connector's fields" in answer.err
    assert "connector/metadata" in answer.err


def test_the_service_pushes_by_itself_and_stops_in_order(shell: Shell, tmp_path: Path) -> None:
    shell("db", "upgrade")
    service = shell.start(program=SERVICE)
    try:
        shell("import", SHOP)
        end = time.monotonic() + LONGEST
        while not shell("status", "--json").document["in_sync"] and time.monotonic() < end:
            time.sleep(0.2)
        assert shell("status").status == 0
    finally:
        service.send_signal(signal.SIGTERM)
        _, log = service.communicate(timeout=LONGEST)
    assert service.returncode == 0
    assert "stopped" in log.splitlines()[-1]


def test_the_demo_prints_a_summary(shell: Shell) -> None:
    answer = shell("demo", "--once", "--orders", "5")
    assert (answer.status, answer.err) == (0, "")
    assert "5 of 5 orders." in answer.out


def test_the_demo_goes_on_until_it_is_stopped(shell: Shell) -> None:
    process = shell.start("demo", "--orders", "3", "--rate", "20")
    assert process.stdout is not None
    for line in process.stdout:
        if "so far" in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=LONGEST)
    assert (process.returncode, err) == (0, "")
    assert "Stopped. " in out


def test_a_terminal_sees_a_bar_and_a_pipe_does_not(shell: Shell) -> None:
    shell("db", "upgrade")
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*CONNECTOR, "import", str(SHOP)], env={**shell.environment, "TERM": "xterm"}, cwd=shell.folder,
        stdout=subprocess.PIPE, stderr=follower,
    )  # fmt: skip
    out, _ = process.communicate(timeout=LONGEST)
    os.close(follower)
    seen = os.read(leader, 65_536).decode()
    os.close(leader)
    assert b"8" in out
    assert "Importing" in seen
    assert shell("import", SHOP).err == ""


def _pointed(banner: str) -> dict[str, str]:
    return environment(json.loads(banner))


def _orders(banner: str) -> int:
    told = json.loads(banner)
    answer = requests.get(
        f"{told['instance_url']}/services/data/v66.0/query",
        params={"q": "SELECT COUNT() FROM Order"},
        headers={"Authorization": f"Bearer {told['access_token']}"},
        timeout=30,
    )
    return int(answer.json()["totalSize"])
