"""How to reach the org, and how it is used."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from connector.setting_checks import PREFIX, OptionalPath, matching


class AuthMethod(StrEnum):
    CLIENT_CREDENTIALS = "client_credentials"
    JWT = "jwt"
    PASSWORD = "password"  # noqa: S105 - the name of an OAuth flow


class Returns(StrEnum):
    """How returns appear in the org. `auto`: as reduction orders if the org has them, else only on the order."""

    AUTO = "auto"
    REDUCTION_ORDER = "reduction_order"
    RETURN_ORDER = "return_order"
    FIELDS = "fields"


class DuplicateRules(StrEnum):
    """What to do if a duplicate rule of the org warns about a record. (A rule that blocks always blocks.)"""

    BLOCK = "block"
    ALLOW = "allow"


class SalesforceSettings(BaseModel):
    """How to reach the org. `login_url` is the My Domain address; the token response names the host of data calls."""

    model_config = ConfigDict(extra="forbid")

    login_url: str = ""
    auth: AuthMethod = AuthMethod.CLIENT_CREDENTIALS
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    username: str = ""
    password: SecretStr = SecretStr("")
    private_key_file: OptionalPath = None
    api_version: Annotated[str, matching(r"\d{2}\.0", "66.0")] = "66.0"
    pubsub_endpoint: str = ""
    currency: Annotated[str, matching(r"[A-Z]{3}", "USD")] = "USD"
    """The currency of an org without multi-currency, which has no currency field."""
    returns: Returns = Returns.AUTO
    duplicate_rules: DuplicateRules = DuplicateRules.BLOCK
    """Whether a record is saved although a duplicate rule of the org warns about it."""
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
    """An expression over a customer, such as `country in ("DE", "AT")`; the first org whose expression is true has it,
    and the default org those of which none is true."""
