"""Set-up says of each step what is known, examines the org only when asked, and never shows a secret."""

from __future__ import annotations

from datetime import UTC, datetime

from connector.model.health_check import DoctorReport, HealthCheck, failed, passed, skipped
from connector.model.record import Link
from connector.model.role import Role
from connector.store import links, orgs
from connector.web.console.setup import OF_LOGIN, OF_MAPPINGS, OF_METADATA, OF_SETTINGS, StepState, _steps
from tests.web.conftest import Api
from tests.web.test_console import open_page, sign_in

ALL = (*OF_SETTINGS, *OF_LOGIN, *OF_METADATA, *OF_MAPPINGS)


def report(*checks: HealthCheck) -> DoctorReport:
    """One with these checks; the others have passed."""
    given = {check.name: check for check in checks}
    every = [given.get(name, passed(name, "It is well.")) for name in ALL]
    return DoctorReport(
        checked_at=datetime(2026, 3, 1, tzinfo=UTC), seconds=1, api_calls=7, healthy=not given, checks=every
    )


def states(found: DoctorReport | None, *, customers: int = 0, orders: int = 0, has_org: bool = True) -> list[str]:
    linked = {"customer": customers, "order": orders}
    steps = _steps(found, is_configured=True, has_org=has_org, linked=linked, entities={})
    return [step.state.value for step in steps]


def test_first_step_that_is_not_done_is_the_next_one() -> None:
    assert states(None, has_org=False) == ["done", "unknown", "unknown", "unknown", "next", "later"]
    assert states(None, customers=1) == ["done", "done", "unknown", "unknown", "done", "next"]
    assert states(report(), customers=1, orders=1) == ["done"] * 6
    lacking = failed("fields", "3 fields are missing.", "`connector org deploy`", ["Order.Lifecycle_Stage__c"])
    assert states(report(lacking)) == ["done", "done", "wrong", "done", "later", "later"]
    nobody = report(*(skipped(name, "No org is configured.") for name in (*OF_LOGIN, *OF_METADATA, *OF_MAPPINGS)))
    assert states(nobody, has_org=False)[:3] == ["done", "next", "later"]
    [step] = [
        step
        for step in _steps(report(lacking), is_configured=True, has_org=True, linked={}, entities={})
        if step.state is StepState.WRONG
    ]
    assert (step.fixes, step.details) == (["`connector org deploy`"], ["Order.Lifecycle_Stage__c"])


async def test_set_up_examines_only_when_somebody_asks(api: Api) -> None:
    await sign_in(api)
    answer, text = await open_page(api, "/setup")
    assert (answer.status, "is not checked yet" in text, "All checks" in text) == (200, True, False)
    async with api.store.transaction() as uow:
        await orgs.put(uow, "00D", login_url="", instance_url="https://org.example", is_active=True)
        link = Link(entity="order", key="W-1", sobject="Order", salesforce_id="801000000000001", snapshot={})
        await links.put(uow, "00D", [link])
    _, text = await open_page(api, "/setup?check=yes")
    for part in ("All checks", "mapping files", "No org is configured", "1 orders are in the org", "00D"):
        assert part in text, part
    answer, text = await open_page(api, "/setup?check=yes", headers={"HX-Request": "true"})
    assert (answer.status, text) == (204, "")  # an open page follows changes, and the org is left alone
    assert (await open_page(api, "/setup", headers={"HX-Request": "true"}))[0].status == 200

    api.client.session.cookie_jar.clear()
    await sign_in(api, Role.VIEWER)
    assert (await open_page(api, "/setup"))[0].status == 403


async def test_doctor_and_set_up_use_the_same_names(api: Api) -> None:
    names = {check["name"] for check in (await api("GET", "/doctor", role=Role.OPS)).body["checks"]}
    assert set(ALL) <= names
