"""The provider: its discovery document, its keys, and the exchange of a code for a person.

What it says is checked before anything is believed. Every call has a time limit; redirects are not followed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode

import httpx2

from connector.clock import Clock
from connector.errors import RetryClass, SignInError
from connector.openid.attempt import SignInAttempt
from connector.openid.identity import Identity, identify
from connector.settings.checks import check_issuer
from connector.settings.oidc import OidcSettings

if TYPE_CHECKING:
    from authlib.integrations.httpx_client import AsyncOAuth2Client
    from joserfc.jwk import KeySet

SECONDS = 10.0
"""Longest wait for one answer of the provider."""
KEPT = timedelta(hours=1)
"""How long its discovery document and keys are used; keys are asked for again when a token names another one."""
ASKED_AGAIN_AFTER = timedelta(seconds=5)
"""A provider that did not answer is not asked again at once: anybody may press the button."""
KEYS_ASKED_EVERY = timedelta(seconds=30)
LEEWAY_SECONDS = 60
"""How far the clocks of both sides may differ."""
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""Signatures that only the holder of a private key can make: never `none`, never one by the client's own secret."""
# A proxy from the environment is not used for this machine.
_NO_PROXY: Mapping[str, httpx2.AsyncBaseTransport | None] = {
    f"all://{host}": None for host in ("localhost", "127.0.0.1", "[::1]")
}
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
T = TypeVar("T")
_AGAIN = "Sign in again."


