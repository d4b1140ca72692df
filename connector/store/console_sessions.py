"""Sessions of the console: of a token, or of a person whom a provider of OpenID Connect knows.

A token's session ends when the token is revoked or expires. A person's ends at its time, when somebody ends it, and
when that provider is not the one of the settings any more. Only a digest of a session's secret is stored, so nobody can
sign in with what is in the database.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from connector.model.role import Role
from connector.store import journal, tokens
from connector.store.access_tables import console_sessions
from connector.store.journal import JournalEntry, command_line_actor
from connector.store.tokens import Token, digest
from connector.store.unit_of_work import UnitOfWork

LASTS = timedelta(hours=12)
"""How long a token's session lasts: a working day."""
LINK_LASTS = timedelta(minutes=10)
"""How long a link that signs somebody in can be opened."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredSession:
    """A session that is not over. `issuer`: the provider that knows the person; empty for a token's session."""

    name: str
    role: Role
    issuer: str
    created_at: datetime
    expires_at: datetime

    @property
    def as_token(self) -> Token:
        """What a person may do, as for a token of that name and role."""
        times = {"created_at": self.created_at, "expires_at": self.expires_at}
        return Token(name=self.name, role=self.role, revoked_at=None, used_at=None, **times)


async def begin(uow: UnitOfWork, token: str) -> str:
    """Begin a session of the token with this name, and return its secret, which cannot be read again."""
    secret = await _insert(uow, {"token": token, "expires_at": uow.now + LASTS})
    await tokens.record_use(uow, token)
    await _audit(uow, token, "signed_in", token)
    return secret


async def make_link(uow: UnitOfWork, token: str, *, actor: str) -> str:
    """Return the secret of a link that signs somebody in once, as this token."""
    await _audit(uow, token, "link_made", actor)
    return await _insert(uow, {"token": token, "expires_at": uow.now + LINK_LASTS})


async def begin_by_link(uow: UnitOfWork, link: str) -> str | None:
    """Use a link up, and begin a session of its token; None if it was used, is too old, or its token is not valid."""
    found = await find(uow.connection, link, uow.now)
    used = delete(console_sessions).where(console_sessions.c.digest == digest(link))
    if found is None or not (await uow.connection.execute(used)).rowcount:
        return None
    return await begin(uow, found.name)


async def begin_for_person(
    uow: UnitOfWork, name: str, role: Role, *, issuer: str, subject: str, lasts: timedelta
) -> str:
    """Begin a session of a person, and return its secret. `subject`: the provider's ID of the person."""
    row = {"person": name, "role": role.value, "issuer": issuer, "expires_at": uow.now + lasts}
    secret = await _insert(uow, row)
    await _audit(uow, name, "signed_in", name, role=role.value, issuer=issuer, subject=subject)
    return secret


_CURRENT = select(console_sessions).where(
    console_sessions.c.digest == bindparam("the_digest"), console_sessions.c.expires_at > bindparam("the_now")
)


async def find(connection: AsyncConnection, secret: str, now: datetime, *, issuer: str = "") -> StoredSession | None:
    """Return the session with this secret; None if there is none, or it is over. `issuer`: the provider of now."""
    row = (await connection.execute(_CURRENT, {"the_digest": digest(secret), "the_now": now})).first()
    if row is None:
        return None
    if row.token is None:
        return _of_person(row) if row.issuer == issuer else None
    token = await tokens.get(connection, row.token)
    if token is None or not token.valid(now):
        return None
    times = {"created_at": row.created_at, "expires_at": row.expires_at}
    return StoredSession(name=token.name, role=token.role, issuer="", **times)


async def list_people(connection: AsyncConnection, now: datetime) -> list[StoredSession]:
    """The sessions of people that are not over, by name and beginning."""
    chosen = console_sessions.c.person.is_not(None), console_sessions.c.expires_at > now
    ordered = console_sessions.c.person, console_sessions.c.created_at
    return [
        _of_person(row) for row in await connection.execute(select(console_sessions).where(*chosen).order_by(*ordered))
    ]


async def end(uow: UnitOfWork, secret: str, *, actor: str) -> None:
    """End a session."""
    chosen = console_sessions.c.digest == digest(secret)
    if (await uow.connection.execute(delete(console_sessions).where(chosen))).rowcount:
        await _audit(uow, actor, "signed_out", actor)


async def end_of_person(uow: UnitOfWork, name: str, *, actor: str | None = None) -> int:
    """End all sessions of a person, and return how many; without `actor`, whoever uses the command line does."""
    chosen = console_sessions.c.person == name
    count = (await uow.connection.execute(delete(console_sessions).where(chosen))).rowcount
    if count:
        await _audit(uow, name, "session_ended", actor or command_line_actor(), sessions=count)
    return count


_INSERT = insert(console_sessions)
_DELETE_EXPIRED = delete(console_sessions).where(console_sessions.c.expires_at <= bindparam("the_now"))


async def _insert(uow: UnitOfWork, row: Mapping[str, object]) -> str:
    secret = secrets.token_urlsafe(32)
    await uow.connection.execute(_DELETE_EXPIRED, {"the_now": uow.now})
    await uow.connection.execute(_INSERT, [{"digest": digest(secret), "created_at": uow.now, **row}])
    return secret


def _of_person(row: object) -> StoredSession:
    values = {name: getattr(row, name) for name in ("issuer", "created_at", "expires_at")}
    return StoredSession(name=getattr(row, "person"), role=Role(getattr(row, "role")), **values)  # noqa: B009


async def _audit(uow: UnitOfWork, key: str, action: str, actor: str, **detail: object) -> None:
    await journal.write(uow, [JournalEntry(entity="console", key=key, action=action, detail=detail, actor=actor)])
