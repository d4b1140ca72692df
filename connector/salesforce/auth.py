"""Owns the access token: signs in once for all callers, and renews the token when the org answers 401.

A sign-in blocks, so it runs in a thread pool. Salesforce does not say how long a token is valid, so it is used until
the org refuses it. Neither errors nor reprs show secrets.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import requests

from connector.clock import Clock
from connector.errors import AuthError, RetryClass, SettingsError
from connector.files import UnusableFileError, read_file
from connector.log import get_logger
from connector.salesforce.address import checked_origin
from connector.salesforce.errors import UnreadableResponseError
from connector.salesforce.fault import NoResponse
from connector.salesforce.retry import parse_retry_after
from connector.salesforce.session import OrgSession
from connector.settings.salesforce import AuthMethod, SalesforceSettings

log = get_logger(__name__)

_MAX_KEY_BYTES = 64 * 1024
_OAUTH_PATH = "/services/oauth2/"
_ASSERTION_LIFETIME = timedelta(minutes=3)
_PLACEHOLDER_DOMAIN = "custom-host"
_BUSY_STATUSES = frozenset({408, 420, 429})
_REFUSAL_CACHE_LIFETIME = timedelta(seconds=30)
"""A refused sign-in is not repeated within this time: too many would lock the user out."""

_REQUIRED = {
    AuthMethod.CLIENT_CREDENTIALS: ("client_id", "client_secret"),
    AuthMethod.JWT: ("client_id", "username", "private_key_file"),
    AuthMethod.PASSWORD: ("client_id", "client_secret", "username", "password"),
}

# error, words in error_description, hint, retry class (Salesforce's OAuth error list; {flow} is replaced)
_HINTS: tuple[tuple[str, str, str, RetryClass], ...] = (
    ("invalid_client_id", "", "Check {setting}CLIENT_ID; a new app needs up to 10 minutes.", RetryClass.AUTH),
    ("invalid_client", "", "Check {setting}CLIENT_SECRET and {setting}CLIENT_ID.", RetryClass.AUTH),
    ("invalid_app_access", "", "Approve the user for the app (Manage > Permission Sets).", RetryClass.AUTH),
    ("invalid_grant", "hasn't approved", "Pre-authorize the user of {setting}USERNAME for the app.", RetryClass.AUTH),
    ("invalid_grant", "no client credentials user", "Set the app's Run As user in Setup.", RetryClass.AUTH),
    ("invalid_grant", "flow not enabled", "Enable the flow of {setting}AUTH in the app's settings.", RetryClass.AUTH),
    ("invalid_grant", "not supported on this domain", "Set {setting}LOGIN_URL to your My Domain.", RetryClass.AUTH),
    ("invalid_grant", "ip restricted", "Allow this machine's address in the app or profile.", RetryClass.AUTH),
    ("invalid_grant", "inactive user", "Activate the integration user in Setup.", RetryClass.AUTH),
    ("invalid_grant", "inactive org", "Check {setting}LOGIN_URL: that org is inactive.", RetryClass.AUTH),
    ("invalid_grant", "audience", "Check {setting}LOGIN_URL: sandbox and production differ.", RetryClass.AUTH),
    (
        "invalid_grant",
        "assertion",
        "Check {setting}PRIVATE_KEY_FILE (the app holds its certificate) and the clock.",
        RetryClass.AUTH,
    ),
    ("invalid_grant", "", "Check {flow}.", RetryClass.AUTH),
    ("unsupported_grant_type", "", "Check {setting}AUTH and {setting}LOGIN_URL.", RetryClass.AUTH),
    ("invalid_request", "", "Check {flow}.", RetryClass.AUTH),
    ("rate_limit_exceeded", "", "Wait an hour: the user signed in too often.", RetryClass.LIMIT),
    ("unknown_error", "", "Nothing to do: it is tried again automatically.", RetryClass.TRANSIENT),
    ("server_error", "", "Nothing to do: it is tried again automatically.", RetryClass.TRANSIENT),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A session of the org: the address of data calls, and the 18-character IDs of its org and user."""

    access_token: str = field(repr=False)
    instance_url: str
    org_id: str
    user_id: str


