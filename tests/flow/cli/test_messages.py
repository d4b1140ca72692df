"""`connector messages`, `connector mailcatcher`, and the service that sends messages."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.flow.cli_runner import LONGEST, SERVICE, Shell


@pytest.fixture(scope="module")
def catcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, str], str]]:
    """The settings that send mails to a catcher, and the address of its page."""
    process = Shell(tmp_path_factory.mktemp("catcher")).start("mailcatcher", "--smtp-port", "0", "--port", "0")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(10)]
    page = re.search(r"http://127\.0\.0\.1:\d+", lines[0])
    assert page is not None
    yield dict(re.findall(r"^export (\w+)=(.*)$", "".join(lines), re.M)), page[0]
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=LONGEST)
    assert (process.returncode, err) == (0, "")


@pytest.fixture(scope="session")
def bought(tmp_path_factory: pytest.TempPathFactory, upgraded: Path) -> Path:
    """A folder with a database that has two orders."""
    folder = tmp_path_factory.mktemp("bought")
    shutil.copytree(upgraded, folder, dirs_exist_ok=True)
    files = folder / "shop"
    files.mkdir()
    customers = "number,name,email,street,city,country\nC-1,Ada Ltd,ada@shop.example,Main St 1,Oslo,Norway\n"
    (files / "customers.csv").write_text(customers + "C-2,Mute Ltd,,Main St 2,Oslo,Norway\n")
    (files / "products.csv").write_text("sku,name,unit_price,currency\nTEA,Tea,10,USD\n")
    orders = "".join(f"O-{number},C-{number},2026-03-01T08:00:00Z,USD\n" for number in (1, 2))
    (files / "orders.csv").write_text(f"number,customer,placed_at,currency\n{orders}")
    (files / "order_lines.csv").write_text("order,line,sku,quantity,unit_price\nO-1,1,TEA,2,10\nO-2,1,TEA,2,10\n")
    assert Shell(folder)("import", "shop").status == 0
    return folder


@pytest.fixture
def caught(shell: Shell, bought: Path, catcher: tuple[dict[str, str], str]) -> tuple[Shell, str]:
    """A shop that sends its mails to a catcher, and the address of the catcher's page."""
    settings, page = catcher
    shutil.copytree(bought, shell.folder, dirs_exist_ok=True)
    return Shell(shell.folder, {**shell.settings, **settings}), page


def confirm(shell: Shell, number: str) -> None:
    for words in (("verify",), ("confirm",)):
        assert shell("act", number, *words).status == 0


