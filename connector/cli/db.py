"""`connector db upgrade`, `connector db prune` and `connector status`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli import app
from connector.cli.output import as_json, moment, paragraph, table
from connector.cli.runner import run
from connector.cli.status_text import (
    budget_document,
    budget_remarks,
    how_to_send,
    mapping_remarks,
    message_remarks,
    other_org_remarks,
    outage_remarks,
    paused_job_remarks,
    webhook_remarks,
)
from connector.cli.topic_text import event_remarks
from connector.wording import plural

if TYPE_CHECKING:
    from connector.settings import Settings
    from connector.store.engine import Connection, Store
    from connector.store.orgs import KnownOrg

db = typer.Typer(help="The connector's own database.", short_help="Create or upgrade the connector's own database.")
app.add_typer(db, name="db")

MOST_LISTED = 20
"""Renamed keys that are listed one by one."""

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]


@db.command(short_help="Create the database, or upgrade it.")
def upgrade(json: Json = False) -> None:
    """Create the database, or upgrade it to this version of the program. It is safe to run it again.

    CONNECTOR_DATABASE_URL names the database; the default is the SQLite file connector.db in the current folder.
    """
    from connector.settings import load_settings
    from connector.store import derived_rows, schema
    from connector.workers.upgrade import upgrade_engine

    async def work() -> tuple[str | None, str | None, str, list[str]]:
        settings = load_settings()
        store = schema.store_of(settings)
        try:
            before = await schema.current(store)
            last_id = await _find_last_journal_id(store) if before else 0
            await schema.upgrade(store)
            await upgrade_engine(settings)
            after = await schema.current(store)
            if before and before != after:
                await derived_rows.repair(store)
            renamed = await _list_renamed_keys(store, last_id) if before and before != after else []
            return before, after, store.address, renamed
        finally:
            await store.close()

    before, after, address, renamed = run(work())
    if json:
        as_json({"database": address, "before": before, "after": after, "renamed": renamed})
    elif before is None:
        typer.echo(f"{address} is ready. Next: `connector import PATH` brings orders in.")
    elif before == after:
        typer.echo(f"{address} is up to date.")
    else:
        typer.echo(
            f"{address} was upgraded from revision {before} to {after}. Restart `connector serve` and"
            " `python -m scheduler` now: those of an earlier release must not continue."
        )
        for text in renamed[:MOST_LISTED]:
            typer.echo(text)
        if len(renamed) > MOST_LISTED:
            typer.echo(f"And {len(renamed) - MOST_LISTED:,} more: `connector show` shows the former key of each.")


@db.command(short_help="Delete what nobody needs any more.")
def prune(json: Json = False) -> None:
    """Delete what is done with and older than CONNECTOR_RETENTION__* says: sent and failed webhook notices, answered
    actions of reps, refused events, resolved conflicts, and the history of topics. What waits for a person or for the
    org stays. A running service does so every hour.
    """
    from connector.jobs.prune import prune as delete_expired
    from connector.settings import load_settings
    from connector.store.schema import open_store

    async def work() -> dict[str, int]:
        settings = load_settings()
        async with open_store(settings) as store:
            return await delete_expired(store, settings)

    deleted = run(work())
    if json:
        as_json({"deleted": deleted})
    elif not any(deleted.values()):
        typer.echo("Nothing is older than its retention.")
    for kind, number in deleted.items():
        if number and not json:
            typer.echo(f"{kind.replace('_', ' ').capitalize()}: {number:,} deleted.")


async def _find_last_journal_id(store: Store) -> int:
    """The number of the journal's last entry."""
    from connector.store import journal

    async with store.reader() as connection:
        return await journal.find_last_id(connection)


async def _list_renamed_keys(store: Store, after_id: int) -> list[str]:
    """Return a line for each entity that got another key after this journal entry, because its key had several
    spellings."""
    from connector.store import journal

    async with store.reader() as connection:
        entries = await journal.list_renamed_keys(connection, after_id)
    return [
        f"{item.entity.capitalize()} {item.old_key!r} is {item.key} from now on: {item.reason}." for item in entries
    ]


@app.command(short_help="Count what is here, in the org, due and refused.")
def status(
    json: Json = False,
    health: Annotated[bool, typer.Option("--health", help="Only check that the database can be used.")] = False,
) -> None:
    """Count the entities that are stored here, are in the org, are due, and were refused. Reads only the database.

    Refused ones are dead letters, which wait for a person; blocked ones are customers whose account the org refuses.
    With several orgs it counts those of the default one, or of CONNECTOR_ORG. Exit status 1 if something is not in
    sync, but for changes that a person discarded; with --health only if the database cannot be used.
    """
    document = run(_load_status(check_files=not health))
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
            *_sync_remarks(document),
            *paused_job_remarks(document["paused_jobs"]),
            *outage_remarks(document["outage"]),
            *budget_remarks(document["budget"]),
            *mapping_remarks(document["mappings"]),
        )
        more = (*message_remarks(document["messages"]), *webhook_remarks(document["webhooks"]))
        inbound = (*_reconciliation_remarks(document["reconciliation"]), *_inbound_remarks(document["inbound"]))
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


async def _load_status(*, check_files: bool) -> dict[str, Any]:
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
        links,
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
        linked = await links.count(connection, org.org_id) if org else {}
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


def _sync_remarks(document: dict[str, Any]) -> list[str]:
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
        named = listed_keys([f"{item['entity']} {item['key']}" for item in document["deleted_in_org"]])
        remarks.append(
            f"{plural(len(document['deleted_in_org']), 'record')} deleted in the org: {named}."
            " `connector resync ENTITY KEY --recreate` creates one again."
        )
    return remarks


def _inbound_remarks(inbound: dict[str, Any]) -> list[str]:
    """Name what came from the org and waits for a person, and what is streamed or polled."""
    remarks = []
    if inbound["conflicts"]:
        remarks.append(f"{plural(inbound['conflicts'], 'conflict')} to be resolved: `connector conflicts list`.")
    if inbound["parked"]:
        remarks.append(f"{plural(inbound['parked'], 'record')} could not be applied: `connector inbox list` says why.")
    remarks += [item["text"] for item in inbound["deliveries"]]
    return remarks + event_remarks(inbound["events"], datetime.now(UTC))


def _reconciliation_remarks(reconciliation: dict[str, Any] | None) -> list[str]:
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
