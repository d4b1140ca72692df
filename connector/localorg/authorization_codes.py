"""Authorization codes: each is valid for 15 minutes and can be redeemed once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

CODE_LIFETIME = timedelta(minutes=15)
MAX_OPEN_CODES = 1_000
SCOPES = ("api", "refresh_token", "offline_access", "web", "id", "profile", "email", "full", "openid")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}=?\Z")


class OAuthError(Exception):
    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description

    def body(self) -> dict[str, str]:
        return {"error": self.error, "error_description": self.description}


@dataclass(frozen=True, kw_only=True, slots=True)
class _CodeGrant:
    client_id: str
    redirect_uri: str
    scope: str
    nonce: str
    user_id: str
    challenge: str
    expires_at: datetime


def is_loopback_uri(uri: str) -> bool:
    """Whether a callback stays on this machine. Codes are sent nowhere else."""
    try:
        parts = urlsplit(uri)
        return parts.scheme in {"http", "https"} and parts.hostname in _LOOPBACK and not parts.fragment
    except ValueError:
        return False


def resolve_scope(requested: str) -> str:
    """Return the scopes to grant: those requested, or the default of an app. OAuthError for an unknown one."""
    scopes = requested.split()
    unknown = [name for name in scopes if name not in SCOPES]
    if unknown:
        raise OAuthError("invalid_scope", "the requested scope is not allowed")
    return " ".join(dict.fromkeys(scopes)) or "refresh_token api"


def validate_challenge(params: Mapping[str, str]) -> str:
    """Return the code challenge of a request, empty without one. Only S256 is accepted, as on the platform."""
    challenge = params.get("code_challenge", "")
    if challenge and (not _CHALLENGE.match(challenge) or params.get("code_challenge_method", "S256").upper() != "S256"):
        raise OAuthError("invalid_request", "invalid code challenge")
    return challenge.rstrip("=")


class AuthorizationCodes:
    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._open: dict[str, _CodeGrant] = {}

    def issue(
        self, *, client_id: str, redirect_uri: str, scope: str, challenge: str, user_id: str, nonce: str = ""
    ) -> str:
        code = f"aPrx{secrets.token_urlsafe(54).replace('-', '.')}=="
        self._open[code] = _CodeGrant(
            client_id=client_id,
            redirect_uri=redirect_uri,
            scope=scope,
            nonce=nonce,
            user_id=user_id,
            challenge=challenge,
            expires_at=self._clock() + CODE_LIFETIME,
        )
        while len(self._open) > MAX_OPEN_CODES:
            del self._open[next(iter(self._open))]
        return code

    def redeem(self, form: Mapping[str, str], client_id: str) -> tuple[str, str, str]:
        """Return scope, nonce and user of a code. The code is used up even if another parameter is wrong."""
        code = form.get("code", "")
        if not code:
            raise OAuthError("invalid_request", "missing required parameter: code")
        grant = self._open.pop(code, None)
        if grant is None:
            raise OAuthError("invalid_grant", "invalid authorization code")
        if grant.expires_at <= self._clock():
            raise OAuthError("invalid_grant", "expired authorization code")
        if grant.client_id != client_id:
            raise OAuthError("invalid_grant", "invalid authorization code")
        if form.get("redirect_uri") != grant.redirect_uri:
            raise OAuthError("redirect_uri_mismatch", "redirect_uri must match configuration")
        verifier = form.get("code_verifier", "")
        if grant.challenge or verifier:
            digest = hashlib.sha256(verifier.encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
            if not hmac.compare_digest(challenge, grant.challenge):
                raise OAuthError("invalid_grant", "invalid code verifier")
        return grant.scope, grant.nonce, grant.user_id
