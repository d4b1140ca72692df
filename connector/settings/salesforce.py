"""`CONNECTOR_SALESFORCE__…` and `CONNECTOR_ORGS__NAME__…`: how to reach an org, and how it is used."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from connector.settings.checks import PREFIX, OptionalPath, matching

DEFAULT_ORG = "default"
"""What people call the org that has no name in the settings."""


class AuthMethod(StrEnum):
    """How the connector signs in: with a client secret, with a signed JWT, or with a user's password."""

    CLIENT_CREDENTIALS = "client_credentials"
    JWT = "jwt"
    PASSWORD = "password"  # noqa: S105 - the name of an OAuth flow


class Returns(StrEnum):
    """How returns appear in the org: as a reduction order, as a return order, or only in fields of the order.
    `auto`: as reduction orders if the org has them, else in fields."""

    AUTO = "auto"
    REDUCTION_ORDER = "reduction_order"
    RETURN_ORDER = "return_order"
    FIELDS = "fields"


class DuplicateRules(StrEnum):
    """What to do if a duplicate rule of the org warns about a record. `block`: it becomes a dead letter; `allow`: it is
    saved all the same. A rule that blocks always blocks."""

    BLOCK = "block"
    ALLOW = "allow"


class SalesforceSettings(BaseModel):
    """How to reach the org. Data calls go to the host that the token response names."""

    model_config = ConfigDict(extra="forbid")

    login_url: str = ""
    """The org's My Domain address. Without it, nothing is sent or received."""
    auth: AuthMethod = AuthMethod.CLIENT_CREDENTIALS
    client_id: str = ""
    """The consumer key of the connected app or external client app."""
    client_secret: SecretStr = SecretStr("")
    """The app's consumer secret, for `client_credentials` and `password`."""
    username: str = ""
    """The user that signs in, for `jwt` and `password`."""
    password: SecretStr = SecretStr("")
    """For `password`; the security token is appended to it if the org requires one."""
    private_key_file: OptionalPath = None
    """For `jwt`: the PEM file of the app's RSA key."""
    api_version: Annotated[str, matching(r"\d{2}\.0", "66.0")] = "66.0"
    """The version of the REST, Bulk and Metadata APIs that is called."""
    pubsub_endpoint: str = ""
    """Where events are received and published, by TLS except to this machine. Without it, Salesforce's own endpoint
    (`api.pubsub.salesforce.com:7443`); it must be set for an org on this machine."""
    currency: Annotated[str, matching(r"[A-Z]{3}", "USD")] = "USD"
    """The currency of an org without multi-currency, which has no currency field."""
    returns: Returns = Returns.AUTO
    duplicate_rules: DuplicateRules = DuplicateRules.BLOCK
    timeout_seconds: float = Field(default=130, gt=0, le=600)
    """Longest wait for one response. The org itself gives up on a lock after 10 s, and on a query after 120 s."""
    _org: str = ""

    def full_name(self, name: str) -> str:
        """One of these settings as a user writes it; of an org that has a name, with that name."""
        return f"{PREFIX}{f'ORGS__{self._org}' if self._org else 'salesforce'}__{name}".upper()

    def with_full_names(self, text: str) -> str:
        """A text that names settings of the default org, with the names of these."""
        return text.replace(f"{PREFIX}SALESFORCE__", self.full_name(""))

    def of_org(self, name: str) -> SalesforceSettings:
        """The same settings, as those of the org that has this name."""
        copy = self.model_copy()
        copy._org = name
        return copy


class OrgSettings(SalesforceSettings):
    """One of several orgs: how to reach it, and which new customers have their account there."""

    customers: str = ""
    """Which new customers have their account in this org: an expression over a customer, such as `country in ("DE",
    "AT")`. The first org whose expression is true has the customer; the default org has those for which none is
    true."""
