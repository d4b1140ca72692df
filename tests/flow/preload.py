"""What a command may need, loaded once, and the shipped files, parsed once. Not the local org's gRPC: that does not
survive a fork."""

from __future__ import annotations

from importlib import import_module

from connector import cli
from connector.mapping.loader import load_mappings
from connector.orders.policy.rules import load_rules

for _group in cli.GROUPS:
    import_module(f"connector.cli.{_group}")
for _name in (
    "aiosqlite",
    "connector.jobs.listen",
    "connector.jobs.org_deploy",
    "connector.orders.importing",
    "connector.service",
    "connector.store.org_metadata",
    "connector.store.dry_run",
    "connector.store.schema",
    "sqlalchemy.dialects.sqlite.aiosqlite",
):
    import_module(_name)
load_mappings()
load_rules()