class TokenOwner:
    """Signs in when a token is first needed. Raises SettingsError at once if the settings cannot work."""

    def __init__(self, settings: SalesforceSettings, *, clock: Clock, pool: Executor, client: str) -> None:
        self._origin = _check_settings(settings)
        self._settings = settings
        self._clock = clock
        self._pool = pool
        self._client = client
        self._token: Token | None = None
        self._newest_token: Token | None = None
        self._pending_sign_in: asyncio.Task[Token] | None = None
        self._last_refusal: tuple[datetime, AuthError] | None = None

    @property
    def current(self) -> Token | None:
        """The newest token, without signing in; None before the first sign-in."""
        return self._newest_token

    async def token(self) -> Token:
        """The token in use, or a new one. Concurrent callers share one sign-in.

        Raises AuthError if the org refuses us, and TransportError if it cannot be reached.
        """
        return self._token or await self._sign_in_once()

    async def renew(self, stale: Token) -> Token:
        """A token other than `stale`, which the org refused."""
        if self._token is stale:
            self._token = None
        return await self.token()

    async def close(self) -> None:
        if self._pending_sign_in is not None:
            self._pending_sign_in.cancel()
            await asyncio.gather(self._pending_sign_in, return_exceptions=True)
        self._token = None

    async def _sign_in_once(self) -> Token:
        if self._last_refusal is not None:
            since, error = self._last_refusal
            if self._clock.now() - since < _REFUSAL_CACHE_LIFETIME:
                raise AuthError(error.message, hint=error.hint, retry_class=error.retry_class, code=error.code)
            self._last_refusal = None
        if self._pending_sign_in is None:
            self._pending_sign_in = asyncio.create_task(self._sign_in())
            self._pending_sign_in.add_done_callback(self._on_sign_in_done)
        # Shielded: one caller that gives up must not take the others' sign-in with it.
        return await asyncio.shield(self._pending_sign_in)

    async def _sign_in(self) -> Token:
        loop = asyncio.get_running_loop()
        token = await loop.run_in_executor(self._pool, self._sign_in_blocking)
        if self._newest_token is not None and token.org_id != self._newest_token.org_id:
            raise AuthError(
                f"Another org answers at this address: {token.org_id}, not {self._newest_token.org_id}.",
                hint=f"Check {self._settings.full_name('login_url')}. For a refreshed sandbox: restart, then"
                f" `connector org use {token.org_id}`.",
                retry_class=RetryClass.CONFIG,
            )
        if self._newest_token is not None and token.instance_url != self._newest_token.instance_url:
            log.warning("org_moved", host=_host(token), before=_host(self._newest_token))
        self._token = self._newest_token = token
        return token

    def _on_sign_in_done(self, flight: asyncio.Task[Token]) -> None:
        self._pending_sign_in = None
        error = None if flight.cancelled() else flight.exception()
        if isinstance(error, AuthError) and not error.retry_class.retryable:
            self._last_refusal = (self._clock.now(), error)

    def _sign_in_blocking(self) -> Token:
        """Ask for a token. simple-salesforce does the same, but takes 20 MB, most of it for metadata."""
        domain, audience = _domains(self._origin)
        form, headers = self._token_request(audience)
        routes = {f"https://{domain}.salesforce.com": self._origin}
        bodies: list[dict[str, Any]] = []
        with OrgSession(routes, timeout=self._settings.timeout_seconds, client=self._client) as session:
            # By a hook, because requests looks where a redirect leads before it returns the response.
            session.hooks["response"].append(lambda answer, *_, **__: bodies.append(self._read_token_response(answer)))
            try:
                session.post(f"https://{domain}.salesforce.com{_OAUTH_PATH}token", form, headers=headers)
            except requests.exceptions.RequestException as error:
                silent = UnreadableResponseError(classify_request_error(error), self._origin)
                silent.hint = self._settings.with_full_names(silent.hint)
                raise silent from None
        return _build_token(bodies[-1]["access_token"], bodies[-1])

    def _token_request(self, audience: str) -> tuple[dict[str, str], dict[str, str]]:
        """The form and the headers of a request for a token (Salesforce Help, "OAuth Authorization Flows")."""
        settings, secret = self._settings, self._settings.client_secret.get_secret_value()
        if settings.auth is AuthMethod.JWT:
            return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": self._sign(audience)}, {}
        if settings.auth is AuthMethod.PASSWORD:
            user = {"username": settings.username, "password": settings.password.get_secret_value()}
            return {"grant_type": "password", "client_id": settings.client_id, "client_secret": secret, **user}, {}
        credentials = b64encode(f"{settings.client_id}:{secret}".encode()).decode()
        return {"grant_type": "client_credentials"}, {"Authorization": f"Basic {credentials}"}

    def _sign(self, audience: str) -> str:
        """An assertion that we are the user."""
        import jwt  # here, because it brings all of cryptography along, which no other flow needs

        settings = self._settings
        assert settings.private_key_file is not None
        claims = {
            "iss": settings.client_id,
            "sub": settings.username,
            "aud": f"https://{audience}.salesforce.com",
            "exp": int((self._clock.now() + _ASSERTION_LIFETIME).timestamp()),
        }
        try:
            return jwt.encode(claims, settings.private_key_file.read_bytes(), algorithm="RS256")
        except (ValueError, TypeError, jwt.PyJWTError):
            # A key file that is not one; the library's text could quote it.
            raise SettingsError(
                f"{settings.full_name('private_key_file')} is not an unencrypted RSA private key in PEM form.",
                hint="Point it at the key whose certificate the app holds.",
            ) from None

    def _read_token_response(self, response: requests.Response) -> dict[str, Any]:
        """The body of a token response. Raises AuthError for any other response."""
        try:
            body = response.json()
        except requests.exceptions.JSONDecodeError:
            body = None
        body = body if isinstance(body, dict) else {}
        if response.status_code == 200 and all(isinstance(body.get(n), str) for n in ("access_token", "instance_url")):
            return body
        error, description = str(body.get("error") or ""), str(body.get("error_description") or "")
        hint, retry_class = _hint_for(error, description, response.status_code)
        flow = ", ".join(map(self._settings.full_name, _REQUIRED[self._settings.auth]))
        hint = hint.format(setting=self._settings.full_name(""), flow=flow)
        reason = self._scrub(": ".join(part for part in (error, description) if part))
        message = f"Salesforce refused the sign-in (HTTP {response.status_code}, {reason or 'no reason given'})."
        if not error:
            page = response.text.lstrip()[:1] == "<"
            what = "a redirect" if response.is_redirect else "a web page" if page else "no token"
            message = f"The sign-in address answered with {what} (HTTP {response.status_code})."
        raise AuthError(
            message,
            hint=hint,
            retry_class=retry_class,
            code=error or f"HTTP_{response.status_code}",
            retry_after=parse_retry_after(response.headers.get("Retry-After"), self._clock),
        )

    def _scrub(self, text: str) -> str:
        for secret in (self._settings.client_secret, self._settings.password):
            if value := secret.get_secret_value():
                text = text.replace(value, "***")
        return text


