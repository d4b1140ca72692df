"""Sessions of the console. A session belongs to a token, and ends when the token is revoked or expires.

Only a digest of its secret is stored, so nobody can sign in with what is in the database.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.store import journal, tokens
from connector.store.access_tables import console_sessions
from connector.store.journal import JournalEntry
from connector.store.tokens import Token, digest
from connector.store.unit_of_work import UnitOfWork

LASTS = timedelta(hours=12)
"""How long a session lasts: a working day."""


async def begin(uow: UnitOfWork, token: str) -> str:
    """Begin a session of the token with this name, and return its secret, which cannot be read again."""
    secret = secrets.token_urlsafe(32)
    await uow.connection.execute(delete(console_sessions).where(console_sessions.c.expires_at <= uow.now))
    row = {"digest": digest(secret), "token": token, "created_at": uow.now, "expires_at": uow.now + LASTS}
    await uow.connection.execute(insert(console_sessions), [row])
    await tokens.record_use(uow, token)
    await _audit(uow, token, "signed_in")
    return secret


async def find(connection: AsyncConnection, secret: str, now: datetime) -> Token | None:
    """Return the token, still valid, of the session with this secret; None if there is none, or it is over."""
    statement = select(console_sessions.c.token).where(
        console_sessions.c.digest == digest(secret), console_sessions.c.expires_at > now
    )
    name = (await connection.execute(statement)).scalar()
    token = None if name is None else await tokens.get(connection, name)
    return token if token is not None and token.valid(now) else None


async def end(uow: UnitOfWork, secret: str, *, actor: str) -> None:
    """End a session."""
    chosen = console_sessions.c.digest == digest(secret)
    if (await uow.connection.execute(delete(console_sessions).where(chosen))).rowcount:
        await _audit(uow, actor, "signed_out")


async def _audit(uow: UnitOfWork, token: str, action: str) -> None:
    entry = JournalEntry(entity="console", key=token, action=action, detail={}, actor=token)
    await journal.write(uow, [entry])
