"""What a command may need, loaded once, and the shipped files, parsed once. Not the local org's gRPC: that does not
survive a fork."""

from __future__ import annotations

import gc
from functools import cache
from importlib import import_module

import typer.main

from connector import cli
from connector.mapping.loader import load_mappings
from connector.orders.policy.rules import load_rules

for _group in cli.GROUPS:
    import_module(f"connector.cli.{_group}")
for _name in (
    "aiosqlite",
    "alembic.command",
    "alembic.ddl.postgresql",
    "anyio._backends._asyncio",
    "connector.api.transitions",
    "connector.demo.simulation",
    "connector.inbound.topic_status",
    "connector.jobs.conflict_resolution",
    "connector.jobs.listen",
    "connector.jobs.org_deploy",
    "connector.jobs.pull",
    "connector.jobs.push",
    "connector.jobs.reconcile",
    "connector.jobs.resync",
    "connector.jobs.send_notifications",
    "connector.localmail.catcher",
    "connector.localorg.server",
    "connector.notifications.composer",
    "connector.orders.importing",
    "connector.service",
    "connector.store.org_metadata",
    "connector.store.dry_run",
    "connector.store.schema",
    "connector.store.tokens",
    "connector.web.app",
    "fpdf",
    "h11",
    "httpcore2",
    "jwt",
    "netrc",
    "requests_toolbelt",
    "rich.progress",
    "simple_salesforce",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "structlog",
    "zeep",
):
    import_module(_name)
load_mappings()
load_rules()
typer.main.get_command = cache(typer.main.get_command)  # takes as long as a short command
typer.main.get_command(cli.app)
gc.freeze()  # a fork does not look through all this again
