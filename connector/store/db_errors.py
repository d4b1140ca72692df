"""Translates database errors into StoreError, with a sentence for the operator and without any values of rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import exc
from sqlalchemy.engine import make_url

from connector.errors import AbortedError, RetryClass, StoreError

DATABASE_ERRORS = (exc.SQLAlchemyError, StoreError)
"""What a statement may raise inside a transaction or reader. Callers outside only see StoreError."""

UPGRADE = "Run `connector db upgrade`."
ENDED_TRANSACTION = "has ended the transaction"
_ENDED = "The database {address} ended a transaction after an error; nothing of it is stored."
_BUG = "This is a bug in the connector: please report it."


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fault:
    """A known failure. It is recognized by the beginning of PostgreSQL's SQLSTATE, or without one (SQLite, or a
    connection that PostgreSQL did not accept) by words in the driver's message."""

    states: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    message: str
    hint: str
    retry_class: RetryClass = RetryClass.CONFIG
    is_unavailable: bool = True

    def matches(self, state: str, text: str) -> bool:
        return state.startswith(self.states) if state else any(word in text for word in self.words)


_ABORTED = ("40001", "40P01", "55P03")
"""SQLSTATE of PostgreSQL: serialization failure, deadlock, lock timeout. The transaction is rolled back."""

_UNIQUE_VIOLATION = "23505"
"""SQLSTATE of PostgreSQL: another transaction has stored a row with the same key. SQLite has one writer at a time."""

_LOCKED = _Fault(
    states=("40",),
    words=("database is locked", "database table is locked"),
    message="The database {address} is locked by another process that writes to it.",
    hint="Try again: nothing is lost. If it stays locked, stop that process.",
    retry_class=RetryClass.TRANSIENT,
    is_unavailable=False,
)
_UNREACHABLE = _Fault(
    states=("08", "53", "57"),
    message="The database {address} cannot be reached.",
    hint="Check CONNECTOR_DATABASE_URL and that the server is running.",
    retry_class=RetryClass.TRANSIENT,
)
_UNOPENED = _Fault(
    words=("unable to open",),
    message="The database {address} cannot be opened.",
    hint="Check that its folder exists and can be written to, or change CONNECTOR_DATABASE_URL.",
)
_UNREADABLE = _Fault(
    message="This user may not read the file of the database {address}.",
    hint="Correct the owner or the permissions of the file, or change CONNECTOR_DATABASE_URL.",
)
_FOLDER = _Fault(
    message="The database {address} is a folder, and a file is needed.", hint="Change CONNECTOR_DATABASE_URL."
)
_FAULTS = (
    _LOCKED,
    _Fault(
        states=("57014",),
        message="A statement took longer than CONNECTOR_DATABASE__STATEMENT_SECONDS, and was stopped.",
        hint="See what the database waits for (pg_stat_activity), or raise the setting.",
        retry_class=RetryClass.TRANSIENT,
        is_unavailable=False,
    ),
    _Fault(
        states=("25P03",),
        message="This process stood still in the middle of a transaction, so the database ended it.",
        hint="Nothing is lost: it begins anew. If it happens again, see why the process or its machine stands still.",
        retry_class=RetryClass.TRANSIENT,
        is_unavailable=False,
    ),
    _UNREACHABLE,
    _Fault(
        states=("42P01", "42703", "3F000"),
        words=("no such table", "no such column", "has no column named"),
        message="The database {address} has no such table or column.",
        hint=f"{UPGRADE} If it has been upgraded already, restart this process.",
        is_unavailable=False,
    ),
    _UNOPENED,
    _Fault(
        words=("not a database", "malformed"),
        message="The file of {address} is not a usable database.",
        hint="Restore it from a backup, or change CONNECTOR_DATABASE_URL.",
    ),
    _Fault(
        states=("25006", "42501"),
        words=("readonly database",),
        message="The database {address} may not be written to.",
        hint="Check the permissions of its file and folder, or of its user.",
    ),
    _Fault(words=("disk is full",), message="The disk of the database is full.", hint="Free some space."),
    _Fault(
        states=("25P02",),
        message=_ENDED,
        hint=_BUG,
        is_unavailable=False,
    ),
    _Fault(
        words=(ENDED_TRANSACTION,),
        message=_ENDED,
        hint="See the error before this one. Free some space if its disk is full.",
    ),
    _Fault(
        states=("28",),
        words=("password authentication failed", "no password supplied", "no pg_hba.conf entry"),
        message="The database {address} refused the user or password.",
        hint="Correct CONNECTOR_DATABASE_URL.",
    ),
    _Fault(
        states=("3D",),
        words=("does not exist",),
        message="The database {address} does not exist.",
        hint="Create it, or correct CONNECTOR_DATABASE_URL.",
    ),
)


OnState = Callable[[StoreError | None], None]
"""Called with why the database is unavailable, or with None when it was used."""


@contextmanager
def translate_errors(address: str, on_state: OnState = lambda error: None) -> Iterator[None]:
    """Turn errors of the driver into StoreError; `address` is the URL without the password."""
    try:
        yield
        on_state(None)
    except exc.TimeoutError as error:
        raise StoreError(
            "Every connection to the database is busy.",
            hint="Try again, or run fewer workers.",
            retry_class=RetryClass.TRANSIENT,
        ) from error
    except exc.DBAPIError as error:
        explained = _explain(error, address)
        if explained.is_unavailable:
            on_state(explained)
        raise explained from error


def is_locked(error: Exception) -> bool:
    """Return whether SQLite did not get its lock because another process holds it."""
    return any(word in str(error) for word in _LOCKED.words)


def _explain(error: exc.DBAPIError, address: str) -> StoreError:
    state, text = getattr(error.orig, "sqlstate", None) or "", str(error.orig)
    if state in _ABORTED:
        return AbortedError("The database aborted this transaction in favor of another one.", hint="Try again.")
    for fault in _FAULTS:
        if fault.matches(state, text):
            return _error(_unreadable(address) if fault is _UNOPENED else fault, address)
    if state == _UNIQUE_VIOLATION:
        # The repeated transaction reads first and finds the row.
        return AbortedError(
            f"The database refused a value: {_first_line(text)}.", hint="Correct the data.", retry_class=RetryClass.DATA
        )
    if isinstance(error, exc.IntegrityError | exc.DataError):
        return StoreError(
            f"The database refused a value: {_first_line(text)}.",
            hint="Correct the data.",
            retry_class=RetryClass.DATA,
        )
    if error.connection_invalidated or error.statement is None:
        return _error(_UNREACHABLE, address)
    return StoreError(
        f"The database refused a statement: {_first_line(text)}.",
        hint=_BUG,
    )


def _unreadable(address: str) -> _Fault:
    """Say why SQLite cannot open a file: it gives one message for all causes."""
    file = Path(make_url(address).database or "")
    if file.is_dir():
        return _FOLDER
    return _UNREADABLE if file.exists() and not os.access(file, os.R_OK) else _UNOPENED


def _error(fault: _Fault, address: str) -> StoreError:
    error = StoreError(fault.message.format(address=address), hint=fault.hint, retry_class=fault.retry_class)
    error.is_unavailable = fault.is_unavailable
    return error


def _first_line(text: str) -> str:
    """Return the first line; PostgreSQL's other lines (DETAIL) quote the row."""
    return text.split("\n", 1)[0].rstrip(".")
