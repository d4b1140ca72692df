"""The setting that turns a job on."""

from __future__ import annotations

from connector.jobs.schedule import PULLED_OBJECTS, pull_job

_OF_ORGS = frozenset({"push", "reconcile", "heal", *(pull_job(sobject) for sobject in PULLED_OBJECTS)})
_LOGIN_URL = "CONNECTOR_SALESFORCE__LOGIN_URL"
_SETTINGS = {
    "order_automation": "CONNECTOR_ORDERS__AUTOMATION_SECONDS",
    "notifications": "CONNECTOR_MESSAGES__VIA",
    "webhooks": "CONNECTOR_WEBHOOKS__URL",
    "backup": "CONNECTOR_BACKUP__FOLDER",
    "alerts": "CONNECTOR_ALERTS__URL, CONNECTOR_ALERTS__EMAIL_TO or CONNECTOR_ALERTS__APPRISE_URLS",
    "mapping_drift": _LOGIN_URL,
}


def setting_of(job: str) -> str | None:
    """The setting without which there is no such job; None for one that is always there, and for a name of none."""
    name, _, org = job.partition("@")
    if name in _OF_ORGS:
        return f"CONNECTOR_ORGS__{org.upper()}__LOGIN_URL" if org else _LOGIN_URL
    return None if org else _SETTINGS.get(name)


def need_of(job: str) -> str | None:
    """What the job needs, as the end of a sentence; None for a job that needs nothing, and for a name of none."""
    setting = setting_of(job)
    if setting is None:
        return None
    of_org = job.partition("@")[0] in {*_OF_ORGS, "mapping_drift"}
    return f"it needs {'an org, which is named by' if of_org else 'the setting'} {setting}"
