"""Programs that run until they are stopped: the local org, the service, the demo; and progress on a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
import requests

from connector.cli.localorg import environment
from tests.acceptance.sides import Org, an_org
from tests.flow.cli_runner import CONNECTOR, LONGEST, ROOT, SERVICE, SHOP, Shell


def test_local_org_prints_its_address_keeps_its_data_and_stops_on_a_signal(shell: Shell, tmp_path: Path) -> None:
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


def test_commands_of_the_guide_work_as_they_are_written(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "try-it.md").read_text(encoding="utf-8").partition("## By hand")[2]
    text = "\n".join(re.findall(r"```sh\n(.*?)```", guide, re.DOTALL)).replace("\\\n", "")
    lines = [re.split(r"\s+# ", line)[0] for line in text.splitlines()]
    commands = [line for line in lines if line.startswith(("connector", "curl")) and "serve" not in line]
    started = shlex.split(commands.pop(0))
    with an_org(*started[2:]) as org:
        settings = {**environment(org.banner), "CONNECTOR_DATABASE_URL": f"sqlite:///{tmp_path}/connector.db"}
        shell = Shell(ROOT, settings)
        for line in commands:
            if line.startswith("connector"):
                answer = shell(*shlex.split(line)[1:])
                assert answer.status == 0, (line, answer.err)
            else:
                done = subprocess.run(
                    ["bash", "-c", f"{line} --fail"],
                    env={**shell.environment, "REP_TOKEN": org.banner["rep_token"]},
                    capture_output=True, text=True, timeout=LONGEST, check=False,
                )  # fmt: skip
                assert done.returncode == 0, done.stderr
        shown = shell("show", "order", "SO-1008").out
    assert "  notes                  Ring twice\n" in shown
    assert re.search(r"salesforce Sales Rep \(\w+\) +changed notes\n", shown)


def test_localorg_reports_a_port_in_use(shell: Shell, beside: Org) -> None:
    port = beside.banner["instance_url"].rpartition(":")[2]
    answer = shell("localorg", "--port", port)
    assert (answer.status, answer.out) == (1, "")
    assert answer.err == (
        f"connector: Port {port} cannot be used: address already in use."
        " Name another with --port, --tls-port or --grpc-port; 0 takes a free one.\n"
    )


def test_listener_tells_programs_what_it_does(shell: Shell, empty_database: None) -> None:
    process = shell.start("listen", "--json")
    assert process.stdout is not None
    try:
        first = json.loads(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=LONGEST)
    last = json.loads(out.splitlines()[-1])
    assert (first, process.returncode) == ({"event": "subscribing", "topic": "/data/Connector__chn"}, 0)
    assert last == {"event": "stopped", "events": 0, "echoes": 0, "records": 0}


def test_bare_org_is_usable_once_our_fields_are_deployed(shell: Shell, tmp_path: Path) -> None:
    process = shell.start("localorg", "--port", "0", "--json", "--bare")
    assert process.stdout is not None
    here = Shell(tmp_path, _pointed(process.stdout.readline()))
    try:
        here("db", "upgrade")
        here("import", SHOP)
        before = here("push")
        checked = here("org", "deploy", "--check")
        still = here("push")
        unseen = here("org", "deploy", "--no-assign", "--json").document
        unseen_push = here("push")
        given = here("org", "deploy")
        again = here("org", "deploy", "--json").document
        after = here("push")
    finally:
        process.terminate()
        process.communicate(timeout=LONGEST)
    assert before.status == still.status == unseen_push.status == 1
    assert "The org has none of the connector's fields" in before.err
    assert "connector org deploy" in before.err
    assert (checked.status, "Nothing was changed" in checked.out) == (0, True)
    assert (unseen["status"], unseen["assigned"]) == ("Succeeded", [])
    assert (given.status, "CRM_Connector was assigned" in given.out) == (0, True)
    assert (again["status"], again["assigned"], again["problems"]) == ("Succeeded", [], [])
    assert (after.status, after.out.splitlines()[-1]) == (0, "In sync.")


@pytest.mark.usefixtures("empty_database")
def test_service_pushes_automatically_and_stops_cleanly(shell: Shell, tmp_path: Path) -> None:
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


PROGRESS = re.compile(r"[A-Z][a-z ]+: \d[\d,]* of \d[\d,]*")
"""A line of a command that takes more than a second, on a machine with other things to do."""


def test_demo_once_prints_a_summary(shell: Shell) -> None:
    answer = shell("demo", "--once", "--orders", "5")
    said = [line for line in answer.err.splitlines() if not PROGRESS.match(line)]
    assert (answer.status, said) == (0, [])
    assert "Read back from the org: 6 of 6 orders are equal in" in answer.out  # one of them was created by the rep
    assert "created 1 order, and asked for 4 actions: 3 carried out, 1 refused." in answer.out
    assert "Refused, and told to the rep: cancel of order SO-000002: 'Order SO-000002 is shipped" in answer.out
    assert "\nAll of it has come back.\n" in answer.out
    assert re.search(r"^Reconciled: (\d+) of \1 accounts, .* are equal field by field\.$", answer.out, re.M)
    assert re.search(
        r"^Customers were sent 5 confirmations, .*5 invoices.*: each exactly once, every invoice with its PDF\.$",
        answer.out,
        re.M,
    )


PAGES = ("/errors", "/conflicts")


def test_demo_continues_until_it_is_stopped(shell: Shell) -> None:
    process = shell.start("demo", "--orders", "3", "--rate", "4", "--console-port", "0")
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if "so far" in line:
            break
    mails = re.search(r"Mails +(http://\S+):", said)
    console = re.search(r"^ +(http://\S+/signin\?link=\S+)$", said, re.M)
    assert mails is not None
    assert console is not None
    with requests.Session() as browser:
        secret = console[1].rpartition("=")[2]
        home = browser.post(console[1].partition("?")[0], data={"link": secret}, timeout=30).text
        decisions = [browser.get(f"{console[1].rpartition('/')[0]}{path}", timeout=30).text for path in PAGES]
    texts = [requests.get(f"{mails[1]}/mails/{number}/text", timeout=30).text for number in (1, 2)]
    link = re.search(r"^Follow your order: (http://\S+)$", "\n".join(texts), re.M)
    assert link is not None
    page = requests.get(link[1], timeout=30)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=LONGEST)
    progress = re.compile(r"[A-Z][a-z ]+: \d+ of \d+")  # shown where it takes long
    assert (process.returncode, [line for line in err.splitlines() if not progress.fullmatch(line)]) == (0, [])
    assert "Stopped. " in out
    assert page.status_code == 200
    assert "How far it is" in page.text
    assert "1 conflict" in home
    assert ["C-2002" in decisions[0], "+49 170 5550177" in decisions[1]] == [True, True]


def test_demo_with_a_data_folder_can_be_run_again(shell: Shell) -> None:
    for _ in range(2):
        answer = shell("demo", "--once", "--orders", "2", "--data", "kept")
        assert (answer.status, answer.err) == (0, "")
        assert "Customers were sent 2 confirmations" in answer.out


@pytest.mark.usefixtures("empty_database")
def test_progress_is_a_bar_on_a_terminal_and_lines_in_a_pipe(shell: Shell) -> None:
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
    assert "Reading" in seen
    assert "Storing orders" in seen
    for line in shell("import", SHOP).err.splitlines():  # none, unless the machine is slow
        assert re.fullmatch(r"(Reading|Storing \w+): [\d, of]+( %)?", line)


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


@pytest.mark.usefixtures("empty_database")
def test_serve_logs_its_start_and_stop(shell: Shell) -> None:
    process = shell.start("serve")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith("Listening at ")
    started = [json.loads(process.stderr.readline()) for _ in range(3)]
    [worker] = json.loads(shell("workers", "list", "--json").out)
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate(timeout=LONGEST)
    assert (started[0]["event"], started[0]["roles"]) == ("started", ["api", "worker", "listener", "scheduler"])
    events = [line["event"] for line in (*started, *map(json.loads, rest.splitlines()))]
    assert {"listener started", "listener stopped", "org answers"} <= set(events)
    assert events[-1] == "stopped"
    assert process.returncode == 0
    assert (worker["pid"], worker["alive"], worker["roles"]) == (process.pid, True, started[0]["roles"])
    assert shell("workers", "list").out.startswith("No process of the service is running")
