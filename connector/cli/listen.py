"""`connector listen`: receives changes of the org as they happen, until it is stopped."""

from __future__ import annotations

from typing import Annotated

import typer

from connector.cli import app
from connector.cli.output import as_json_line
from connector.cli.runner import run, until_stopped
from connector.errors import SettingsError


@app.command(short_help="Receive changes of the org as they happen, until stopped.")
def listen(
    json: Annotated[bool, typer.Option("--json", help="One JSON document a line instead of text.")] = False,
) -> None:
    """Subscribe to the channel of CONNECTOR_INBOUND__TOPIC, and apply what changes in the org within moments, until
    Ctrl-C or SIGTERM. Carry out and answer the actions that reps ask for there, and publish the stages of orders.

    Several processes may run: one listens, the others take over when it ends. Every CONNECTOR_INBOUND__POLL_SECONDS it
    also polls, for what events may have missed. Where the org has no such channel, or its deliveries of the day are
    used up but for a reserve, it only polls, and more often while changes come.
    """
    run(_listen(json=json))


async def _listen(*, json: bool) -> None:
    import asyncio
    from dataclasses import asdict

    from connector.cli.delivery_text import delivery_text
    from connector.cli.topic_text import obstacle_text
    from connector.jobs.listen import ListenerRole
    from connector.log import configure, get_logger
    from connector.salesforce.address import has_pubsub
    from connector.service import running_service, tune_garbage_collection
    from connector.settings import load_settings

    settings = load_settings()
    if settings.salesforce.login_url and not has_pubsub(settings.salesforce):
        raise SettingsError(
            "CONNECTOR_SALESFORCE__PUBSUB_ENDPOINT must be set: the Pub/Sub API of an org on this machine has no fixed"
            " address.",
            hint="`connector localorg` prints it.",
        )
    configure(settings.service_log_level, **settings.log_options)
    tune_garbage_collection()
    log = get_logger("listen")

    def tell(event: str, text: str, **more: object) -> None:
        if json:
            as_json_line({"event": event, **more})
        else:
            typer.echo(text)

    async with running_service(settings, follow_files=True) as service:
        role = ListenerRole(
            service.inbound_context,
            on_mode=lambda usage: tell("mode", delivery_text(usage), **asdict(usage)),
            on_obstacle=lambda topic, state: tell(
                "obstacle", f"{obstacle_text(topic, state.why, state.fix)}.", topic=topic, why=state.why, fix=state.fix
            ),
        )
        task = asyncio.create_task(role.run())
        log.info("started", topic=settings.inbound.topic, poll_seconds=settings.inbound.poll_seconds)
        topic = settings.inbound.topic
        tell("subscribing", f"Subscribing to {topic}; Ctrl-C stops.", topic=topic)
        stop = asyncio.create_task(until_stopped())
        try:
            await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (task, stop):
                each.cancel()
            await asyncio.gather(task, stop, return_exceptions=True)
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            raise error
    stats = role.changes.stats
    log.info("stopped", events=stats.events, echoes=stats.echoes, records=stats.records)
    if json:
        tell("stopped", "", events=stats.events, echoes=stats.echoes, records=stats.records)
