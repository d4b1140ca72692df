"""`connector status`: what is here, in the org, due and refused."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli import app
from connector.cli.output import as_json, paragraph, table
from connector.cli.runner import run
from connector.cli.status_remarks import (
    budget_document,
    budget_remarks,
    inbound_remarks,
    mapping_remarks,
    message_remarks,
    other_org_remarks,
    outage_remarks,
    paused_job_remarks,
    reconciliation_remarks,
    sync_remarks,
    webhook_remarks,
)

if TYPE_CHECKING:
    from connector.settings import Settings
    from connector.store.engine import Connection
    from connector.store.orgs import KnownOrg


@app.command(short_help="Count what is here, in the org, due and refused.")
def status(
    json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
    health: Annotated[bool, typer.Option("--health", help="Only check that the database can be used.")] = False,
) -> None:
    """Count the entities that are stored here, are in the org, are due, and were refused. Reads only the database.

    Refused ones are dead letters, which wait for a person; blocked ones are customers whose account the org refuses.
    With several orgs it counts those of the default one, or of CONNECTOR_ORG. Exit status 1 if something is not in
    sync, but for changes that a person discarded; with --health only if the database cannot be used.
    """
    document = run(load_status(check_files=not health))
    if json:
        as_json(document)
    elif health:
        typer.echo(f"{document['database']} can be used.")
        for text in outage_remarks(document["outage"]):
            typer.echo(text)
    else:
        rows = [(kind, *numbers.values()) for kind, numbers in document["entities"].items()]
        table(("Entity", "here", "in the org", "due", "refused", "blocked", "discarded"), rows)
        texts = (
            *sync_remarks(document),
            *paused_job_remarks(document["paused_jobs"]),
            *outage_remarks(document["outage"]),
            *budget_remarks(document["budget"]),
            *mapping_remarks(document["mappings"]),
        )
        more = (*message_remarks(document["messages"]), *webhook_remarks(document["webhooks"]))
        inbound = (*reconciliation_remarks(document["reconciliation"]), *inbound_remarks(document["inbound"]))
        others = other_org_remarks(document["other_orgs"])
        for text in (*texts, *inbound, *more, *others):
            paragraph(text)
    if document["readable_by_others"] and not json:
        file = document["database"].removeprefix("sqlite:///")
        typer.echo(
            f"Other users of this machine can read {file}, which holds customer data: run `chmod 600 {file}*`.",
            err=True,
        )
    if not health and not (document["complete"] and all(item["in_sync"] for item in document["other_orgs"])):
        raise typer.Exit(1)


async def load_status(*, check_files: bool) -> dict[str, Any]:
    from connector.api.serializers import serialize_reconciliation
    from connector.model.change import ChangeState, EntityKind
    from connector.model.change_notice import NoticeState
    from connector.model.notification import MessageState
    from connector.orders.org_routes import parse_routes
    from connector.outbound.budget_status import load_budget_status
    from connector.outbound.other_orgs import describe_other_org, load_other_orgs
    from connector.settings import load_settings
    from connector.store import (
        api_calls,
        change_notices,
        dead_letters,
        deleted_records,
        job_schedules,
        mapping_drifts,
        mapping_versions,
        notifications,
        orgs,
        outages,
        outbox_counts,
        reconcile_runs,
        retry_schedule,
    )
    from connector.store.queries.entity_counts import count_entities
    from connector.store.schema import open_store

    settings = load_settings()
    parse_routes(settings)  # else a service would refuse what this command accepts
    policy = api_calls.policy_of(settings.budget)
    async with open_store(settings) as opened, (store := opened.for_org(settings.org)).reader() as connection:
        here = await count_entities(connection)
        org = await orgs.get_active(connection)
        other = await _find_other_org(connection, org, settings)
        linked = await deleted_records.count_in_org(connection, org.org_id) if org else {}
        unsent = await outbox_counts.counts(connection)
        discarded = await dead_letters.list_discarded(connection)
        missing = await deleted_records.list_missing(connection, org.org_id) if org else []
        oldest = await retry_schedule.oldest_capture(connection)
        message_counts = await notifications.counts(connection)
        notice_counts = await change_notices.counts(connection)
        mapping = await mapping_versions.get_active(connection)
        drifts = await mapping_drifts.list_drifts(connection, org.org_id) if org else []
        mapping_problems = await mapping_versions.list_problems(connection, store.clock.now() - timedelta(minutes=5))
        file_problem, file_note = await _find_file_problem(connection, settings) if check_files else (None, None)
        reconciled = await reconcile_runs.latest(connection, org.org_id) if org else None
        outage = await outages.get_current(connection)
        postponed = await retry_schedule.count_postponed_by_error(connection)
        complete = (
            other is None
            and (org is not None or not any(here.values()))
            and not missing
            and file_problem is None
            and not any(unsent[kind][state] for kind in EntityKind for state in ChangeState)
        )
        return {
            "database": store.address,
            "readable_by_others": store.readable_by_others,
            "name": settings.org,
            "org": org.org_id if org else None,
            "org_address": (org.instance_url or None) if org else None,
            "other_org": other,
            "entities": {
                kind.value: {
                    "here": here[kind],
                    "in_org": linked.get(kind.value, 0),
                    **{state.word: unsent[kind][state] for state in ChangeState},
                    "discarded": sum(entity is kind for entity, _ in discarded),
                }
                for kind in EntityKind
            },
            "discarded": [{"entity": kind.value, "key": key} for kind, key in discarded],
            "deleted_in_org": [{"entity": entity, "key": key} for entity, key in missing],
            "oldest_unsent": oldest,
            "mappings": {
                "version": mapping.number if mapping else None,
                "activated_at": mapping.activated_at if mapping else None,
                "source": mapping.source if mapping else None,
                "author": mapping.author if mapping else None,
                "note": mapping.note if mapping else None,
                "file_problem": file_problem,
                "file_note": file_note,
                "drift": [asdict(item.drift) | {"first_seen": item.first_seen} for item in drifts],
                "problems": [{"source": item.source, "problem": item.problem} for item in mapping_problems],
            },
            "outage": None
            if outage is None
            else {**asdict(outage), "retry_expected": outage.next_attempt_at > store.clock.now()},
            "budget": budget_document(
                await load_budget_status(connection, org.org_id if org else None, store.clock.now(), policy)
            ),
            "postponed": [{"error": error, "changes": number} for error, number in postponed],
            "inbound": await _load_inbound(connection, org, settings, store.clock.now()),
            "reconciliation": None if reconciled is None else serialize_reconciliation(reconciled),
            "messages": {"due": message_counts[MessageState.DUE], "failed": message_counts[MessageState.FAILED]},
            "webhooks": {"due": notice_counts[NoticeState.DUE], "failed": notice_counts[NoticeState.FAILED]},
            "paused_jobs": [asdict(job) for job in await job_schedules.list_paused(connection)],
            "other_orgs": []
            if settings.works_for_one_org
            else [
                asdict(item)
                | {
                    "configured": item.name in settings.orgs,
                    "in_sync": item.is_quiet,
                    "text": describe_other_org(item),
                }
                for item in await load_other_orgs(opened, policy, configured=settings.orgs)
            ],
            "complete": complete,
            "in_sync": complete and not discarded,
        }


async def _load_inbound(connection: Connection, org: KnownOrg | None, settings: Settings, now: datetime) -> Any:
    """Return what came from the org and waits, and how each topic is read; deliveries also as a sentence."""
    from connector.cli.delivery_text import delivery_text
    from connector.inbound.inbound_status import load_inbound_status
    from connector.inbound.topic_status import TopicStatusKind
    from connector.store import deliveries

    policy = deliveries.policy_of(settings.inbound)
    status = await load_inbound_status(connection, org.org_id if org else None, now, policy)
    document = asdict(status)
    kinds = {topic.topic: topic.kind for topic in status.events.topics} if status.events else {}
    texts = [
        delivery_text(usage, streamed=kinds.get(usage.topic) is TopicStatusKind.LISTENING)
        for usage in status.deliveries
    ]
    named = zip(document["deliveries"], texts, strict=True)
    return document | {"deliveries": [usage | {"text": text} for usage, text in named]}


async def _find_file_problem(connection: Connection, settings: Settings) -> tuple[str | None, str | None]:
    """Return why a push by the mapping files of the settings would send nothing, and why it would not use them."""
    from connector.jobs.mappings.versions import find_file_problem

    return await find_file_problem(connection, settings.mappings_dir)


async def _find_other_org(connection: Connection, org: KnownOrg | None, settings: Settings) -> dict[str, Any] | None:
    """Return the org of the settings if it is not the one of this database, as far as is known; `org` is None before
    the first sign-in to it."""
    from connector.jobs.org_identity import login_url, login_url_setting
    from connector.store import orgs

    address = login_url(settings)
    if org is None or not address:
        return None
    setting, there = login_url_setting(settings), await orgs.find_by_login_url(connection, address)
    if there is not None:
        return None if there.active else {"org": there.org_id, "address": there.instance_url, "setting": setting}
    return {"org": None, "address": address, "setting": setting} if org.login_url else None
