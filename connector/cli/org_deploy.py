"""`connector org`: switch to another org, and deploy the metadata that the connector needs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli import app
from connector.cli.localorg import our_metadata
from connector.cli.output import as_json, table
from connector.cli.progress import Progress
from connector.cli.runner import run
from connector.wording import plural

if TYPE_CHECKING:
    from connector.jobs.org_deploy import DeploySummary

org = typer.Typer(
    help="Switch to another org, and deploy our fields, events and permission set.",
    short_help="Deploy our fields to the org; switch orgs.",
)
app.add_typer(org, name="org")


@org.callback()
def group() -> None: ...


@org.command(short_help="Switch to another org.")
def use(
    org_id: Annotated[
        str, typer.Argument(metavar="ORG-ID", help="ID of the org, as `push` and `status` show it: 00D….")
    ],
    json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Switch to the org of CONNECTOR_SALESFORCE__LOGIN_URL, whose ID must be ORG-ID.

    All entities become due for it; records that it already has are found by their keys. The links to the previous org
    are kept: to switch back, change the setting back and run `connector org use` again.
    """
    count, address = run(_use(org_id.strip()))
    if json:
        as_json({"org": org_id, "changed": count is not None, "due": count or 0})
    elif count is None:
        typer.echo(f"The database works with org {org_id} ({address}) already.")
    else:
        typer.echo(f"The database works with org {org_id} ({address}) from now on.")
        typer.echo(f"{plural(count, 'entity', 'entities')} due: `connector push --dry-run` shows what would be sent.")


async def _use(org_id: str) -> tuple[int | None, str]:
    from connector.jobs.use_org import use_org
    from connector.log import configure
    from connector.service import running_service
    from connector.settings import load_settings

    settings = load_settings()
    configure(settings.log_level, **settings.log_options)
    async with running_service(settings) as service:
        count = await use_org(service.org_store, service.client, settings, org_id, clock=service.clock)
        return count, service.client.instance_url


@org.command(short_help="Deploy our fields, events and permission set.")
def deploy(
    check: Annotated[bool, typer.Option("--check", help="Let the org validate everything; change nothing.")] = False,
    assign: Annotated[bool, typer.Option(help="Assign the permission set to the connector's user, if needed.")] = True,
    return_orders: Annotated[
        bool,
        typer.Option(
            "--return-orders", help="Deploy only the extra metadata of CONNECTOR_SALESFORCE__RETURNS=return_order."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> None:
    """Deploy our fields, events and permission set to the org of CONNECTOR_SALESFORCE__LOGIN_URL, all or nothing.

    A repeated deployment changes nothing. The user needs the permissions to customize the application and to modify
    metadata; the connector does not need them for its daily work. If it is another org than the one that the database
    works with, that is said first. Exit status 1 if the org refused something.
    """
    summary, other = run(_deploy(check=check, assign=assign, return_orders=return_orders))
    if json:
        as_json(_document(summary) | {"other_org": other})
    else:
        _print_summary(summary)
    if not summary.deployed.succeeded or summary.unassigned:
        raise typer.Exit(1)


async def _deploy(*, check: bool, assign: bool, return_orders: bool) -> tuple[DeploySummary, str | None]:
    """What was deployed, and a sentence if it is another org than the database's."""
    from connector.clock import SystemClock
    from connector.jobs.org_deploy import deploy_metadata
    from connector.jobs.org_identity import describe_other_org
    from connector.log import configure
    from connector.salesforce.client import SalesforceClient
    from connector.settings import load_settings
    from connector.store.schema import store_of

    settings = load_settings()
    configure(settings.log_level, **settings.log_options)
    clock = SystemClock()
    attempts = settings.sync.attempts_in_claim
    async with SalesforceClient(settings.salesforce, clock=clock, attempts=attempts) as client:
        store = store_of(settings, clock=clock)
        try:
            other = await describe_other_org(store, client, settings)
        finally:
            await store.close()
        if other is not None:
            typer.echo(f"{other} The {'check' if check else 'deployment'} is made in the former.", err=True)
        with Progress("Checking" if check else "Deploying") as progress:
            seen = 0

            def on_progress(done: int, total: int) -> None:
                nonlocal seen
                progress.expect(total - seen)
                progress.advance(done - seen)
                seen = done

            summary = await deploy_metadata(
                client,
                our_metadata(return_orders=return_orders),
                version=settings.salesforce.api_version,
                clock=clock,
                check_only=check,
                assign=assign,
                on_progress=on_progress,
            )
        return summary, other


def _document(summary: DeploySummary) -> dict[str, Any]:
    deployed = summary.deployed
    return {
        "check_only": summary.check_only,
        "id": deployed.id,
        "status": deployed.status,
        "components": {name: len(items) for name, items in sorted(summary.package.members.items())},
        "problems": [asdict(problem) for problem in deployed.problems],
        "filtered_user": summary.filtered_user,
        "assigned": list(summary.assigned),
        "unassigned": dict(summary.unassigned),
    }


def _print_summary(summary: DeploySummary) -> None:
    deployed = summary.deployed
    for problem in deployed.problems:
        place = f"{problem.file}:{problem.line}" if problem.line else problem.file
        typer.echo(f"{place}: {problem.type} {problem.name}: {problem.text}", err=True)
    if not deployed.succeeded:
        refused = plural(len(deployed.problems), "component")
        typer.echo(f"The org refused {refused} ({deployed.status}, {deployed.id}); nothing was changed.", err=True)
        return
    table(("", "components"), [(name, len(items)) for name, items in sorted(summary.package.members.items())])
    if summary.check_only:
        typer.echo("The org would accept everything. Nothing was changed.")
        return
    typer.echo("Everything is deployed.")
    if summary.filtered_user is not None:
        typer.echo(f"Connector__chn leaves out the changes of the connector's user, {summary.filtered_user}: our own.")
    for name in summary.assigned:
        typer.echo(f"The permission set {name} was assigned to the connector's user.")
    for name, why in summary.unassigned:
        typer.echo(
            f"The permission set {name} could not be assigned to the connector's user: {why} Assign it in Setup; until"
            " then, the connector does not see these fields.",
            err=True,
        )