def classify_request_error(error: requests.exceptions.RequestException) -> NoResponse:
    """The kind of missing response that an exception of requests stands for."""
    match error:
        case requests.exceptions.SSLError():
            return NoResponse.NOT_TRUSTED
        case requests.exceptions.TooManyRedirects():
            return NoResponse.REDIRECTED
        case requests.exceptions.ReadTimeout():
            return NoResponse.TIMED_OUT
        case requests.exceptions.ConnectTimeout():
            return NoResponse.NOT_CONNECTED
        case requests.exceptions.ConnectionError():
            return NoResponse.CONNECTION_LOST if "aborted" in str(error) else NoResponse.NOT_CONNECTED
        case requests.exceptions.JSONDecodeError() if error.doc.lstrip()[:1] == "<":
            return NoResponse.WEB_PAGE
        case _:
            return NoResponse.UNREADABLE


def _host(token: Token) -> str:
    return urlsplit(token.instance_url).netloc


def _check_settings(settings: SalesforceSettings) -> str:
    """The login origin; SettingsError names every setting that is missing for the chosen flow."""
    missing = [] if settings.login_url else ["login_url"]
    for name in _REQUIRED[settings.auth]:
        value = getattr(settings, name)
        if not (value.get_secret_value() if hasattr(value, "get_secret_value") else value):
            missing.append(name)
    if missing:
        names = ", ".join(map(settings.full_name, missing))
        verb, pronoun = ("is", "it") if len(missing) == 1 else ("are", "them")
        raise SettingsError(
            f"{names} {verb} not set (needed for {settings.full_name('auth')}={settings.auth}).",
            hint=f"Set {pronoun} in the environment or in .env.",
        )
    origin = checked_origin(settings.login_url, label=settings.full_name("login_url"))
    if settings.auth is AuthMethod.CLIENT_CREDENTIALS and _domains(origin)[0] in {"login", "test"}:
        raise SettingsError(
            f"{settings.full_name('login_url')} must be the My Domain address for client_credentials.",
            hint="Example: https://acme.my.salesforce.com",
        )
    key = settings.private_key_file
    if settings.auth is AuthMethod.JWT and key is not None:
        try:
            read_file(key, _MAX_KEY_BYTES)
        except UnusableFileError as error:
            raise SettingsError(
                f"{settings.full_name('private_key_file')} {error.problem}.", hint="Check the path."
            ) from None
    return origin


def _hint_for(error: str, description: str, status: int) -> tuple[str, RetryClass]:
    for code, words, hint, retry_class in _HINTS:
        if error == code and words in description.lower():
            return hint, retry_class
    if status >= 500 or status in _BUSY_STATUSES:
        return "Nothing to do: it is tried again automatically.", RetryClass.TRANSIENT
    return "Check {setting}LOGIN_URL.", RetryClass.AUTH


def _domains(origin: str) -> tuple[str, str]:
    """The part before `.salesforce.com` of the address that is routed to this origin (a placeholder for other hosts),
    and the audience of an assertion: `test` for sandboxes and scratch orgs, else `login`."""
    host = urlsplit(origin).netloc
    domain = host.removesuffix(".salesforce.com") if host.endswith(".salesforce.com") else _PLACEHOLDER_DOMAIN
    sandbox = domain == "test" or domain.endswith((".sandbox.my", ".scratch.my"))
    return domain, "test" if sandbox else "login"


def _build_token(access_token: str, body: dict[str, Any]) -> Token:
    identity = str(body.get("id") or "").rstrip("/").split("/")
    org_id, user_id = identity[-2:] if len(identity) > 2 else (access_token.partition("!")[0], "")
    return Token(
        access_token=access_token,
        instance_url=checked_origin(body["instance_url"], label="The instance_url of the org"),
        org_id=org_id,
        user_id=user_id,
    )