def listed(shell: Shell, *words: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = shell("messages", "list", "--json", *words).document
    return found


def test_service_sends_due_messages_and_skips_customers_without_address(caught: tuple[Shell, str]) -> None:
    shell, page = caught
    confirm(shell, "O-1")
    confirm(shell, "O-2")
    assert "2 messages to customers to be sent." in shell("status").out
    service = shell.start(program=SERVICE)
    try:
        end = time.monotonic() + LONGEST
        while any(item["state"] == "due" for item in listed(shell)) and time.monotonic() < end:
            assert service.poll() is None, service.communicate()
            time.sleep(0.2)
    finally:
        service.send_signal(signal.SIGTERM)
        _, log = service.communicate(timeout=LONGEST)
    assert service.returncode == 0
    assert [(item["order"], item["state"], item["error"]) for item in listed(shell)] == [
        ("O-1", "sent", None),
        ("O-2", "skipped", "The customer has no e-mail address."),
    ]
    assert "ada@" not in log
    assert "Ada" not in log
    assert '"notifications"' in log
    mail = requests.get(f"{page}/mails/1/text", timeout=10).text
    assert mail.startswith("Your order O-1 is confirmed")
    assert "Follow" not in mail  # there is no public address to lead to


def test_messages_are_listed_shown_discarded_and_retried(caught: tuple[Shell, str]) -> None:
    shell, _ = caught
    assert shell("messages", "list").out == "No messages.\n"
    confirm(shell, "O-1")
    [message] = listed(shell)
    assert message["kind"] == "confirmation"
    assert listed(shell, "--state", "sent") == listed(shell, "--order", "O-2") == []
    table = shell("messages", "list").out
    assert re.search(r"^1 +O-1 +confirmation +due ", table, re.M)
    assert "Confirmation of order O-1: due" in shell("messages", "show", "1").out
    given_up = shell("messages", "discard", "1")
    assert (given_up.status, given_up.out) == (0, "1 message discarded.\n")
    assert "Then:      `connector messages retry 1`" in shell("messages", "show", "1").out
    again = shell("messages", "retry", "1", "7")
    nobody = "No process of the service is a scheduler now. `connector serve --roles scheduler` starts one.\n"
    assert (again.status, again.out) == (1, f"1 message due again. {nobody}")
    listing = "`connector messages list` shows all messages.\n"
    allowed = "Only failed, expired, skipped and discarded messages can be retried."
    assert again.err == f"connector: Not retried: 7. {allowed} {listing}"
    shell("messages", "discard", "1")
    assert shell("messages", "retry", "--state", "discarded").out == f"1 message due again. {nobody}"
    assert shell("messages", "retry", "--state", "discarded").out == "No messages.\n"
    assert shell("messages", "retry").err == (f"connector: messages retry: either ID or --state is required. {listing}")
    assert shell("messages", "retry", "1", "--json").document == {"retried": [], "left": [1]}
    assert "message retried" in shell("show", "order", "O-1").out
    for action in ("capture", "refund"):
        assert shell("act", "O-1", action, "--amount", "5").status == 0
    assert re.search(r"^2 +O-1 +refund +due ", shell("messages", "list").out, re.M)  # not its place in the history
    assert "Refund of order O-1: due" in shell("messages", "show", "2").out


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("list", "--state", "lost"), 2, "--state: invalid state 'lost'. Use one of due, sent,"),
        (("show", "9"), 1, "There is no message 9."),
        (("preview", "O-1", "advert"), 2, "KIND: invalid value 'advert'. Use one of confirmation,"),
        (("preview", "O-9", "confirmation"), 1, "There is no order O-9."),
        (("preview", "O-1", "invoice"), 1, "Order O-1 has no invoice. `connector act O-1 invoice` makes one;"),
        (("preview", "O-1", "shipment"), 1, "Order O-1 has no shipment in transit or delivered."),
        (
            ("preview", "O-1", "confirmation", "--html", "nowhere/x.html"),
            2,
            "--html: the folder nowhere does not exist.",
        ),
    ],
)
def test_unknown_message_kind_state_or_order_is_reported_in_one_line(
    caught: tuple[Shell, str], words: tuple[str, ...], status: int, says: str
) -> None:
    shell, _ = caught
    answer = shell("messages", *words)
    assert (answer.status, answer.out, answer.err.count("\n")) == (status, "", 1)
    assert answer.err.startswith(f"connector: {says}")


def test_preview_prints_the_message_as_it_would_be_sent(caught: tuple[Shell, str], tmp_path: Path) -> None:
    shell, _ = caught
    text = shell("messages", "preview", "O-1", "confirmation", CONNECTOR_HTTP__PUBLIC_URL="https://shop.example").out
    assert text.startswith("Subject: Your order O-1 is confirmed\n\nYour order O-1 is confirmed\n")
    assert "2 x Tea (TEA)" in text
    file = tmp_path / "mail.html"
    assert shell("messages", "preview", "O-1", "confirmation", "--html", file).out == f"Written to {file}.\n"
    assert "<h1" in file.read_text()
    own = tmp_path / "own"
    own.mkdir()
    (own / "confirmation.txt.j2").write_text("{{ it.oops }}")
    wrong = shell("messages", "preview", "O-1", "confirmation", CONNECTOR_MESSAGES__TEMPLATES_DIR=str(own))
    assert (wrong.status, wrong.err.count("\n")) == (2, 1)
    assert f"CONNECTOR_MESSAGES__TEMPLATES_DIR: {own}/confirmation.txt.j2:1: " in wrong.err


def test_mailcatcher_reports_a_port_in_use(caught: tuple[Shell, str]) -> None:
    shell, page = caught
    answer = shell("mailcatcher", "--smtp-port", "0", "--port", page.rpartition(":")[2])
    assert (answer.status, answer.out) == (1, "")
    assert "cannot be used: address already in use." in answer.err


@pytest.mark.usefixtures("empty_database")
def test_service_rejects_incomplete_mail_settings(shell: Shell) -> None:
    there = Shell(shell.folder, {**shell.settings, "CONNECTOR_MESSAGES__VIA": "smtp"})
    done = subprocess.run(
        SERVICE, env=there.environment, cwd=there.folder, capture_output=True, text=True, timeout=LONGEST, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("scheduler: CONNECTOR_MESSAGES__SENDER must be set: the sender of messages;")
    assert json.loads(there("status", "--json", CONNECTOR_MESSAGES__VIA="none").out)["messages"] == {
        "due": 0,
        "failed": 0,
    }
