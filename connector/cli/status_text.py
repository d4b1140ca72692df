"""Remarks of `connector status`: an outage of the org, the API budget, messages and notices."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from connector.cli.output import moment
from connector.wording import plural

if TYPE_CHECKING:
    from connector.outbound.budget_status import BudgetStatus

MOST_DRIFTS = 5
"""Changes in the org that are named one by one."""


def budget_document(status: BudgetStatus | None) -> dict[str, Any] | None:
    """Where the API budget stands as one JSON object, also as a sentence; None before the first sign-in to an org."""
    return None if status is None else asdict(status) | {"text": _budget_text(status)}


def budget_remarks(budget: dict[str, Any] | None) -> list[str]:
    """Remarks about the API budget."""
    return [] if budget is None or budget["text"] is None else [budget["text"]]


def _budget_text(status: BudgetStatus) -> str | None:
    """What is used, how long the rest lasts, and what pauses, for a person; None if nothing was called yet."""
    if status.reason is not None:
        waiting = sum(status.waiting.values())
        since = "" if status.since is None else f" (since {moment(status.since)})"
        what = f"{plural(waiting, 'change')} waiting for API calls{since}: " if waiting else ""
        return what + status.reason
    if status.left is None:
        return f"API budget: {plural(status.ours, 'call')} of ours in 24 hours." if status.ours else None
    text = f"API budget: {plural(status.ours, 'call')} of ours in 24 hours, {status.left:,} left"
    if status.used is not None and status.allowed is not None:
        at = "" if status.observed_at is None else f" at {moment(status.observed_at)}"
        text += f" (the org counted {status.used:,} of {status.allowed:,}{at};"
        text += f" {status.reserve:,} are reserved for its other apps)"
    if status.runs_out_at is not None:
        text += f", until {moment(status.runs_out_at)} at {status.per_hour:,.0f} an hour"
    return f"{text}."


def outage_remarks(outage: dict[str, Any] | None) -> list[str]:
    """Remarks about an outage of the org."""
    if outage is None:
        return []
    since = moment(outage["since"])
    text = f"The org has accepted nothing since {since}: {outage['message']} {outage['fix']}".strip()
    if outage["detail"]:
        text += f" The org's message: {outage['detail']}"
    # A time that has passed says only that no service has tried since.
    service = ""
    if outage["retry_expected"]:
        service = f" a running service tries again at {moment(outage['next_attempt_at'])},"
    return [f"{text} All changes stay due;{service} `connector push` tries again at once."]


def how_to_send(due: int, document: dict[str, Any]) -> str:
    """How the changes that are to be sent are sent; nothing if another remark says why they are not."""
    if document["mappings"]["file_problem"] is not None or document["outage"] is not None:
        return ""
    sendable = due - sum((document["budget"] or {"waiting": {}})["waiting"].values())
    if sendable < due:
        return f": `connector push` sends {sendable:,} of them" if sendable > 0 else ""
    return f": `connector push` sends {'it' if due == 1 else 'them'}"


def paused_job_remarks(jobs: list[dict[str, Any]]) -> list[str]:
    """A remark about jobs that the service does not run."""
    from connector.api.paused_jobs import describe_paused_jobs
    from connector.model.job_run import PausedJob

    return [" ".join(describe_paused_jobs([PausedJob(**job) for job in jobs]))] if jobs else []


def message_remarks(notifications: dict[str, int]) -> list[str]:
    """Remarks about messages to customers, which do not depend on the org."""
    remarks = [f"{plural(notifications['due'], 'message')} to customers to be sent."] if notifications["due"] else []
    if notifications["failed"]:
        failed = plural(notifications["failed"], "message")
        remarks.append(f"{failed} to customers failed: `connector messages list --state failed` says why.")
    return remarks


def webhook_remarks(notices: dict[str, int]) -> list[str]:
    """Remarks about notices to the company's own systems."""
    remarks = [f"{plural(notices['due'], 'change notice')} to be posted."] if notices["due"] else []
    if notices["failed"]:
        failed = plural(notices["failed"], "change notice")
        remarks.append(f"{failed} failed: `connector webhooks list --state failed` says why.")
    return remarks


def other_org_remarks(others: list[dict[str, Any]]) -> list[str]:
    """Remarks about the orgs besides the default one."""
    more = "`CONNECTOR_ORG={name} connector status` says more."
    return [f"{o['text']} {more.format(**o) if o['configured'] else 'The settings name no such org.'}" for o in others]


def mapping_remarks(mappings: dict[str, Any]) -> list[str]:
    """Remarks about mapping files that cannot be used, or are not, from here or by a running service."""
    own = [mappings[name] for name in ("file_problem", "file_note") if mappings[name] is not None]
    own += [
        f"A change in the org concerns the mappings since {moment(item['first_seen'])}: {item['text']}"
        f" ({', '.join(item['places'])})"
        for item in mappings["drift"][:MOST_DRIFTS]
    ]
    if len(mappings["drift"]) > MOST_DRIFTS:
        own.append(f"And {len(mappings['drift']) - MOST_DRIFTS} more: `connector mappings drift` lists them.")
    return own + [
        f"The service cannot use the edited mapping files ({item['source']}): {item['problem']}"
        for item in mappings["problems"]
        if item["problem"] not in own
    ]
