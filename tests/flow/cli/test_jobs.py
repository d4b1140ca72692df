"""Jobs, resyncs and causes of dead letters from the shell, without a service: what is asked for waits for one."""

from __future__ import annotations

import json
import os
import pwd

from tests.flow.cli_runner import Shell


def test_jobs_and_resyncs_from_the_shell(shell: Shell) -> None:
    shell("db", "upgrade")
    asked = shell("jobs", "run", "reconcile").out.splitlines()
    nobody = "No process of the service is a scheduler now: start one with `connector serve`."
    assert asked[:2] == ["Run 1 of reconcile waits for a scheduler.", nobody]
    assert shell("jobs", "list").out.endswith(f"\n{nobody} Until then no job runs.\n")
    assert json.loads(shell("jobs", "show", "1", "--json").out)["state"] == "waiting"
    assert "  Run: asked for by " in shell("jobs", "show", "1").out
    assert shell("jobs", "pause", "prune").out == "prune is paused.\n"
    assert shell("jobs", "pause", "prune").out == "prune was paused already.\n"
    paused = shell("jobs", "pause", "prune", "--json").document
    assert (paused["name"], paused["changed"], paused["paused"]) == ("prune", False, True)
    jobs = {job["name"]: job for job in json.loads(shell("jobs", "list", "--json").out)}
    assert (jobs["prune"]["paused"], jobs["reconcile"]["last_run"]["id"]) == (True, 1)
    assert shell("jobs", "set", "pull_order", "--every", "60").out.startswith("pull_order runs every 60 s, next at ")
    refused = shell("jobs", "set", "push", "--every", "60")
    assert (refused.status, "It can be paused." in refused.err) == (1, True)

    started = json.loads(shell("resyncs", "start", "order", "--key", "O-1", "--stage", "placed", "--json").out)
    assert (started["preview"]["count"], started["resync"]["state"]) == (0, "waiting")
    assert shell("resyncs", "pause", "1").out.startswith("Resync 1 (push order, keys=O-1, stage=placed): paused\n")
    assert shell("resyncs", "cancel", "1").status == 0
    again = shell("resyncs", "cancel", "1")
    assert (again.status, "cancel is not possible now" in again.err) == (1, True)
    assert shell("resyncs", "start", "return").status == 1
    refused_return = shell("resyncs", "start", "return", "--refused-since", "2026-01-31", "--dry-run")
    assert refused_return.out.startswith("0 returns.\n")
    assert "No such order is here: O-1.\n" in shell("resyncs", "start", "order", "--key", "O-1", "--dry-run").out
    unknown = shell("resyncs", "start", "order", "--customer", "NOBODY")
    assert (unknown.status, "there is no customer 'NOBODY'" in unknown.err) == (1, True)
    assert shell("dead-letters", "list", "--by-cause").out == "No dead letters.\n"

    shell("tokens", "create", "--role", "viewer", "--name", "screen")
    audit = json.loads(shell("audit", "--json").out)
    assert [(item["action"], item["entity"], item["key"]) for item in audit] == [
        ("created", "token", "screen"), ("canceled", "resync", "1"), ("paused", "resync", "1"),
        ("asked", "resync", "1"), ("rescheduled", "job", "pull_order"), ("paused", "job", "prune"),
        ("run", "job", "reconcile"),
    ]  # fmt: skip
    user = f"{pwd.getpwuid(os.getuid()).pw_name}@cli"
    assert {item["actor"] for item in audit} == {user}
    assert f"{user}  created  token screen  role: viewer\n" in shell("audit", "--entity", "token").out
    shell("tokens", "revoke", "screen", SUDO_USER="ann")  # who called sudo, not whom it made of them
    caller = user if os.getuid() else "ann@cli"  # only root is believed
    assert shell("audit", "--json", "--actor", caller).document[0]["action"] == "revoked"
    assert shell("sessions", "list").out == "Nobody is signed in by OpenID Connect.\n"
    assert "Nobody is signed in as kim@example.com." in shell("sessions", "end", "kim@example.com").err
    assert shell("audit", "--actor", "nobody").out == "Nothing of the kind was done.\n"
    assert shell("jobs", "set", "pull_order", "--default", "--json").document["seconds"] is None
    resumed = shell("jobs", "resume", "prune", "--json").document
    assert (resumed["changed"], resumed["paused"]) == (True, False)


def test_resync_says_that_it_waits_for_a_worker_if_none_runs(shell: Shell, empty_database: None) -> None:
    waits = shell("resyncs", "start", "order", "--key", "O-1").out
    assert waits.endswith(" says how far it is. No process of the service is a worker now: it waits for one.\n")


def test_job_that_the_settings_turn_off_names_the_setting_that_it_needs(shell: Shell, empty_database: None) -> None:
    shell("jobs", "pause", "push")
    shell.settings.clear()  # as a shell in which nobody has set the org
    asked = shell("jobs", "run", "push")
    assert (asked.status, asked.err) == (1, (
        "connector: The job push is off: it needs an org, which is named by CONNECTOR_SALESFORCE__LOGIN_URL."
        " Set it where this runs, as for the service.\n"
    ))  # fmt: skip
    assert "needs the setting CONNECTOR_ORDERS__AUTOMATION_SECONDS." in shell("jobs", "run", "order_automation").err
    assert "There is no job nightly. Use one of triage, prune." in shell("jobs", "run", "nightly").err
    assert "There is no job push@nowhere. Use one of triage, prune." in shell("jobs", "run", "push@nowhere").err
    other_org = {"CONNECTOR_ORGS__EMEA__LOGIN_URL": "https://emea.example"}
    assert "There is no job push. Use one of " in shell("jobs", "run", "push", **other_org).err
    [push] = [job for job in shell("jobs", "list", "--json").document if job["name"] == "push"]
    assert (push["paused"], push["trigger"]) == (True, "off")
    assert shell("jobs", "resume", "push").out == (
        "push is not paused any more. The settings turn it off: it needs an org, which is named by"
        " CONNECTOR_SALESFORCE__LOGIN_URL.\n"
    )
