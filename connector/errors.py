"""Every error the connector raises on purpose.

    ConnectorError                  something failed; the command line exits with 1
    ├── UsageError                  the caller can fix it before we start; exits with 2
    │   ├── SettingsError           a setting is missing or wrong
    │   ├── MappingError            mapping files, every problem at once
    │   ├── ProfileError            an import profile, every problem at once
    │   ├── RulesError              order rules, every problem at once
    │   └── SeedFileError           what a local org is to be like, every problem at once
    ├── CommandError                an order, or stock, does not allow the command
    ├── StoreError                  the database cannot be used (absent, older schema, locked)
    │   └── AbortedError            it gave up a transaction for another one; the same again may succeed
    ├── LeaseLostError              another process took over the partition we were draining
    ├── DeliveryError          the mail server or webhook did not accept a message
    ├── SignInError            nobody is signed in by OpenID Connect; the sentence is for who tried
    └── SalesforceError             the org, or the way to it
        ├── AuthError               no token to be had
        ├── OtherOrgError           another org answers than the one the database works with
        ├── ApiBudgetError          we made no call, to save the org's API budget; nothing was done
        ├── TransportError          no answer, or one cut short: the outcome is unknown
        └── RefusedError            the org answered with an error for the whole call

An error says what happened (`message`), what the operator should do (`hint`) and whether a repeat can help
(`retry_class`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class RetryClass(StrEnum):
    """Whether and why a repeat can help; `salesforce/fault.py` assigns it."""

    TRANSIENT = "transient"
    ROW_LOCK = "row-lock"
    LIMIT = "limit"
    AUTH = "auth"
    DATA = "data"
    CONFIG = "config"
    UNKNOWN = "unknown"

    @property
    def retryable(self) -> bool:
        """Whether the same call can succeed later without anybody changing anything."""
        return self in {RetryClass.TRANSIENT, RetryClass.ROW_LOCK, RetryClass.LIMIT}


class Scope(StrEnum):
    """What an error of the org concerns. The cause of a `doubt` is decided by the other rows of the push: if the org
    accepted none, it is the org, else the record (`outbound.health`)."""

    RECORD = "record"
    DOUBT = "doubt"
    ORG = "org"


class ConnectorError(Exception):
    """Something failed; the message says what, the hint what to do."""

    exit_status = 1

    def __init__(self, message: str, *, hint: str = "", retry_class: RetryClass = RetryClass.UNKNOWN) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retry_class = retry_class

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UsageError(ConnectorError):
    """The request cannot be carried out as it stands."""

    exit_status = 2


class SettingsError(UsageError):
    """A setting is missing or wrong."""


class ListedError(UsageError):
    """Several problems, each one line of `file:line:column: field: what, and what to do`."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems), retry_class=RetryClass.CONFIG)
        self.problems = tuple(problems)


class SeedFileError(ListedError):
    """A seed file of a local org that cannot be used."""


class MappingError(ListedError):
    """Mapping files that cannot be used."""


class RulesError(ListedError):
    """Order rules that cannot be used."""


class ProfileError(ListedError):
    """An import profile that cannot be used."""


class CommandError(ConnectorError):
    """An order (or stock) does not allow what was asked; nothing was changed. `field` is what the caller sent or the
    state that stands against it, `rule` the rule in a word."""

    def __init__(self, message: str, *, hint: str = "", field: str, rule: str) -> None:
        super().__init__(message, hint=hint, retry_class=RetryClass.DATA)
        self.field = field
        self.rule = rule


class StoreError(ConnectorError):
    """The database cannot be used as it is. `is_unavailable`: it cannot be reached, or not be written to at all."""

    is_unavailable = False


class AbortedError(StoreError):
    """The database aborted this transaction in favor of another one. It had no effect, and a repeat may succeed."""

    def __init__(self, message: str, *, hint: str = "", retry_class: RetryClass = RetryClass.TRANSIENT) -> None:
        super().__init__(message, hint=hint, retry_class=retry_class)


class LeaseLostError(ConnectorError):
    """Another process acquired a lease that we held; it repeats whatever we had in flight."""


class DeliveryError(ConnectorError):
    """A mail server or webhook did not accept a message. `affects_all`: the cause is not this message, so every other
    one would fail, too; `wait`: the seconds after which the receiver asked for a retry. The text contains neither an
    address nor the text of a message."""

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        retry_class: RetryClass,
        affects_all: bool = False,
        wait: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint, retry_class=retry_class)
        self.affects_all = affects_all
        self.wait = wait


class SignInError(ConnectorError):
    """Signing in by OpenID Connect has failed. With RetryClass.TRANSIENT the provider is away, and not the person
    wrong. `logged` is what a log says, where the message names a person or repeats what somebody sent."""

    def __init__(
        self, message: str, *, hint: str = "", retry_class: RetryClass = RetryClass.UNKNOWN, logged: str = ""
    ) -> None:
        super().__init__(message, hint=hint, retry_class=retry_class)
        self.logged = logged or message


class SalesforceError(ConnectorError):
    """The org refused, or could not be reached. `code` is the org's word for it, or ours; `retry_after` are the seconds
    after which it asked us to come again; `detail` the org's own words, which may repeat values: for a person, not for
    a log."""

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        retry_class: RetryClass = RetryClass.UNKNOWN,
        code: str = "",
        scope: Scope = Scope.ORG,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint, retry_class=retry_class)
        self.code = code
        self.scope = scope
        self.retry_after = retry_after
        self.detail = ""


class AuthError(SalesforceError):
    """No access token could be obtained."""


class OtherOrgError(SalesforceError):
    """An org other than the one the database works with answers: nothing is assumed about it, and nothing is sent."""


class ApiBudgetError(SalesforceError):
    """A call was not made, to save the org's API budget for what is more urgent. Nothing was done."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint, retry_class=RetryClass.LIMIT, code="API_BUDGET")


class TransportError(SalesforceError):
    """No complete answer came; what the org did with the request is unknown."""


class RefusedError(SalesforceError):
    """The org answered with an error for the whole call."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int,
        hint: str = "",
        retry_class: RetryClass = RetryClass.UNKNOWN,
        scope: Scope = Scope.RECORD,
    ) -> None:
        super().__init__(message, hint=hint, retry_class=retry_class, code=code, scope=scope)
        self.status = status
        self.fields: tuple[str, ...] = ()
