"""The org that a connection works for, where one database serves several.

Every org but the default one has a name from the settings (`CONNECTOR_ORGS__NAME__…`); the default one's is empty. What
belongs to an org has a column `org` or a prefix; links, cursors and what came in are kept by the org's ID. A store
hands its scope to every connection (`Store.for_org`), so that a query need not be told. A connection without a scope,
of the API of a service with several orgs, sees the changes of all of them.
"""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy import Column, ColumnElement, Delete, Select, Update, true
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.store.sql import Variants

Statement = TypeVar("Statement", Select[Any], Update, Delete)

DEFAULT = ""
OPTION = "connector_org"
"""The execution option of an engine that holds the scope."""


def scope_of(connection: AsyncConnection) -> str | None:
    """The name of the org that the connection works for; None for all."""
    scope: str | None = connection.sync_connection.get_execution_options().get(OPTION, DEFAULT)  # type: ignore[union-attr]
    return scope


def org_of(connection: AsyncConnection) -> str:
    """The name of the org that the connection works for, the default one's if it works for all."""
    return scope_of(connection) or DEFAULT


def is_in_scope(connection: AsyncConnection, column: Column[str]) -> ColumnElement[bool]:
    """Whether the row of a table with names of orgs belongs to the scope."""
    scope = scope_of(connection)
    return true() if scope is None else column == scope


def within_scope(connection: AsyncConnection, statement: Statement, column: Column[str]) -> Statement:
    """`statement` for those rows only that belong to the scope by `column`. It is built once for each org, so the
    statement itself should be built once, too."""
    scope = scope_of(connection)
    return statement if scope is None else _of_org(statement, column, scope)


_of_org = Variants(lambda statement, column, org: statement.where(column == org))


def prefixed(connection: AsyncConnection, name: str, org: str | None = None) -> str:
    """The name of something, such as a lease, that each org has one of: of the scope, or of `org`."""
    org = org_of(connection) if org is None else org
    return f"{org}/{name}" if org else name


def with_setting_names(connection: AsyncConnection, text: str) -> str:
    """A text that names settings of the default org, with the names of those of the scope."""
    org = org_of(connection)
    return text.replace("CONNECTOR_SALESFORCE__", f"CONNECTOR_ORGS__{org.upper()}__") if org else text


def unprefixed(connection: AsyncConnection, name: str, org: str | None = None) -> str:
    """The name without the prefix of the scope, or of `org`."""
    return name[len(prefixed(connection, "", org)) :]
