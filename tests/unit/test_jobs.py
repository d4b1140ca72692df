"""When jobs run: triggers, slots, and what the settings turn on."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from operator import attrgetter

import pytest
import structlog

from connector.errors import ApiBudgetError, UsageError
from connector.jobs.job_settings import need_of, setting_of
from connector.jobs.pull import PullSummary
from connector.jobs.pull_job import PullJob
from connector.jobs.push_loop import OutageLog
from connector.jobs.push_summary import PushSummary
from connector.jobs.schedule import define_jobs, latest_slot, next_slot, parse_trigger
from connector.model.job_run import JobTrigger
from connector.process_roles import choose_roles
from connector.settings import Settings
from connector.settings.reconcile import ReconcileSettings
from connector.store.outages import Outage

EVENING = datetime(2026, 3, 1, 22, 30, 7, tzinfo=UTC)


def at(hour: int, minute: int, second: float = 0) -> datetime:
    return datetime(2026, 3, 1, hour, minute, tzinfo=UTC) + timedelta(seconds=second)


def settings(**values: object) -> Settings:
    return Settings.model_validate({"_env_file": None, **values})


def names(**values: object) -> list[str]:
    return [job.name for job in define_jobs(settings(**values))]


ORG = {"login_url": "https://example.my.salesforce.com", "client_id": "c", "client_secret": "s"}
PULLS = ["pull_account", "pull_product2", "pull_order", "pull_orderitem"]


def test_the_settings_say_which_jobs_there_are() -> None:
    assert names() == ["triage", "prune"]
    assert names(salesforce=ORG) == ["push", *PULLS, "reconcile", "heal", "mapping_drift", "triage", "prune"]
    others = names(
        orders={"automation_seconds": 5},
        messages={"via": "smtp", "sender": "orders@shop.example", "smtp_host": "localhost"},
        webhooks={"url": "https://erp.example/hook", "secrets": "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
        alerts={"apprise_urls": "ntfys://ntfy.example/ops"},
    )
    assert names(backup={"folder": "/backups"}) == ["backup", "triage", "prune"]
    assert others == ["order_automation", "notifications", "webhooks", "alerts", "triage", "prune"]


def test_each_job_that_is_off_by_default_names_the_setting_that_it_needs() -> None:
    on = names(
        salesforce=ORG,
        orgs={"emea": {"login_url": "https://emea.example"}},
        orders={"automation_seconds": 5},
        messages={"via": "smtp", "sender": "orders@shop.example", "smtp_host": "localhost"},
        webhooks={"url": "https://erp.example/hook", "secrets": "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
        alerts={"apprise_urls": "ntfys://ntfy.example/ops"},
        backup={"folder": "/backups"},
    )
    always = names()
    assert [job for job in on if setting_of(job) is None] == always
    for job in set(on) - set(always):
        for setting in re.findall(r"CONNECTOR_(\w+)", setting_of(job) or ""):
            *groups, name = setting.lower().split("__")
            fields = attrgetter(groups[0] if groups[0] != "orgs" else "salesforce")(settings())
            assert name in type(fields).model_fields, setting
    assert need_of("push@emea") == "it needs an org, which is named by CONNECTOR_ORGS__EMEA__LOGIN_URL"
    assert need_of("nightly") is None


def test_objects_are_pulled_by_time_only_if_nobody_listens() -> None:
    def triggers(listen: bool) -> set[JobTrigger | None]:
        jobs = define_jobs(settings(salesforce=ORG, inbound={"listen": listen}))
        return {job.trigger for job in jobs if job.name in PULLS}

    assert triggers(True) == {None}
    assert triggers(False) == {JobTrigger(seconds=300)}


def test_reconciliation_has_no_time_if_it_is_off() -> None:
    def trigger(hour: str) -> JobTrigger | None:
        jobs = define_jobs(settings(salesforce=ORG, reconcile={"hour": hour}))
        return next(job.trigger for job in jobs if job.name == "reconcile")

    assert trigger("off") is None
    assert trigger("07") == JobTrigger(cron="0 7 * * *")
    assert ReconcileSettings(hour="off").nightly_hour is None


@pytest.mark.parametrize(
    ("trigger", "latest", "following"),
    [
        (JobTrigger(seconds=5), at(22, 30, 5), at(22, 30, 10)),
        (JobTrigger(seconds=0.5), EVENING, at(22, 30, 7.5)),
        (JobTrigger(cron="0 2 * * *"), at(2, 0), datetime(2026, 3, 2, 2, tzinfo=UTC)),
        (JobTrigger(cron="* * * * *"), at(22, 30), at(22, 31)),
        (JobTrigger(cron="0 4 * * 0"), at(4, 0), datetime(2026, 3, 8, 4, tzinfo=UTC)),  # 1 March is a Sunday
        (JobTrigger(cron="0 4 * * 7"), at(4, 0), datetime(2026, 3, 8, 4, tzinfo=UTC)),
        (JobTrigger(cron="0 4 * * 1-5"), datetime(2026, 2, 27, 4, tzinfo=UTC), datetime(2026, 3, 2, 4, tzinfo=UTC)),
        (JobTrigger(cron="0 4 * * 0-6"), at(4, 0), datetime(2026, 3, 2, 4, tzinfo=UTC)),
        (JobTrigger(cron="0 4 * * */2"), at(4, 0), datetime(2026, 3, 3, 4, tzinfo=UTC)),
        (JobTrigger(cron="0 4 * * mon-wed"), datetime(2026, 2, 25, 4, tzinfo=UTC), datetime(2026, 3, 2, 4, tzinfo=UTC)),
        (JobTrigger(cron="0 4 * * mon,3"), datetime(2026, 2, 25, 4, tzinfo=UTC), datetime(2026, 3, 2, 4, tzinfo=UTC)),
        (JobTrigger(cron="0 0 1 1 *"), datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_slots_are_the_same_in_every_process(trigger: JobTrigger, latest: datetime, following: datetime) -> None:
    assert latest_slot(trigger, EVENING) == latest
    assert next_slot(trigger, EVENING) == following
    assert latest_slot(trigger, following) == following


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "Give either an interval"),
        ({"seconds": 5.0, "cron": "* * * * *"}, "Give either an interval"),
        ({"seconds": 0.5}, "The interval must be between 1 second and 31 days"),
        ({"seconds": 1e8}, "The interval must be between"),
        ({"cron": "every day"}, "cannot be read"),
        ({"cron": "61 * * * *"}, "cannot be read"),
        ({"cron": "* * * * * *"}, "cannot be read"),
        ({"cron": "* * * * 8"}, "cannot be read"),
        ({"cron": "* * * * 5-2"}, "cannot be read"),
    ],
)
def test_a_wrong_trigger_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_trigger(**given)  # type: ignore[arg-type]
    assert "30 2 * * *" in caught.value.hint


def test_roles_are_those_that_the_settings_allow() -> None:
    assert choose_roles(settings(), None) == ["api", "scheduler"]
    assert choose_roles(settings(salesforce=ORG), None) == ["api", "worker", "listener", "scheduler"]
    assert choose_roles(settings(salesforce=ORG, inbound={"listen": False}), None) == ["api", "worker", "scheduler"]
    assert choose_roles(settings(salesforce=ORG), ["scheduler", "api"]) == ["api", "scheduler"]
    with pytest.raises(UsageError, match="invalid role 'boss'"):
        choose_roles(settings(), ["boss"])
    with pytest.raises(UsageError, match="the worker cannot run") as caught:
        choose_roles(settings(), ["worker"])
    assert "CONNECTOR_SALESFORCE__LOGIN_URL" in caught.value.hint


def test_outage_is_logged_when_it_begins_changes_its_code_and_ends() -> None:
    def summary(code: str | None) -> PushSummary:
        if code is None:
            return PushSummary()
        now = datetime(2026, 3, 1, tzinfo=UTC)
        return PushSummary(
            outage=Outage(code=code, message="No.", fix="Do.", detail="", since=now, attempts=1, next_attempt_at=now)
        )

    log = OutageLog()
    with structlog.testing.capture_logs() as lines:
        for code in (None, "A", "A", "A", "B", "B", None, None, "A"):
            log.tell(summary(code))
    told = [(line["event"], line["code"]) for line in lines]
    assert told == [("org_outage", "A"), ("org_outage", "B"), ("org_outage_over", "B"), ("org_outage", "A")]


async def test_pull_that_waits_for_calls_keeps_one_run_until_it_goes_on() -> None:
    answers: list[PullSummary | ApiBudgetError] = [
        ApiBudgetError("Calls pause."), ApiBudgetError("Calls pause, with another number."), PullSummary(),
        ApiBudgetError("Calls pause again."),
    ]  # fmt: skip

    async def pull() -> PullSummary:
        answer = answers.pop(0)
        if isinstance(answer, ApiBudgetError):
            raise answer
        return answer

    job = PullJob(pull)
    assert [await job() for _ in range(4)] == [{"paused": "Calls pause."}, {}, {}, {"paused": "Calls pause again."}]
