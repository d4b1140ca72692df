"""Tokens for the HTTP API. Only a digest is stored, so nobody can use the API with what is in the database."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.errors import ConnectorError
from connector.model.role import Role
from connector.store import journal
from connector.store.access_tables import tokens
from connector.store.journal import JournalEntry, command_line_actor
from connector.store.sql import insert_missing
from connector.store.unit_of_work import UnitOfWork

PREFIX = "crm_"
NOTED_EVERY = timedelta(minutes=1)
"""The use of a token is recorded at most once in this time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A token. Its `name` is written to histories as the actor."""

    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None

    def valid(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


async def create(
    uow: UnitOfWork, name: str, role: Role, *, expires_at: datetime | None = None, actor: str | None = None
) -> str:
    """Create a token and return its secret, which cannot be read again; without `actor`, whoever uses the command line
    does. Raises ConnectorError if the name exists."""
    secret = PREFIX + secrets.token_urlsafe(32)
    row = {"name": name, "digest": digest(secret), "role": role.value, "created_at": uow.now, "expires_at": expires_at}
    if not await insert_missing(uow.connection, tokens, [row]):
        raise ConnectorError(
            f"There is a token {name} already.",
            hint="Choose another name; names of revoked tokens cannot be used again.",
        )
    await _audit(uow, name, "created", actor, role=role.value, expires_at=expires_at)
    return secret


_OF_DIGEST = select(tokens).where(tokens.c.digest == bindparam("the_digest"))
_OF_NAME = select(tokens).where(tokens.c.name == bindparam("the_name"))


async def find(connection: AsyncConnection, secret: str) -> Token | None:
    """Return the token with this secret, valid or not."""
    row = (await connection.execute(_OF_DIGEST, {"the_digest": digest(secret)})).first()
    return None if row is None else _token(row)


async def get(connection: AsyncConnection, name: str) -> Token | None:
    """Return the token with this name, valid or not."""
    row = (await connection.execute(_OF_NAME, {"the_name": name})).first()
    return None if row is None else _token(row)


async def list_all(connection: AsyncConnection) -> list[Token]:
    return [_token(row) for row in await connection.execute(select(tokens).order_by(tokens.c.name))]


async def list_unrevoked(connection: AsyncConnection) -> dict[str, str]:
    """The names of tokens that are not revoked, by digest."""
    statement = select(tokens.c.digest, tokens.c.name).where(tokens.c.revoked_at.is_(None)).order_by(tokens.c.name)
    return {row.digest: row.name for row in await connection.execute(statement)}


async def revoke(uow: UnitOfWork, name: str, *, actor: str | None = None) -> bool:
    """Revoke a token; False if there is none with this name, or it was revoked before."""
    chosen = (tokens.c.name == name, tokens.c.revoked_at.is_(None))
    if not (await uow.connection.execute(update(tokens).where(*chosen).values(revoked_at=uow.now))).rowcount:
        return False
    await _audit(uow, name, "revoked", actor)
    return True


_RECORD_USE = update(tokens).where(tokens.c.name == bindparam("the_name")).values(used_at=bindparam("the_time"))


async def record_use(uow: UnitOfWork, name: str) -> None:
    await uow.connection.execute(_RECORD_USE, {"the_name": name, "the_time": uow.now})


async def _audit(uow: UnitOfWork, name: str, action: str, actor: str | None, **detail: object) -> None:
    entry = JournalEntry(entity="token", key=name, action=action, detail=detail, actor=actor or command_line_actor())
    await journal.write(uow, [entry])


def digest(secret: str) -> str:
    """Return the digest of a secret. It has 32 random bytes, so neither a salt nor a slow hash is needed."""
    return sha256(secret.encode()).hexdigest()


def _token(row: object) -> Token:
    values = {name: getattr(row, name) for name in ("name", "created_at", "expires_at", "revoked_at", "used_at")}
    return Token(role=Role(getattr(row, "role")), **values)  # noqa: B009
