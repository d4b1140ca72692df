"""One example of each command, and the page of the documentation that explains it. `--help` ends with the example, and
`docs/cli.md` shows both. A command without an example fails a test."""

from __future__ import annotations

from typing import NamedTuple

import typer


class Example(NamedTuple):
    """What follows `connector` on the command line, and a page of `docs/` with an anchor, or none."""

    line: str
    page: str = ""


EXAMPLES = {
    "localorg": Example("localorg --port 8180 --data org.db", "local-org.md"),
    "mailcatcher": Example("mailcatcher --port 8025", "messages.md#sending"),
    "demo": Example("demo --once --orders 40"),
    "import": Example("import fixtures/samples/shop --dry-run", "importing.md"),
    "push": Example("push --dry-run", "service.md"),
    "resync": Example("resync order SO-1001 --dry-run", "mapping.md"),
    "pull": Example("pull --dry-run", "inbound.md"),
    "listen": Example("listen", "events.md"),
    "reconcile": Example("reconcile --entity order --key SO-1001", "reconcile.md"),
    "status": Example("status", "operations.md"),
    "doctor": Example("doctor", "service.md#doctor"),
    "show": Example("show order SO-1001"),
    "journey": Example("journey order SO-1001", "service.md#journeys"),
    "act": Example("act SO-1008 ship --carrier DHL --tracking-number 0034043416", "lifecycle.md"),
    "analytics": Example("analytics on-time --since 2026-01-01 --csv", "lifecycle.md#metrics"),
    "link": Example("link customer C-1001 001al00001XyZabAAF --dry-run", "inbound.md"),
    "unlink": Example("unlink customer C-1001"),
    "serve": Example("serve --roles api,worker", "service.md"),
    "audit": Example("audit --hours 24", "service.md#audit"),
    "org use": Example("org use 00Dal0000012345EAA"),
    "org deploy": Example("org deploy --check"),
    "dead-letters list": Example("dead-letters list --by-cause"),
    "dead-letters show": Example("dead-letters show order SO-1001"),
    "dead-letters replay": Example("dead-letters replay order SO-1001"),
    "dead-letters correct": Example("dead-letters correct customer C-1001 --set phone=+4930123456"),
    "dead-letters assign": Example("dead-letters assign 7f716af181d1 kim", "operations.md#causes-of-dead-letters"),
    "dead-letters snooze": Example(
        "dead-letters snooze 7f716af181d1 --hours 4", "operations.md#causes-of-dead-letters"
    ),
    "dead-letters note": Example(
        "dead-letters note 7f716af181d1 'Asked the admin for a longer field'", "operations.md#causes-of-dead-letters"
    ),
    "dead-letters closed": Example("dead-letters closed", "operations.md#causes-of-dead-letters"),
    "dead-letters discard": Example("dead-letters discard order SO-1001"),
    "conflicts list": Example("conflicts list", "inbound.md"),
    "conflicts show": Example("conflicts show 7", "inbound.md"),
    "conflicts resolve": Example("conflicts resolve 7 --take salesforce", "inbound.md"),
    "conflicts rules": Example("conflicts rules --remove Account.Phone", "inbound.md"),
    "held list": Example("held list", "undo.md"),
    "held release": Example("held release order SO-1001", "undo.md"),
    "inbox list": Example("inbox list", "inbound.md"),
    "inbox replay": Example("inbox replay 801al00001XyZabAAF", "inbound.md"),
    "actions list": Example("actions list --state refused", "events.md"),
    "events list": Example("events list", "events.md"),
    "events replay": Example("events replay", "events.md"),
    "webhooks list": Example("webhooks list --state failed", "webhooks.md"),
    "webhooks send": Example("webhooks send", "webhooks.md"),
    "webhooks replay": Example("webhooks replay --failed", "webhooks.md"),
    "db upgrade": Example("db upgrade"),
    "db prune": Example("db prune", "inbound.md#what-is-kept-and-for-how-long"),
    "db backup": Example("db backup backups/connector-2026-01-31.db", "service.md#backups"),
    "db restore": Example("db restore backups/connector-2026-01-31.db", "service.md#backups"),
    "stock list": Example("stock list COF-ES-1KG"),
    "stock count": Example("stock count EAST COF-ES-1KG=40"),
    "messages list": Example("messages list --state failed", "messages.md"),
    "messages show": Example("messages show 12", "messages.md"),
    "messages preview": Example("messages preview SO-1008 invoice --html invoice.html", "messages.md"),
    "messages retry": Example("messages retry --state failed", "messages.md"),
    "messages discard": Example("messages discard 12", "messages.md"),
    "tokens create": Example("tokens create --role ops --name night-shift --days 90"),
    "tokens link": Example("tokens link night-shift", "console.md"),
    "tokens list": Example("tokens list"),
    "tokens revoke": Example("tokens revoke night-shift"),
    "sessions list": Example("sessions list", "console.md#signing-in-by-openid-connect"),
    "sessions end": Example("sessions end kim@example.com", "console.md#signing-in-by-openid-connect"),
    "workers list": Example("workers list", "service.md#processes"),
    "jobs list": Example("jobs list", "service.md#jobs"),
    "jobs run": Example("jobs run reconcile --wait", "service.md#jobs"),
    "jobs pause": Example("jobs pause push", "service.md#jobs"),
    "jobs resume": Example("jobs resume push", "service.md#jobs"),
    "jobs set": Example("jobs set reconcile --cron '30 2 * * *'", "service.md#jobs"),
    "jobs runs": Example("jobs runs --state failed", "service.md#jobs"),
    "jobs show": Example("jobs show 42", "service.md#jobs"),
    "mcp": Example("mcp", "agents.md"),
    "mappings check": Example("mappings check --dir mappings", "mapping.md#versions"),
    "mappings plan": Example("mappings plan --dir mappings", "mapping.md#versions"),
    "mappings apply": Example("mappings apply --dir mappings --note 'Map the delivery note'", "mapping.md#versions"),
    "mappings rollback": Example("mappings rollback 3 --note 'Back to last week'", "mapping.md#versions"),
    "mappings history": Example("mappings history", "mapping.md#versions"),
    "mappings show": Example("mappings show 3 --file order.yaml", "mapping.md#versions"),
    "mappings diff": Example("mappings diff 3 4", "mapping.md#versions"),
    "mappings drift": Example("mappings drift --refresh", "mapping.md#drift"),
    "mappings shadow": Example("mappings shadow --start --dir mappings", "mapping.md#shadow"),
    "mappings schema": Example("mappings schema", "mapping.md#in-an-editor"),
    "mappings export": Example("mappings export mappings-of-today", "mapping.md#versions"),
    "runs list": Example("runs list", "undo.md"),
    "runs show": Example("runs show resync-12", "undo.md"),
    "undo": Example("undo resync-12 --dry-run", "undo.md"),
    "resyncs start": Example("resyncs start order --stage confirmed --dry-run", "service.md#resyncs"),
    "resyncs list": Example("resyncs list", "service.md#resyncs"),
    "resyncs show": Example("resyncs show 3", "service.md#resyncs"),
    "resyncs pause": Example("resyncs pause 3", "service.md#resyncs"),
    "resyncs resume": Example("resyncs resume 3", "service.md#resyncs"),
    "resyncs cancel": Example("resyncs cancel 3", "service.md#resyncs"),
    "alerts list": Example("alerts list --all", "operations.md#alerts"),
    "alerts test": Example("alerts test", "operations.md#alerts"),
}
"""By the words of the command."""


def add_examples(app: typer.Typer, group: str = "") -> None:
    """Have the help of every command end with its example."""
    for command in app.registered_commands:
        name = command.name or getattr(command.callback, "__name__", "").rstrip("_").replace("_", "-")
        example = EXAMPLES.get(group + name)
        if example is not None:
            command.epilog = f"\b\nExample: connector {example.line}"
    for member in app.registered_groups:
        if member.typer_instance is not None:
            add_examples(member.typer_instance, f"{member.name or member.typer_instance.info.name} ")
