"""What a failure of the database means: one StoreError with a sentence for the operator, never the values involved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from connector.errors import RetryClass, StoreError

UPGRADE = "Run `connector db upgrade`."


@contextmanager
def translated(address: str) -> Iterator[None]:
    """Turn whatever the driver raises inside into a StoreError; `address` is the URL without its password."""
    try:
        yield
    except exc.TimeoutError as error:
        raise StoreError(
            "Every connection to the database is busy.",
            hint="Try again, or run fewer workers.",
            retry_class=RetryClass.TRANSIENT,
        ) from error
    except exc.DBAPIError as error:
        raise _explain(error, address) from error
    except OSError as error:
        raise unreachable(address) from error


def unreachable(address: str) -> StoreError:
    return StoreError(
        f"The database {address} cannot be reached.",
        hint="Check CONNECTOR_DATABASE_URL and that the server is running.",
        retry_class=RetryClass.TRANSIENT,
    )


def locked() -> StoreError:
    return StoreError(
        "The database is locked by another writer.",
        hint="Try again; if it stays locked, stop the other process that holds it.",
        retry_class=RetryClass.TRANSIENT,
    )


def _explain(error: exc.DBAPIError, address: str) -> StoreError:
    state = getattr(error.orig, "sqlstate", None)
    if isinstance(state, str) and state:
        return _from_sqlstate(state, error, address)
    text = str(error.orig)
    if "locked" in text or "busy" in text:
        return locked()
    if "no such table" in text or "no such column" in text:
        return StoreError("The database has no such table yet.", hint=UPGRADE, retry_class=RetryClass.CONFIG)
    if "unable to open" in text:
        return StoreError(
            f"The database {address} cannot be opened.",
            hint="Check that its folder exists and can be written to, or change CONNECTOR_DATABASE_URL.",
            retry_class=RetryClass.CONFIG,
        )
    if "not a database" in text or "malformed" in text:
        return StoreError(
            f"The file of {address} is not a usable database.",
            hint="Restore it from a backup, or change CONNECTOR_DATABASE_URL.",
            retry_class=RetryClass.CONFIG,
        )
    if "readonly" in text:
        return StoreError(
            f"The database {address} may not be written to.", hint="Check the permissions of the file and its folder."
        )
    if "disk is full" in text:
        return StoreError("The disk of the database is full.", hint="Free some space.")
    if isinstance(error, exc.IntegrityError | exc.DataError):
        return _refused(error)
    if isinstance(error, exc.OperationalError | exc.InterfaceError) and error.statement is None:
        return unreachable(address)
    return StoreError(f"The database refused a statement: {_first_line(error)}", hint=UPGRADE)


def _from_sqlstate(state: str, error: exc.DBAPIError, address: str) -> StoreError:
    """By PostgreSQL's error class, the first two characters: https://www.postgresql.org/docs/current/errcodes-appendix.html"""
    if state in {"42P01", "42703", "3F000"}:
        return StoreError("The database has no such table yet.", hint=UPGRADE, retry_class=RetryClass.CONFIG)
    if state[:2] == "40" or state == "55P03":
        return StoreError("Another writer held the same rows.", hint="Try again.", retry_class=RetryClass.TRANSIENT)
    if state[:2] == "28":
        return StoreError(
            f"The database {address} refused the user or password.",
            hint="Correct CONNECTOR_DATABASE_URL.",
            retry_class=RetryClass.CONFIG,
        )
    if state == "3D000":
        return StoreError(
            f"The database {address} does not exist.",
            hint="Create it, or correct CONNECTOR_DATABASE_URL.",
            retry_class=RetryClass.CONFIG,
        )
    if state[:2] in {"08", "53", "57"}:
        return unreachable(address)
    if state[:2] in {"22", "23"}:
        return _refused(error)
    return StoreError(f"The database refused a statement: {_first_line(error)}", hint=UPGRADE)


def _refused(error: exc.DBAPIError) -> StoreError:
    return StoreError(
        f"The database refused a value: {_first_line(error)}.", hint="Correct the data.", retry_class=RetryClass.DATA
    )


def _first_line(error: exc.DBAPIError) -> str:
    """PostgreSQL's further lines (DETAIL) quote the row itself."""
    lines = str(error.orig).splitlines()
    return lines[0].rstrip(".") if lines else type(error.orig).__name__
