"""`connector alerts`: what is open is listed, and every channel can be tried."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from datetime import timedelta
from pathlib import Path

import pytest

from connector.model.alert import AlertRule, Condition, compare
from connector.settings import Settings
from connector.store import alerts
from connector.store.schema import open_store
from tests.flow.cli.test_webhooks import Receiver, receiver  # noqa: F401
from tests.flow.cli_runner import Shell

SECRET = f"whsec_{b64encode(b'1' * 32).decode()}"


async def fail(database_url: str, *jobs: str) -> None:
    conditions = [Condition(rule=AlertRule.JOB_FAILED, subject=job, text=f"{job} failed.") for job in jobs]
    async with open_store(Settings(_env_file=None, database_url=database_url)) as store, store.transaction() as uow:
        changes = compare(await alerts.list_current(uow.connection), conditions, uow.now, timedelta(0))
        await alerts.apply(uow, changes, ["webhook"])


@pytest.mark.usefixtures("empty_database")
def test_alerts_are_listed_and_channels_tried(tmp_path: Path, receiver: Receiver) -> None:  # noqa: F811
    shell, url = Shell(tmp_path), f"sqlite:///{tmp_path / 'connector.db'}"
    assert shell("alerts", "list").out == "There is no open alert.\n"
    asyncio.run(fail(url, "prune", "push"))
    asyncio.run(fail(url, "push"))
    listed = shell("alerts", "list")
    assert ("push failed." in listed.out, "prune failed." in listed.out) == (True, False)
    assert "nobody yet" in listed.out
    everything = shell("alerts", "list", "--all", "--json").document["alerts"]
    assert [(item["subject"], item["ended_at"] is None) for item in everything] == [("push", True), ("prune", False)]

    missing = shell("alerts", "test")
    assert (missing.status, "Nobody is told of alerts." in missing.err) == (2, True)
    there = {"CONNECTOR_ALERTS__URL": f"http://127.0.0.1:{receiver.server_port}/in"}
    unsigned = shell("alerts", "test", **there)
    assert (unsigned.status, "CONNECTOR_ALERTS__SECRETS must be set" in unsigned.err) == (2, True)
    there["CONNECTOR_ALERTS__SECRETS"] = SECRET
    assert shell("alerts", "test", **there).out == "webhook: accepted.\n"
    receiver.status = 404
    told = shell("alerts", "test", **there).out
    assert told.splitlines()[-1] == (
        "A test is sent once. An alert that is not accepted is stored; the service sends it again."
    )
    nobody = {**there, "CONNECTOR_ALERTS__URL": "http://127.0.0.1:9/in"}
    told = shell("alerts", "test", "--json", **nobody).document["webhook"]
    assert told.startswith("The webhook cannot be reached. Check that it runs. Set CONNECTOR_ALERTS__URL")
    assert "again" not in told
    refused = shell("alerts", "test", "--json", **there)
    assert refused.status == 1
    assert "HTTP 404" in refused.document["webhook"]
    lonely = shell("alerts", "test", CONNECTOR_ALERTS__EMAIL_TO="ops@shop.example")
    assert "CONNECTOR_ALERTS__EMAIL_TO needs CONNECTOR_MESSAGES__SMTP_HOST" in lonely.err
    wrong = shell("alerts", "list", CONNECTOR_ALERTS__OFF="org_away, rain")
    assert "CONNECTOR_ALERTS__OFF must be some of org_away, changes_wait" in wrong.err
