"""The users of the org as those who sign in: who they are, whether they may, and their passwords.

A user is a row of `User`, created by the API or by the seed file. A new user has no password: one is set by
`POST sobjects/User/<ID>/password`. Inactive users cannot sign in, and their sessions end at once.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from connector.localorg import ids
from connector.localorg.storage import Storage

MIN_PASSWORD_LENGTH = 8
_COLUMNS = '"Id", "Username", "Email", "FirstName", "LastName", "ProfileId"'


@dataclass(frozen=True, kw_only=True)
class Identity:
    organization_id: str
    user_id: str
    username: str
    email: str
    first_name: str | None = None
    last_name: str | None = None
    profile_id: str | None = None

    @property
    def full_name(self) -> str:
        return " ".join(part for part in (self.first_name, self.last_name) if part)


class Users:
    def __init__(self, storage: Storage, organization_id: str) -> None:
        self._storage = storage
        self._organization_id = organization_id
        storage.connection.execute(
            "CREATE TABLE IF NOT EXISTS _password (user_id TEXT PRIMARY KEY, salt BLOB NOT NULL, digest BLOB NOT NULL)"
        )

    def by_id(self, user_id: str) -> Identity | None:
        """Return an active user by ID, of 15 or 18 characters."""
        full = ids.normalize(user_id)
        return self._find('"Id" = ?', full) if full else None

    def by_name(self, username: str) -> Identity | None:
        """Return an active user by name. Case does not matter."""
        return self._find('"Username" = ? COLLATE NOCASE', username)

    def _find(self, condition: str, value: str) -> Identity | None:
        sql = f'SELECT {_COLUMNS} FROM "User" WHERE {condition} AND "IsActive" = 1'  # noqa: S608
        row = self._storage.connection.execute(sql, (value,)).fetchone()
        if row is None:
            return None
        user_id, username, email, first, last, profile = row
        return Identity(
            organization_id=self._organization_id,
            user_id=user_id,
            username=username,
            email=email,
            first_name=first,
            last_name=last,
            profile_id=profile,
        )

    def set_password(self, user_id: str, password: str) -> None:
        """Set a user's password. ValueError if it is too short."""
        if len(password) < MIN_PASSWORD_LENGTH:
            raise ValueError(f"Your password must be at least {MIN_PASSWORD_LENGTH} characters long.")
        salt = secrets.token_bytes(16)
        row = (user_id, salt, _digest(password, salt))
        self._storage.connection.execute("INSERT OR REPLACE INTO _password VALUES (?, ?, ?)", row)

    def has_password(self, user_id: str, password: str) -> bool:
        sql = "SELECT salt, digest FROM _password WHERE user_id = ?"
        row = self._storage.connection.execute(sql, (user_id,)).fetchone()
        return row is not None and hmac.compare_digest(_digest(password, row[0]), row[1])


def _digest(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**10, r=8, p=1)
