"""Who somebody is, and may be, by the claims of a provider. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connector.errors import SignInError
from connector.model.keys import LONGEST, visible_key
from connector.model.role import Role
from connector.settings.checks import split_names
from connector.settings.oidc import OidcSettings

_LEAST_SHOWN = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """`name` is written to histories as the actor; `subject` is what the provider never gives to another person."""

    name: str
    role: Role
    issuer: str
    subject: str


def identify(claims: Mapping[str, object], settings: OidcSettings) -> Identity:
    """Return who has signed in. Raises SignInError if no group of theirs has a role here."""
    name = _name(claims, settings)
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
        raise SignInError(told, hint=hint, logged=f"somebody has no role by the claim {claim}")
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


def _name(claims: Mapping[str, object], settings: OidcSettings) -> str:
    """The address that the provider vouches for. Whoever has none is named by what is shown of them, together with the
    subject, which nobody else has: many providers let people choose their address and user name."""
    subject = visible_key(str(claims["sub"]))
    address, user = _text(claims, "email"), _text(claims, "preferred_username")
    if address and _is_vouched(claims, settings):
        return address
    shown, room = user or address, LONGEST - len(subject) - len(" ()")
    if shown and shown != subject and room >= _LEAST_SHOWN:
        return f"{shown[:room].rstrip()} ({subject})"
    if subject:
        return subject
    raise SignInError("The provider has said no name that can be written down.", hint="Ask whoever runs the provider.")


def _text(claims: Mapping[str, object], name: str) -> str:
    value = claims.get(name)
    return visible_key(value) if isinstance(value, str) else ""


def _is_vouched(claims: Mapping[str, object], settings: OidcSettings) -> bool:
    """Whether the address is known to be the person's: the provider says so (`email_verified`; Entra ID by
    `xms_edov`), or whoever runs the connector."""
    if _is_true(claims.get("email_verified")) or _is_true(claims.get("xms_edov")):
        return True
    return settings.trust_email and claims.get("email_verified") is None


def _is_true(value: object) -> bool:
    return value is True or (isinstance(value, str | int) and str(value).lower() in {"true", "1"})
