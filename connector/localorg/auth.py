"""Issue and check access tokens: the OAuth flows, and what makes a token valid.

Tokens are signed, not stored, so they survive a restart of the org. Revoking a token stores its grant ID only.
`_sessions_from` ends every session that was issued before it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import jwt
from jwt.algorithms import RSAAlgorithm

from connector.localorg import openid
from connector.localorg.authorization_codes import AuthorizationCodes, OAuthError
from connector.localorg.settings import OrgSettings
from connector.localorg.storage import Storage
from connector.localorg.users import Identity, Users

JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")
_AUDIENCE_PATHS = ("", "/", "/services/oauth2/token")
_JWT_AHEAD = 300  # the documented 3 minutes, and 2 for clock skew
_JWT_BEHIND = 180  # assertions of CumulusCI expire when they are signed
_MILLISECONDS = 1e11  # a larger expiry is in milliseconds: Salesforce's own command line sends those
_PUBLIC_CLIENTS = ("PlatformCLI",)  # in every org, without a secret
_BODY = struct.Struct(">cQQ8s15s")
_SIGNATURE = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    kind: str  # A access | R refresh
    issued: int  # epoch ms
    expires: int  # epoch ms; 0 never
    grant: str
    user_id: str


class Auth:
    def __init__(
        self,
        storage: Storage,
        settings: OrgSettings,
        clock: Callable[[], datetime],
        identity: Identity,
        *,
        jwt_public_key: str | None = None,
    ) -> None:
        self.storage = storage
        self.settings = settings
        self.clock = clock
        self.identity = identity  # the administrator
        self.users = Users(storage, identity.organization_id)
        self.client_id = self._load_or_create("client_id", lambda: "3MVG9" + secrets.token_hex(38))
        self.client_secret = self._load_or_create("client_secret", lambda: secrets.token_hex(32).upper())
        self.password = self._load_or_create("password", lambda: secrets.token_urlsafe(15))
        self.security_token = self._load_or_create("security_token", lambda: secrets.token_hex(12))
        self.codes = AuthorizationCodes(clock)
        self.page_key = self._load_or_create("page_key", lambda: secrets.token_urlsafe(24))
        self._issued_at = 0
        self._secret = bytes.fromhex(self._load_or_create("token_secret", lambda: secrets.token_hex(32)))
        self._revoked = set((storage.get_meta("revoked") or "").split())
        self._sessions_from = int(storage.get_meta("sessions_from") or 0)
        if jwt_public_key:
            self.register_key(jwt_public_key)

    def _load_or_create(self, name: str, make: Callable[[], str]) -> str:
        value = self.storage.get_meta(name)
        if value is None:
            value = make()
            self.storage.set_meta(name, value)
        return value

    def _now_ms(self) -> int:
        return int(self.clock().timestamp() * 1000)

    # -- tokens -----------------------------------------------------------------------------------------------------

    def issue(self, kind: str = "A", *, grant: str | None = None, seconds: int | None = None, user_id: str = "") -> str:
        """Return a new token of this user, or of the administrator."""
        life = self.settings.token_seconds if seconds is None else seconds
        now = self._issued_at = max(self._now_ms(), self._issued_at + 1)  # no two tokens are equal
        expires = now + life * 1000 if kind == "A" else 0
        raw_grant = bytes.fromhex(grant) if grant else secrets.token_bytes(8)
        body = _BODY.pack(kind.encode(), now, expires, raw_grant, (user_id or self.identity.user_id)[:15].encode())
        signed = body + hmac.digest(self._secret, body, "sha256")
        text = base64.urlsafe_b64encode(signed).decode().rstrip("=").replace("-", ".")
        return f"{self.identity.organization_id[:15]}!{text}" if kind == "A" else f"5Aep861{text}"

    def read_session(self, token: str) -> Session | None:
        """Return the session of a token, or None if the token is not ours, expired or revoked."""
        short = self.identity.organization_id[:15]
        for start in (f"{short}!", "5Aep861"):
            if token.startswith(start):
                text = token[len(start) :].replace(".", "-")
                break
        else:
            return None
        try:
            signed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except (binascii.Error, ValueError):
            return None
        body, signature = signed[:-_SIGNATURE], signed[-_SIGNATURE:]
        if len(body) != _BODY.size or not hmac.compare_digest(signature, hmac.digest(self._secret, body, "sha256")):
            return None
        kind, issued, expires, grant, raw_user = _BODY.unpack(body)
        user = self.users.by_id(raw_user.decode("ascii", "replace"))
        if user is None:
            return None
        session = Session(kind=kind.decode(), issued=issued, expires=expires, grant=grant.hex(), user_id=user.user_id)
        if session.grant in self._revoked or (expires and expires <= self._now_ms()):
            return None
        if session.kind == "A" and session.issued < self._sessions_from:
            return None
        return session

    def revoke(self, token: str) -> bool:
        session = self.read_session(token)
        if session is None:
            return False
        self._revoked.add(session.grant)
        self.storage.set_meta("revoked", " ".join(sorted(self._revoked)))
        return True

    def end_sessions(self) -> None:
        """Make every access token issued so far invalid."""
        self._sessions_from = self._now_ms() + 1
        self.storage.set_meta("sessions_from", str(self._sessions_from))

    def bearer_session(self, header: str | None) -> Session | None:
        scheme, _, token = (header or "").partition(" ")
        session = self.read_session(token.strip()) if scheme.lower() in {"bearer", "oauth"} else None
        return session if session is not None and session.kind == "A" else None

    # -- flows ------------------------------------------------------------------------------------------------------

    def register_key(self, pem: str) -> None:
        """Trust assertions that are signed with the private half of this key. ValueError if it is no RSA key in PEM."""
        try:
            RSAAlgorithm(RSAAlgorithm.SHA256).prepare_key(pem)
        except (jwt.PyJWTError, TypeError, ValueError):
            raise ValueError("it must be an RSA key in PEM form") from None
        self.storage.set_meta("jwt_public_key", pem)

    def is_known_client(self, client_id: str) -> bool:
        return client_id == self.client_id or client_id in _PUBLIC_CLIENTS

    def check_client(self, form: Mapping[str, str], basic: str | None, *, public: bool = False) -> str:
        """Return the ID of the calling client after checking its secret. A `public` flow also accepts clients without
        one.
        """
        client_id, secret = form.get("client_id"), form.get("client_secret")
        if basic and basic.lower().startswith("basic "):
            try:
                client_id, _, secret = base64.b64decode(basic[6:].strip()).decode().partition(":")
            except (binascii.Error, ValueError):
                raise OAuthError("invalid_client", "invalid client credentials") from None
        if not client_id:
            raise OAuthError("invalid_request", "missing required parameter: client_id")
        if public and client_id in _PUBLIC_CLIENTS:
            return client_id
        if client_id != self.client_id:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        if not secret or not hmac.compare_digest(secret.encode(), self.client_secret.encode()):
            raise OAuthError("invalid_client", "invalid client credentials")
        return client_id

    def verify_password(self, username: str, password: str) -> Identity | None:
        """Return the active user with this name and password, or None. The security token may follow the password."""
        user = self.users.by_name(username)
        if user is None:
            return None
        without_token = password.removesuffix(self.security_token)
        if any(self.users.has_password(user.user_id, given) for given in {password, without_token}):
            return user
        own = user.user_id == self.identity.user_id and hmac.compare_digest(
            without_token.encode(), self.password.encode()
        )
        return user if own else None

    def handle_token_request(self, form: Mapping[str, str], basic: str | None, own_url: str) -> dict[str, Any]:
        """Return the body of the response to `POST /services/oauth2/token`."""
        match form.get("grant_type"):
            case "client_credentials":
                self.check_client(form, basic)
                return self.token_response(own_url, self.identity)
            case "authorization_code":
                client_id = self.check_client(form, basic, public=True)
                scope, nonce, user_id = self.codes.redeem(form, client_id)
                user = self._active_user(user_id)
                response = self.token_response(own_url, user, scope=scope)
                if "openid" in scope.split():
                    response["id_token"] = openid.id_token(
                        self._now_ms() // 1000,
                        nonce,
                        iss=own_url,
                        sub=identity_url(own_url, user),
                        aud=client_id,
                        preferred_username=user.username,
                        email=user.email,
                    )
                return response
            case "password":
                self.check_client(form, basic)
                owner = self.verify_password(form.get("username", ""), form.get("password", ""))
                if owner is None:
                    raise OAuthError("invalid_grant", "authentication failure")
                return self.token_response(own_url, owner, scope="refresh_token api")
            case "refresh_token":
                self.check_client(form, basic, public=True)
                if not form.get("refresh_token"):
                    raise OAuthError("invalid_request", "missing required parameter: refresh_token")
                session = self.read_session(form.get("refresh_token", ""))
                if session is None or session.kind != "R":
                    raise OAuthError("invalid_grant", "expired access/refresh token")
                user = self._active_user(session.user_id)
                return self.token_response(own_url, user, scope="refresh_token api", grant=session.grant)
            case grant if grant == JWT_GRANT:
                return self.token_response(own_url, self._check_assertion(form.get("assertion", ""), own_url))
            case None | "":
                raise OAuthError("invalid_request", "missing required parameter: grant_type")
            case _:
                raise OAuthError("unsupported_grant_type", "grant type not supported")

    def _active_user(self, user_id: str) -> Identity:
        user = self.users.by_id(user_id)
        if user is None:
            raise OAuthError("invalid_grant", "user is inactive")
        return user

    def _check_assertion(self, assertion: str, own_url: str) -> Identity:
        """Return the user that a JWT is about. Every active user has approved the app."""
        key = self.storage.get_meta("jwt_public_key")
        if not assertion:
            raise OAuthError("invalid_request", "missing required parameter: assertion")
        if key is None:
            raise OAuthError("invalid_grant", "invalid assertion")
        try:
            claims = jwt.decode(
                assertion,
                key,
                algorithms=["RS256"],
                audience=[f"{base}{path}" for base in (*_AUDIENCES, own_url) for path in _AUDIENCE_PATHS],
                options={"require": ["iss", "sub", "aud", "exp"], "verify_exp": False},
            )
        except jwt.InvalidAudienceError:
            raise OAuthError("invalid_grant", "audience is invalid") from None
        except (jwt.InvalidTokenError, ValueError):
            raise OAuthError("invalid_grant", "invalid assertion") from None
        if claims["iss"] != self.client_id:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        now = self._now_ms() / 1000
        try:
            expires = float(claims["exp"])  # simple-salesforce sends it as text, and the platform takes it
        except (TypeError, ValueError):
            raise OAuthError("invalid_grant", "invalid assertion") from None
        if not now - _JWT_BEHIND <= expires <= now + _JWT_AHEAD and expires < _MILLISECONDS:
            raise OAuthError("invalid_grant", "invalid assertion")
        user = self.users.by_name(str(claims["sub"]))
        if user is None:
            raise OAuthError("invalid_grant", "user hasn't approved this consumer")
        return user

    def token_response(
        self, own_url: str, user: Identity, *, scope: str = "api", grant: str | None = None
    ) -> dict[str, Any]:
        """Build a token response. It has a refresh token if the scope asks for one."""
        refreshed, grant = grant is not None, grant or secrets.token_hex(8)
        issued_at = str(self._now_ms())
        identity = identity_url(own_url, user)
        signature = hmac.new(self.client_secret.encode(), (identity + issued_at).encode(), hashlib.sha256).digest()
        response = {
            "access_token": self.issue(grant=grant, user_id=user.user_id),
            "signature": base64.b64encode(signature).decode(),
            "scope": scope,
            "instance_url": own_url,
            "id": identity,
            "token_type": "Bearer",
            "issued_at": issued_at,
        }
        if not refreshed and {"refresh_token", "offline_access"} & set(scope.split()):
            response["refresh_token"] = self.issue("R", grant=grant, user_id=user.user_id)
        return response


def identity_url(own_url: str, user: Identity) -> str:
    return f"{own_url}/id/{user.organization_id}/{user.user_id}"