class OpenIdProvider:
    """One provider, and this connector as its client."""

    def __init__(self, settings: OidcSettings, *, clock: Clock) -> None:
        self.settings = settings
        self._clock = clock
        self._metadata: tuple[datetime, Mapping[str, object]] | None = None
        self._failure: tuple[datetime, SignInError] | None = None
        self._asking = asyncio.Lock()
        self._keys: tuple[datetime, KeySet] | None = None

    async def authorization_url(self, attempt: SignInAttempt, redirect_uri: str) -> str:
        """Return where the browser goes to sign in. Raises SignInError if the provider is away."""
        metadata = await self.metadata()
        async with self._client(metadata, redirect_uri) as client:
            url, _ = client.create_authorization_url(
                str(metadata["authorization_endpoint"]),
                state=attempt.state,
                nonce=attempt.nonce,
                code_verifier=attempt.verifier,
            )
        return str(url)

    async def identify(self, attempt: SignInAttempt, code: str, redirect_uri: str) -> Identity:
        """Exchange a code for the person who has signed in. Raises SignInError if there is none to be believed."""
        metadata = await self.metadata()
        async with self._client(metadata, redirect_uri) as client:
            token = await _answer(lambda: self._redeem(client, metadata, code, attempt))
            claims = await self._read_id_token(metadata, token, attempt.nonce)
            endpoint, access_token = metadata.get("userinfo_endpoint"), token.get("access_token")
            if endpoint and access_token and not {self.settings.roles_claim, "email"} <= claims.keys():
                claims = {**await self._read_user(client, str(endpoint), str(claims["sub"])), **claims}
        return identify(claims, self.settings)

    async def sign_out_url(self, return_to: str) -> str:
        """Return where the browser signs out of the provider, too; empty without such a page, or if it is away."""
        try:
            endpoint = (await self.metadata()).get("end_session_endpoint")
        except SignInError:
            return ""
        query = urlencode({"client_id": self.settings.client_id, "post_logout_redirect_uri": return_to})
        return f"{endpoint}?{query}" if isinstance(endpoint, str) and _is_safe(endpoint) else ""

    async def metadata(self) -> Mapping[str, object]:
        """Return the discovery document. Raises SignInError if it is not to be had, or not this provider's."""
        async with self._asking:  # whoever else asks meanwhile gets the same answer
            now = self._clock.now()
            if self._metadata is not None and now - self._metadata[0] <= KEPT:
                return self._metadata[1]
            if self._failure is not None and now - self._failure[0] <= ASKED_AGAIN_AFTER:
                raise self._failure[1].with_traceback(None)
            try:
                found = await self._get(f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration")
                self._check_metadata(found)
            except SignInError as error:
                self._failure = self._clock.now(), error
                raise
            self._metadata = now, found
            return found

    def _check_metadata(self, found: Mapping[str, object]) -> None:
        issuer = found.get("issuer")
        if issuer != self.settings.issuer:
            raise SignInError(
                f"The provider at {self.settings.issuer} calls itself {str(issuer)[:200]}.",
                hint="Set CONNECTOR_OIDC__ISSUER to exactly that, if it is the one you mean.",
            )
        for name in _ENDPOINTS:
            if not _is_safe(found.get(name)):
                raise SignInError(
                    f"The provider's {name} is missing or not encrypted.", hint="Ask whoever runs the provider."
                )

    def _client(self, metadata: Mapping[str, object], redirect_uri: str) -> AsyncOAuth2Client:
        from authlib.integrations.httpx_client import AsyncOAuth2Client

        secret = self.settings.client_secret.get_secret_value()
        offered = metadata.get("token_endpoint_auth_methods_supported")
        known = offered if isinstance(offered, list) else ["client_secret_basic"]
        method = "client_secret_basic" if "client_secret_basic" in known else "client_secret_post"
        return AsyncOAuth2Client(
            client_id=self.settings.client_id,
            client_secret=secret,
            token_endpoint_auth_method=method if secret else "none",
            scope=self.settings.scopes,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            timeout=SECONDS,
            follow_redirects=False,
            mounts=_NO_PROXY,
            verify=httpx2.create_ssl_context(),
        )

    @staticmethod
    async def _redeem(
        client: AsyncOAuth2Client, metadata: Mapping[str, object], code: str, attempt: SignInAttempt
    ) -> Mapping[str, object]:
        from authlib.integrations.base_client import OAuthError

        try:
            token: Mapping[str, object] = await client.fetch_token(
                str(metadata["token_endpoint"]),
                grant_type="authorization_code",
                code=code,
                code_verifier=attempt.verifier,
            )
        except OAuthError as error:
            if error.error == "invalid_grant":  # it was used before, or is too old
                raise SignInError("The provider does not accept this sign-in any more.", hint=_AGAIN) from None
            raise SignInError(
                f"The provider refuses the connector: {str(error.error)[:80]}.",
                hint="Whoever runs the connector must check CONNECTOR_OIDC__CLIENT_ID and CLIENT_SECRET.",
            ) from None
        return token

    async def _read_user(self, client: AsyncOAuth2Client, endpoint: str, subject: str) -> Mapping[str, object]:
        """What else the provider says of the person."""
        response = await _answer(lambda: client.get(endpoint))
        found = _document(response)
        if found.get("sub") != subject:
            raise SignInError("The provider answers for another person than the one who signed in.", hint=_AGAIN)
        return found

    async def _read_id_token(
        self, metadata: Mapping[str, object], token: Mapping[str, object], nonce: str
    ) -> Mapping[str, object]:
        """The claims of the ID token, if it is one of this provider, for us, for this attempt, and of now."""
        from authlib.oidc.core import CodeIDToken
        from joserfc import jwt
        from joserfc.errors import InvalidKeyIdError, JoseError

        text = str(token.get("id_token", ""))
        offered = metadata.get("id_token_signing_alg_values_supported")
        algorithms = [name for name in ALGORITHMS if not isinstance(offered, list) or name in offered] or ["RS256"]
        try:
            try:
                read = jwt.decode(text, await self._read_keys(metadata), algorithms=algorithms)
            except InvalidKeyIdError:  # it signs with a new key
                read = jwt.decode(text, await self._read_keys(metadata, anew=True), algorithms=algorithms)
            self._check_times(read.claims)
            claims = CodeIDToken(
                read.claims,
                read.header,
                options={
                    "iss": {"essential": True, "value": self.settings.issuer},
                    "aud": {"essential": True, "value": self.settings.client_id},
                },
                params={
                    "nonce": nonce,
                    "client_id": self.settings.client_id,
                    "access_token": token.get("access_token"),
                },
            )
            claims.validate(now=int(self._clock.now().timestamp()), leeway=LEEWAY_SECONDS)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            what = getattr(error, "claim", None) or getattr(error, "error", None) or type(error).__name__
            raise SignInError(
                f"The ID token of the provider cannot be believed ({str(what)[:80]}).",
                hint="Sign in again; if it stays, tell whoever runs the connector.",
            ) from None
        return dict(claims)

    def _check_times(self, claims: Mapping[str, object]) -> None:
        """Raise SignInError with both times if the clocks differ too much."""
        now = self._clock.now().timestamp()
        issued, expires = claims.get("iat"), claims.get("exp")
        if isinstance(issued, int | float) and issued - LEEWAY_SECONDS > now:
            ahead = round(issued - now)
            raise SignInError(
                f"The clock of the provider is {ahead} seconds ahead of this machine's.",
                hint=f"They may differ by {LEEWAY_SECONDS} seconds: whoever runs the connector must set its clock.",
            )
        if isinstance(expires, int | float) and expires + LEEWAY_SECONDS <= now:
            late = round(now - expires)
            raise SignInError(
                f"The ID token of the provider expired {late} seconds ago.",
                hint=f"{_AGAIN} If it stays, the clock of this machine is ahead of the provider's.",
            )

    async def _read_keys(self, metadata: Mapping[str, object], *, anew: bool = False) -> KeySet:
        from joserfc.jwk import KeySet

        now = self._clock.now()
        age = None if self._keys is None else now - self._keys[0]
        if self._keys is None or age is None or age > (KEYS_ASKED_EVERY if anew else KEPT):
            found = await self._get(str(metadata["jwks_uri"]))
            self._keys = now, KeySet.import_key_set(found)  # type: ignore[arg-type]
        return self._keys[1]

    async def _get(self, url: str) -> Mapping[str, object]:
        async with httpx2.AsyncClient(
            timeout=SECONDS, follow_redirects=False, mounts=_NO_PROXY, verify=httpx2.create_ssl_context()
        ) as client:
            return _document(await _answer(lambda: client.get(url)))


async def _answer(call: Callable[[], Awaitable[T]]) -> T:
    """Wait for an answer, and not for long. Raises SignInError if none comes."""
    try:
        async with asyncio.timeout(SECONDS):  # httpx2 limits each step, and a slow server takes many
            return await call()
    except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, OSError):
        raise SignInError(
            "The provider does not answer.",
            hint="Try again soon, or sign in with a token.",
            retry_class=RetryClass.TRANSIENT,
        ) from None
    except ValueError:  # a token endpoint that answers with something else than JSON
        raise _nonsense(0) from None


def _document(response: httpx2.Response) -> Mapping[str, object]:
    try:
        found = response.json() if response.status_code == httpx2.codes.OK else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise _nonsense(response.status_code)
    return found


def _nonsense(status: int) -> SignInError:
    return SignInError(
        f"The provider does not answer as one of OpenID Connect{f' (HTTP {status})' if status else ''}.",
        hint="Whoever runs the connector must check CONNECTOR_OIDC__ISSUER. Meanwhile, sign in with a token.",
        retry_class=RetryClass.TRANSIENT,
    )


def _is_safe(url: object) -> bool:
    """Whether what is sent there is encrypted, or stays on this machine."""
    try:
        return isinstance(url, str) and bool(check_issuer(url.partition("?")[0]))
    except ValueError:
        return False
