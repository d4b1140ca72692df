"""Jobs that are paused, as a restored database has them, are said wherever somebody looks."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from connector.cli import jobs
from connector.cli.status import load_status
from connector.cli.status_remarks import paused_job_remarks
from connector.jobs.doctor.database_checks import check_jobs
from connector.log import configure
from connector.model.allowances import AllowancePolicies
from connector.model.health_check import CheckStatus
from connector.model.role import Role
from connector.process_roles import running_roles
from connector.settings.salesforce import SalesforceSettings
from connector.store import job_schedules, tokens
from connector.web.metrics import render_metrics
from tests.flow.conftest import World
from tests.flow.test_push import an_order

PAUSED = ["push", "reconcile"]


async def test_paused_jobs_are_in_status_readyz_and_doctor(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = world.service
    monkeypatch.setenv("CONNECTOR_DATABASE_URL", service.settings.database_url)
    monkeypatch.setenv("CONNECTOR_SALESFORCE__LOGIN_URL", world.org.url)
    await world.save([an_order("N-1")])
    assert (await check_jobs(service.store)).status is CheckStatus.PASS
    async with service.store.transaction() as uow:
        token = await tokens.create(uow, "viewer", Role.VIEWER)
        for job in PAUSED:
            await job_schedules.set_paused(uow, job, True, actor="root@cli")

    status = await load_status(check_files=False)
    [remark] = paused_job_remarks(status["paused_jobs"])
    assert remark.startswith("Paused, so that the service does not run them: push, reconcile (by root@cli since ")
    assert remark.endswith(" `connector jobs resume NAME` lets each go on.")
    check = await check_jobs(service.store)
    assert (check.status, f"{check.text} {check.fix}") == (CheckStatus.WARN, remark)
    async with TestClient(TestServer(service.web_app())) as client:
        ready = await client.get("/readyz")
        assert (ready.status, await ready.json()) == (200, {"status": "ready", "paused_jobs": PAUSED})
        answer = await (await client.get("/api/v1/status", headers={"Authorization": f"Bearer {token}"})).json()
    assert [(job["name"], job["by"]) for job in answer["paused_jobs"]] == [(job, "root@cli") for job in PAUSED]
    assert "; the jobs push and reconcile are paused until somebody resumes them; " in answer["summary"]

    metrics = (await render_metrics(service.store, AllowancePolicies(), [], ["prune", "push"])).decode()
    assert 'connector_job_paused{name="push"} 1.0' in metrics
    assert 'connector_job_paused{name="prune"} 0.0' in metrics
    configure("INFO")
    without_org = service.settings.model_copy(update={"salesforce": SalesforceSettings()})
    with capture_logs() as lines:
        async with running_roles(without_org, ["scheduler"]):
            pass
    notes = {line["event"]: line for line in lines if line["log_level"] == "warning"}
    assert notes["jobs paused"]["text"].startswith("Paused, so that the service does not run them: push, reconcile (")
    assert notes["no org configured"]["hint"] == "Set CONNECTOR_SALESFORCE__LOGIN_URL."

    # Nobody is there to run the others.
    views, is_run = await jobs._list_jobs()
    assert ([view.name for view in views if view.paused], is_run) == (PAUSED, False)
    assert (await jobs._run_now("prune", wait=False))[1] is False
