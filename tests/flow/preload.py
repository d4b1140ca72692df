"""What a command may need, loaded once. Not the local org's gRPC: that does not survive a fork."""

from __future__ import annotations

from importlib import import_module

from connector import cli

for _group in cli.GROUPS:
    import_module(f"connector.cli.{_group}")
for _name in (
    "aiosqlite",
    "connector.jobs.org_deploy",
    "connector.orders.importing",
    "connector.service",
    "connector.store.org_metadata",
    "connector.store.dry_run",
    "connector.store.schema",
    "sqlalchemy.dialects.sqlite.aiosqlite",
):
    import_module(_name)
