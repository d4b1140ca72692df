"""`connector workers`: the processes of the service."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli import app
from connector.cli.output import as_json, moment, table
from connector.cli.runner import run

if TYPE_CHECKING:
    from connector.model.worker import Worker

workers_app = typer.Typer(
    help="The processes of the service that work on this database.",
    short_help="The processes of the service, and what each does.",
)
app.add_typer(workers_app, name="workers")

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]


@workers_app.command("list", short_help="The processes of the service, and what each does.")
def list_workers(json: Json = False) -> None:
    """The processes of the service on all hosts, those that are alive first: their roles, the partitions whose changes
    they send at this moment, and the topics that they listen to. A process that died is listed for a day.
    """
    found = run(_load())
    if json:
        as_json([asdict(worker) for worker in found])
        return
    if not found:
        typer.echo("No process of the service is running: `connector serve` starts one.")
        return
    table(
        ("Host", "PID", "Roles", "Since", "Last seen", "State", "Sends", "Listens to"),
        [
            (worker.host, str(worker.pid), ", ".join(worker.roles), moment(worker.started_at), moment(worker.seen_at),
             "alive" if worker.alive else "dead", _describe_partitions(worker), _describe_topics(worker))
            for worker in found
        ],
    )  # fmt: skip


def _describe_partitions(worker: Worker) -> str:
    parts = ["products"] if worker.sends_products else []
    if worker.partitions:
        parts.append(f"partitions {', '.join(map(str, worker.partitions))}")
    parts += [f"partitions of {org} {', '.join(map(str, numbers))}" for org, numbers in worker.org_partitions.items()]
    return ", ".join(parts)


def _describe_topics(worker: Worker) -> str:
    of_orgs = [f"{topic} of {org}" for org, topics in worker.org_topics.items() for topic in topics]
    return ", ".join([*worker.topics, *of_orgs])


async def _load() -> list[Worker]:
    from connector.settings import load_settings
    from connector.store import workers
    from connector.store.schema import open_store

    async with open_store(load_settings()) as store, store.reader() as connection:
        return await workers.list_workers(connection, store.clock.now())
