"""`CONNECTOR_OIDC__…`: signing in by OpenID Connect."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from connector.settings.checks import check_issuer, check_names, matching, split_names


class OidcSettings(BaseModel):
    """Signing in to the console by OpenID Connect. Without an issuer, people sign in with tokens only."""

    model_config = ConfigDict(extra="forbid")

    issuer: Annotated[str, AfterValidator(check_issuer)] = ""
    """The address of the provider, exactly as its `/.well-known/openid-configuration` names it; https, or http on this
    machine."""
    client_id: str = ""
    """The client as the provider knows it."""
    client_secret: SecretStr = SecretStr("")
    """The client's secret; empty for a public client, because PKCE is always used."""
    scopes: Annotated[str, matching(r"(\S+ )*openid( \S+)*", "openid profile email")] = "openid profile email"
    """What is asked for; some providers send groups only with a scope of their own."""
    roles_claim: Annotated[str, matching(r"\S+", "groups")] = "groups"
    """The claim of the ID token or of the user info with the names of groups; `realm_access.roles` (Keycloak) is
    `roles` in `realm_access`."""
    viewer_groups: Annotated[str, AfterValidator(check_names)] = ""
    """Who is a viewer: names of groups, separated by commas, or a JSON list for names with commas; `*`: everybody who
    signs in. The highest role counts; who has none is refused."""
    ops_groups: Annotated[str, AfterValidator(check_names)] = ""
    """Who has the role ops, in the same form."""
    admin_groups: Annotated[str, AfterValidator(check_names)] = ""
    """Who has the role admin, in the same form."""
    trust_email: bool = False
    """Whether the email of a person is theirs although the provider says nothing of that (`email_verified`, `xms_edov`
    of Entra ID): only if nobody can choose their own there. Else histories have the user name with the subject."""
    name: str = Field(default="", max_length=40)
    """What the button calls the provider; without it, its host."""
    redirect_uri: Annotated[str, AfterValidator(check_issuer)] = ""
    """Where the provider leads back to (`…/signin/openid/callback`), if a proxy does not pass on `Host` and
    `X-Forwarded-Proto`."""
    session_hours: float = Field(default=12, gt=0, le=720)
    """How long a session lasts."""

    @property
    def title(self) -> str:
        return self.name or urlsplit(self.issuer).netloc

    @property
    def problems(self) -> dict[str, str]:
        """What is wrong with settings that depend on each other, by name."""
        if not self.issuer:
            return {}
        problems = {} if self.client_id else {"client_id": "must be set: the client that the provider knows"}
        if not any(split_names(names) for names in (self.viewer_groups, self.ops_groups, self.admin_groups)):
            problems["viewer_groups"] = "or OPS_GROUPS or ADMIN_GROUPS must be set: nobody could sign in"
        return problems
