"""`connector webhooks`: listed, posted, and sent again; what it says when the endpoint or the settings are wrong."""

from __future__ import annotations

import asyncio
import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from connector.model.change_notice import NewNotice
from connector.settings import Settings
from connector.store import change_notices
from connector.store.schema import open_store
from tests.flow.cli_runner import Shell

SECRET = f"whsec_{b64encode(b'1' * 32).decode()}"


class Receiver(HTTPServer):
    """Answers with `status`."""

    status = 200
    posts = 0


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts += 1
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def capture(database_url: str) -> None:
    notices = [NewNotice(type="order.updated", entity="order", key=f"O-{number}", data={}) for number in (1, 2)]
    async with open_store(Settings(_env_file=None, database_url=database_url)) as store, store.transaction() as uow:
        await change_notices.capture(uow, notices)


@pytest.mark.usefixtures("empty_database")
def test_notices_are_listed_posted_and_sent_again(tmp_path: Path, receiver: Receiver) -> None:
    shell = Shell(tmp_path)
    assert shell("webhooks", "list").out == "No notices.\n"
    asyncio.run(capture(f"sqlite:///{tmp_path / 'connector.db'}"))
    assert "2 change notices to be posted." in shell("status").out

    missing = shell("webhooks", "send")
    assert (missing.status, "CONNECTOR_WEBHOOKS__URL is not set." in missing.err) == (2, True)
    url = {"CONNECTOR_WEBHOOKS__URL": f"http://127.0.0.1:{receiver.server_port}/in"}
    unsigned = shell("webhooks", "send", **url)
    assert unsigned.status == 2
    assert "CONNECTOR_WEBHOOKS__SECRETS must be set: the key that signs notices" in unsigned.err
    wrong = shell("webhooks", "send", **url, CONNECTOR_WEBHOOKS__SECRETS=f"{SECRET},abc")
    assert (wrong.status, "abc" in wrong.err) == (2, False)
    there = Shell(tmp_path, {**url, "CONNECTOR_WEBHOOKS__SECRETS": SECRET})

    receiver.status = 422
    refused = there("webhooks", "send")
    assert (refused.status, refused.out) == (1, "0 notices sent, 0 postponed, 2 failed.\n")
    assert "2 change notices failed: `connector webhooks list --state failed` says why." in there("status").out
    assert "refused the message permanently (HTTP 422)" in there("webhooks", "list", "--state", "failed").out
    assert there("webhooks", "list", "--state", "odd").status == 2
    assert there("webhooks", "replay").status == 2
    assert there("webhooks", "replay", "17").status == 1

    receiver.status = 200
    assert there("webhooks", "replay", "--failed", "--json").document == {"replayed": [1, 2]}
    sent = there("webhooks", "send", "--json")
    assert (sent.status, sent.document["sent"]) == (0, 2)
    again = "1 notice due again: a running service or `connector webhooks send` sends them.\n"
    assert there("webhooks", "replay", "1").out == again
    assert there("webhooks", "replay", "--hours", "1", "--json").document == {"replayed": [1, 2]}
    assert there("webhooks", "send").out == "2 notices sent, 0 postponed, 0 failed.\n"
    assert [item["state"] for item in there("webhooks", "list", "--json").document] == ["sent", "sent"]
    assert receiver.posts == 6
