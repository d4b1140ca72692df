"""Remarks of `connector status`: what is not in sync, an outage of the org, the API budget, messages and notices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from connector.cli.output import moment
from connector.cli.topic_text import event_remarks
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


def deleted_remark(entities: Sequence[tuple[str, str]]) -> str:
    """Say which entities the org lacks because their record was deleted there, and what to do."""
    from connector.store.references import listed_keys

    named = listed_keys([f"{entity} {key}" for entity, key in entities])
    how = "`connector resync ENTITY KEY --recreate` creates one again."
    return f"{plural(len(entities), 'record')} deleted in the org: {named}. {how}"


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


def sync_remarks(document: dict[str, Any]) -> list[str]:
    from connector.store.references import listed_keys

    entities = document["entities"].values()
    if (other := document["other_org"]) is not None:
        return [_other_org_remark(document, other)]
    if not any(numbers["here"] for numbers in entities):
        return ["The database is empty: `connector import PATH` brings orders in."]
    if document["in_sync"]:
        return [f"In sync with org {document['org']}."]
    remarks = []
    if document["org"] is None and document["name"]:
        remarks.append("It has not been signed in to yet: `connector push` does so, and sends all products too.")
    if due := sum(numbers["due"] for numbers in entities):
        since, how = moment(document["oldest_unsent"]), how_to_send(due, document)
        remarks.append(f"{plural(due, 'change')} to be sent, the oldest since {since}{how}.")
    remarks += [
        f"{plural(item['changes'], 'change')} postponed by the org: {item['error']}" for item in document["postponed"]
    ]
    if dead := sum(numbers["refused"] for numbers in entities):
        remarks.append(f"{plural(dead, 'dead letter')}: `connector dead-letters list` says why and what to do.")
    if any(numbers["blocked"] for numbers in entities):
        remarks.append("A customer is blocked while the org refuses its account; its orders are the dead letters.")
    if document["discarded"]:
        named = listed_keys([f"{item['entity']} {item['key']}" for item in document["discarded"]])
        remarks.append(
            f"{plural(len(document['discarded']), 'change')} discarded, which the org does not have: {named}."
            " `connector resync ENTITY KEY` sends one after all."
        )
        if document["complete"]:
            remarks.append(f"Everything else is in sync with org {document['org']}.")
    if document["deleted_in_org"]:
        remarks.append(deleted_remark([(item["entity"], item["key"]) for item in document["deleted_in_org"]]))
    return remarks


def inbound_remarks(inbound: dict[str, Any]) -> list[str]:
    """Name what came from the org and waits for a person, and what is streamed or polled."""
    remarks = []
    if inbound["conflicts"]:
        remarks.append(f"{plural(inbound['conflicts'], 'conflict')} to be resolved: `connector conflicts list`.")
    if inbound["parked"]:
        remarks.append(f"{plural(inbound['parked'], 'record')} could not be applied: `connector inbox list` says why.")
    remarks += [item["text"] for item in inbound["deliveries"]]
    return remarks + event_remarks(inbound["events"], datetime.now(UTC))


def reconciliation_remarks(reconciliation: dict[str, Any] | None) -> list[str]:
    """Say what the latest comparison of both sides came to."""
    if reconciliation is None:
        return []
    verified, total = reconciliation["verified"], reconciliation["total"]
    text = f"{verified:,} of {total:,} verified at {moment(reconciliation['verified_at'])}."
    if reconciliation["differing"]:
        text += f" {plural(reconciliation['differing'], 'difference')}: `connector reconcile` lists them."
    return [text]


def _other_org_remark(document: dict[str, Any], other: dict[str, Any]) -> str:
    setting, ours = other["setting"], f"org {document['org']} ({document['org_address']})"
    if other["org"] is None:
        return (
            f"{setting} has changed to {other['address']}: `connector push --dry-run` shows whether it is still {ours}."
        )
    return (
        f"{setting} leads to org {other['org']} ({other['address']}), but this database works with {ours}: nothing is"
        f" sent. If you want to switch, run `connector org use {other['org']}`; else correct {setting}."
    )
