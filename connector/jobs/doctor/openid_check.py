"""Whether people can sign in to the console by OpenID Connect."""

from __future__ import annotations

from connector.clock import Clock
from connector.errors import SignInError
from connector.model.health_check import HealthCheck, failed, passed, skipped, warned
from connector.settings import Settings
from connector.settings.checks import PREFIX, split_names

OPENID = "sign-in"


async def check_openid(settings: Settings, clock: Clock) -> HealthCheck:
    """Whether the provider answers, is the one of the settings, and does what we need. Nobody is signed in."""
    from connector.openid.provider import OpenIdProvider

    oidc = settings.oidc
    if not oidc.issuer:
        return skipped(OPENID, f"People sign in with tokens only ({PREFIX}OIDC__ISSUER).")
    try:
        metadata = await OpenIdProvider(oidc, clock=clock).metadata()
    except SignInError as error:
        return failed(OPENID, error.message, error.hint)
    groups = {"viewer": oidc.viewer_groups, "ops": oidc.ops_groups, "admin": oidc.admin_groups}
    roles = [f"{role}: {', '.join(sorted(split_names(names)))}" for role, names in groups.items() if names]
    text = f"{oidc.title} answers; the claim {oidc.roles_claim} decides on the role."
    methods = metadata.get("code_challenge_methods_supported")
    if isinstance(methods, list) and "S256" not in methods:
        return warned(OPENID, f"{text} It does not say that it knows PKCE.", "Ask whoever runs the provider.", roles)
    return passed(OPENID, text, roles)
