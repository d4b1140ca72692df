"""Signing in and out: with a token, or by OpenID Connect (`connector/openid` has the flow)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from connector.errors import RetryClass, SignInError
from connector.log import get_logger
from connector.model.keys import LONGEST, visible_key
from connector.openid.attempt import SignInAttempt
from connector.openid.identity import Identity
from connector.openid.provider import OpenIdProvider
from connector.store import console_sessions, tokens
from connector.store.engine import Store
from connector.web.console.session import (
    COOKIE,
    FORM_FIELD,
    TOLD,
    Session,
    check_form,
    check_origin,
    find_session,
    is_encrypted,
    lead_to,
    local_path,
    read_form,
    set_cookie,
)
from connector.web.problem import ProblemError
from connector.web.rate_limit import RateLimiter
from connector.web.request_checks import check_parameters

SIGN_INS_PER_MINUTE = 30
"""Tries to sign in that may fail, from one address."""
MOST_CLIENTS = 10_000
ATTEMPT_COOKIE = "connector_signin"
ATTEMPT_SECONDS = 600
"""How long somebody may take at the provider."""
OPENID = "/signin/openid"
CALLBACK = f"{OPENID}/callback"
_BEGIN = "Begin again here."

log = get_logger("web")


@dataclass(frozen=True, kw_only=True, slots=True)
class OfferedLink:
    """A link that signs somebody in once, as `name`. `current`: who is signed in already; empty for nobody."""

    secret: str
    name: str
    current: str


class DrawSignIn(Protocol):
    def __call__(
        self,
        request: web.Request,
        *,
        where: str,
        wrong: Mapping[str, str],
        provider: str,
        left: bool,
        link: OfferedLink | None,
    ) -> web.Response: ...


class SignIn:
    """The handlers. `draw` draws the page, with what is wrong at its field, or as a whole under the empty name."""

    def __init__(self, store: Store, provider: OpenIdProvider | None, draw: DrawSignIn) -> None:
        self._store = store
        self._provider = provider
        self._draw = draw
        self._failures = RateLimiter(SIGN_INS_PER_MINUTE, store.clock)
        self._clients: set[str] = set()

    def routes(self, shown: Callable[[Handler], Handler]) -> list[web.RouteDef]:
        """`shown` lets the errors of a handler be pages."""
        return [
            web.get("/signin", shown(self._show)),
            web.post("/signin", shown(self._sign_in)),
            web.post("/signout", shown(self._sign_out)),
            web.get(OPENID, shown(self._begin), allow_head=False),
            web.get(CALLBACK, shown(self._finish), allow_head=False),
            web.get(f"{OPENID}/end", shown(self._leave_provider)),
        ]

    async def _show(self, request: web.Request) -> web.StreamResponse:
        where = local_path(request.query.get("next", "/"))
        if link := request.query.get("link"):
            return await self._offer_link(request, link, where)
        if await find_session(self._store, request) is not None:
            return lead_to(where)
        return self._page(request, where, left="left" in request.query)

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        check_origin(request)
        form = await read_form(request)
        secret, where = form.get("token", "").strip(), local_path(form.get("next", "/"))
        if link := form.get("link"):
            return await self._sign_in_by_link(request, link, where)
        async with self._store.reader() as connection:
            token = await tokens.find(connection, secret) if secret else None
        if token is None or not token.valid(self._store.clock.now()):
            wrong = "The token is unknown, expired or revoked." if secret else "Type or paste your token."
            self._count_failure(request)
            return self._page(request, where, {"token": wrong}, status=403)
        name = token.name
        begun = await self._store.transact(lambda uow: console_sessions.begin(uow, name))
        answer = lead_to(where)
        set_cookie(request, answer, begun, console_sessions.LASTS)
        return answer

    async def _offer_link(self, request: web.Request, link: str, where: str) -> web.StreamResponse:
        """Ask whether to sign in by a link. Only the form uses the link up: mail scanners and previews open links, too,
        and another site may lead a browser to one."""
        check_parameters(request)
        session = await find_session(self._store, request)
        async with self._store.reader() as connection:
            found = await console_sessions.find(connection, link, self._store.clock.now())
        if found is None:
            return self._refuse_link(request, where, session)
        current = "" if session is None else session.token.name
        if current == found.name:
            return lead_to(where)
        return self._page(request, where, link=OfferedLink(secret=link, name=found.name, current=current))

    async def _sign_in_by_link(self, request: web.Request, link: str, where: str) -> web.StreamResponse:
        begun = await self._store.transact(lambda uow: console_sessions.begin_by_link(uow, link))
        if begun is not None:
            answer = lead_to(where)
            set_cookie(request, answer, begun, console_sessions.LASTS)
            return answer
        return self._refuse_link(request, where, await find_session(self._store, request))

    def _refuse_link(self, request: web.Request, where: str, session: Session | None) -> web.Response:
        if session is not None:  # a link that is opened again
            return lead_to(where)
        self._count_failure(request)
        wrong = "This link was used already, or is too old. Sign in with a token, or ask for another link."
        return self._page(request, where, {"token": wrong}, status=403)

    async def _begin(self, request: web.Request) -> web.StreamResponse:
        """Lead to the provider."""
        check_parameters(request)
        provider, where = self._known_provider(), local_path(request.query.get("next", "/"))
        attempt = SignInAttempt.begin()
        try:
            url = await provider.authorization_url(attempt, self._address(request, CALLBACK))
        except SignInError as error:
            return self._refuse(request, where, error)
        answer = lead_to(url)
        answer.set_cookie(
            ATTEMPT_COOKIE, f"{attempt.secret}.{quote(where[:1000], safe='')}", max_age=ATTEMPT_SECONDS,
            httponly=True, secure=is_encrypted(request), samesite="Lax", path=OPENID,
        )  # fmt: skip
        return answer

    async def _finish(self, request: web.Request) -> web.StreamResponse:
        """Take who comes back from the provider."""
        check_parameters(request)
        provider, query = self._known_provider(), request.query
        secret, _, quoted = request.cookies.get(ATTEMPT_COOKIE, "").partition(".")
        where, is_counted = local_path(unquote(quoted) or "/"), False
        try:
            attempt = SignInAttempt(secret=secret)
            if not secret or not attempt.has_state(query.get("state", "")):
                told = "This sign-in was used before, took longer than ten minutes, or began in another browser."
                raise SignInError(told, hint=_BEGIN)
            if query.get("iss", provider.settings.issuer) != provider.settings.issuer:
                raise SignInError("Another provider has answered than the one asked.", hint=_BEGIN)
            if refused := query.get("error"):
                more = query.get("error_description", "")[:200]
                told = f"{provider.settings.title} did not sign you in: {refused[:80]}{f' ({more})' if more else ''}."
                raise SignInError(told, hint=_BEGIN, logged="the provider did not sign somebody in")
            self._count_failure(request)  # before the provider is asked; given back if this does not fail
            is_counted = True
            person = await provider.identify(attempt, query.get("code", ""), self._address(request, CALLBACK))
        except SignInError as error:
            return self._refuse(request, where, error, is_counted=is_counted)
        self._failures.give_back(_client(request))
        name = await self._name_of(person)
        lasts = timedelta(hours=provider.settings.session_hours)

        begun = await self._store.transact(
            lambda uow: console_sessions.begin_for_person(
                uow, name, person.role, issuer=person.issuer, subject=person.subject, lasts=lasts
            )
        )
        answer = lead_to(where)
        set_cookie(request, answer, begun, lasts)
        answer.del_cookie(ATTEMPT_COOKIE, path=OPENID)
        return answer

    async def _name_of(self, person: Identity) -> str:
        """The name of a person in histories: not that of a token, so that one cannot act as the other."""
        async with self._store.reader() as connection:
            names = set((await tokens.list_unrevoked(connection)).values())
        host = urlsplit(person.issuer).netloc
        return visible_key(f"{person.name[: LONGEST - len(host) - 1]}@{host}") if person.name in names else person.name

    async def _sign_out(self, request: web.Request) -> web.StreamResponse:
        check_origin(request)
        session = await find_session(self._store, request)
        answer = lead_to("/signin" if session is None or not session.is_of_person else "/signin?left=yes")
        if session is not None:
            check_form(session, (await read_form(request)).get(FORM_FIELD, ""))
            secret, actor = session.secret, session.token.name
            await self._store.transact(lambda uow: console_sessions.end(uow, secret, actor=actor))
        answer.del_cookie(COOKIE)
        answer.del_cookie(TOLD)
        return answer

    async def _leave_provider(self, request: web.Request) -> web.StreamResponse:
        """Lead to where one signs out of the provider, who is still signed in there."""
        check_parameters(request)
        return lead_to(await self._known_provider().sign_out_url(self._address(request, "/signin")) or "/signin")

    def _known_provider(self) -> OpenIdProvider:
        if self._provider is None:
            raise ProblemError(404, "unknown", "Nobody signs in by OpenID Connect here.", hint="Sign in with a token.")
        return self._provider

    def _address(self, request: web.Request, path: str) -> str:
        """A page of ours as the browser knows it: behind a TLS proxy, with https."""
        assert self._provider is not None
        fixed = self._provider.settings.redirect_uri
        if fixed:
            return fixed if path == CALLBACK else fixed.removesuffix(CALLBACK) + path
        return f"{'https' if is_encrypted(request) else 'http'}://{request.host}{path}"

    def _refuse(
        self, request: web.Request, where: str, error: SignInError, *, is_counted: bool = False
    ) -> web.Response:
        """Say why on the sign-in page, where a token may still do."""
        is_away = error.retry_class is RetryClass.TRANSIENT
        log.warning("sign-in failed", error=error.logged)
        if is_away and is_counted:  # nobody is locked out by an outage
            self._failures.give_back(_client(request))
        if not is_away and not is_counted:
            self._count_failure(request)
        page = self._page(request, where, {"": str(error)}, status=503 if is_away else 403)
        page.del_cookie(ATTEMPT_COOKIE, path=OPENID)
        return page

    def _page(
        self,
        request: web.Request,
        where: str,
        wrong: Mapping[str, str] | None = None,
        *,
        status: int = 200,
        left: bool = False,
        link: OfferedLink | None = None,
    ) -> web.Response:
        provider = "" if self._provider is None else self._provider.settings.title
        page = self._draw(request, where=where, wrong=wrong or {}, provider=provider, left=left, link=link)
        page.set_status(status)
        return page

    def _count_failure(self, request: web.Request) -> None:
        """Raise ProblemError 429 for a client that has failed too often; others, and who knows a token, may go on."""
        client = _client(request)
        if len(self._clients) > MOST_CLIENTS:
            self._failures, self._clients = RateLimiter(SIGN_INS_PER_MINUTE, self._store.clock), set()
        self._clients.add(client)
        try:
            self._failures.take(client)
        except ProblemError as refused:
            detail = f"More than {SIGN_INS_PER_MINUTE} tries a minute have failed from your address."
            hint = "Wait a minute, and check the token."
            raise ProblemError(429, "rate", detail, hint=hint).with_headers(refused.headers) from None


def _client(request: web.Request) -> str:
    """The address of the client: behind a proxy on this machine, the one that the proxy names."""
    peer = request.remote or ""
    named = request.headers.get("X-Forwarded-For", "").rsplit(",", 1)[-1].strip()
    return named[:64] if named and peer in {"127.0.0.1", "::1"} else peer
