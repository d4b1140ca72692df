"""Who somebody is, and may be, by the claims of a provider. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connector.errors import SignInError
from connector.model.keys import visible_key
from connector.model.role import Role
from connector.policies import OidcSettings
from connector.setting_checks import split_names


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """`name` is written to histories as the actor; `subject` is what the provider never gives to another person."""

    name: str
    role: Role
    issuer: str
    subject: str


def identify(claims: Mapping[str, object], settings: OidcSettings) -> Identity:
    """Return who has signed in. Raises SignInError if no group of theirs has a role here."""
    name = _name(claims)
    values = _values(claims, settings.roles_claim)
    role = _role(values, settings)
    if role is None:
        claim = settings.roles_claim
        if not values:
            told = f"{settings.title} says nothing of {name} in the claim {claim}."
        else:
            some = ", ".join(value[:60] for value in values[:5]) + (", …" if len(values) > 5 else "")
            told = f"{name} may not use this console: {settings.title} says {some} in the claim {claim}."
        hint = "Whoever runs the connector can give one of these a role (CONNECTOR_OIDC__VIEWER_GROUPS and others)."
        raise SignInError(told, hint=hint)
    return Identity(name=name, role=role, issuer=settings.issuer, subject=str(claims["sub"])[:255])


def _role(values: Sequence[str], settings: OidcSettings) -> Role | None:
    """The highest role that one of the values has."""
    groups = {
        Role.ADMIN: settings.admin_groups,
        Role.OPS: settings.ops_groups,
        Role.VIEWER: settings.viewer_groups,
    }
    for role in sorted(groups, key=list(Role).index, reverse=True):
        chosen = split_names(groups[role])
        if "*" in chosen or not chosen.isdisjoint(values):
            return role
    return None


def _values(claims: Mapping[str, object], name: str) -> list[str]:
    """The values of a claim: a text, or a list. `realm_access.roles` also means the claim `roles` in `realm_access`."""
    found: object = claims.get(name)
    if found is None:
        found = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return [found] if found else []
    return [item for item in found if isinstance(item, str) and item] if isinstance(found, list) else []


def _name(claims: Mapping[str, object]) -> str:
    """The address that the provider vouches for, else the user name, else the subject."""
    verified = claims.get("email_verified", True)
    is_vouched = verified is True or verified == "true"
    for claim in ("email", "preferred_username", "sub"):
        value = claims.get(claim)
        if isinstance(value, str) and (claim != "email" or is_vouched) and (name := visible_key(value)):
            return name
    raise SignInError("The provider has said no name that can be written down.", hint="Ask whoever runs the provider.")
