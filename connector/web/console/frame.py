"""What all pages share: the frame around them, signing in and out, errors as pages, and the files of the browser."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from connector.errors import CommandError, ConnectorError
from connector.log import get_logger, request_id
from connector.model.role import Role
from connector.openid.provider import OpenIdProvider
from connector.store import tokens
from connector.store.engine import Store
from connector.web.console import formats
from connector.web.console.live import ChangeWatcher
from connector.web.console.menu import MENU
from connector.web.console.session import (
    FORM_FIELD,
    ISSUER,
    TOLD,
    Session,
    check_form,
    check_origin,
    find_session,
    is_encrypted,
    lead_to,
    local_path,
    read_form,
)
from connector.web.console.sign_in import OfferedLink, SignIn
from connector.web.console.static_files import asset_address, send_file
from connector.web.problem import STATUS_OF_RULE, ProblemError
from connector.web.rate_limit import RateLimiter
from connector.web.request_checks import check_parameters
from connector.web.routing import RequestContext

if TYPE_CHECKING:
    from jinja2 import Environment

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Everything comes from here; nothing that stands in a page runs, whatever an order's text says."""


Form = Mapping[str, str]
"""The fields of a form, by name."""


class FormError(Exception):
    """A form cannot be used as it is filled in. `wrong`: a sentence for each such field, by its name; of the whole form
    under the empty name."""

    def __init__(self, wrong: Mapping[str, str]) -> None:
        super().__init__("; ".join(wrong.values()))
        self.wrong = wrong


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """What an action has come to: a sentence, and the page that shows it."""

    where: str
    told: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Redraw:
    """What an action has come to that only changes its form: its page is drawn again with these fields."""

    form: Form
    wrong: Form = field(default_factory=dict)


GIVEN = web.RequestKey("given", dict[str, str])
"""The form that a page is drawn with, for a page that shows what follows from it."""


@dataclass(frozen=True, kw_only=True)
class ConsolePage:
    """A page. `load` returns what its template shows, or a whole response. `title`: of the browser's tab. `follows`: it
    is loaded again after each change; not a page on which somebody works long. `load` can say that nothing changes any
    more (`follows` False)."""

    path: str
    title: str
    template: str
    load: Callable[[RequestContext], Awaitable[Mapping[str, object] | web.StreamResponse]]
    role: Role = Role.VIEWER
    follows: bool = True


@dataclass(frozen=True, kw_only=True)
class ConsoleAction:
    """What a form asks for. `act` does it, and returns where to go on and what to say there, or how to draw the form
    again.

    `page` is the page of the form: what `act` rejects (FormError, CommandError, ProblemError 409, 412 and 422) is said
    there, beside the fields as they were filled in. Its path has no parameters that `path` lacks; the query
    of the form's address is the page's. Without `page`, a rejection is a page of its own.
    """

    path: str
    act: Callable[[RequestContext, Form], Awaitable[Done | Redraw]]
    role: Role = Role.OPS
    page: ConsolePage | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Filled:
    """The form of a page as it was sent, with what is wrong with it. `address` is that of the page."""

    address: str
    given: Form = field(default_factory=dict)
    wrong: Form = field(default_factory=dict)
    status: int = 200


NOWHERE = "/{path}"
"""The name of the route of addresses without a page."""

log = get_logger("web")
MakeContext = Callable[[web.Request, tokens.Token, bool], RequestContext]


class ConsoleFrame:
    """Draws pages and signs people in."""

    def __init__(
        self, store: Store, context: MakeContext, limiter: RateLimiter, provider: OpenIdProvider | None = None
    ) -> None:
        self._store = store
        self._context = context
        self._limiter = limiter
        self._watcher = ChangeWatcher(store)
        self._sign_in = SignIn(store, provider, self._draw_sign_in)
        self._issuer = "" if provider is None else provider.settings.issuer

    def add_to(self, app: web.Application, pages: Sequence[ConsolePage], actions: Sequence[ConsoleAction]) -> None:
        """Let the application serve the console."""
        app[ISSUER] = self._issuer
        app.add_routes(self._routes(pages, actions))
        app.on_shutdown.append(self._watcher.close)

    def _routes(self, pages: Sequence[ConsolePage], actions: Sequence[ConsoleAction]) -> list[web.RouteDef]:
        shared = [
            *self._sign_in.routes(self._shown),
            web.get("/events", self._watcher.stream),
            web.get("/static/{name}", send_file),
        ]
        nowhere = web.get("/{path:(?!api/).+}", self._show_nothing)
        shown = [web.get(page.path, self._shown(self._page_handler(page))) for page in pages]
        acting = [web.post(action.path, self._shown(self._action_handler(action))) for action in actions]
        return [*shared, *shown, *acting, nowhere]

    def _page_handler(self, page: ConsolePage) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            session = await find_session(self._store, request)
            if session is None:
                where = _sign_in_address(request.path_qs)
                if "HX-Request" in request.headers:  # an open page: it is left, and not only a part of it replaced
                    return web.Response(headers={"HX-Redirect": where})
                return lead_to(where)
            if not session.token.role.covers(page.role):
                message = f"This page is for the role {page.role}; yours is {session.token.role}."
                raise ProblemError(403, "role", message, hint="Sign in with another token.")
            self._limiter.take(session.token.name)
            check_parameters(request)
            return await self._show(request, page, session, _Filled(address=request.path_qs))

        return handle

    def _action_handler(self, action: ConsoleAction) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            check_origin(request)
            session = await find_session(self._store, request)
            if session is None:
                return lead_to(_sign_in_address(_referring_path(request)))
            if not session.token.role.covers(action.role):
                message = f"This is for the role {action.role}; yours is {session.token.role}."
                raise ProblemError(403, "role", message, hint="Sign in with another token.")
            self._limiter.take(session.token.name)
            form = await read_form(request)
            check_form(session, form.pop(FORM_FIELD, ""))
            try:
                done = await action.act(self._context(request, session.token, False), form)
            except (FormError, CommandError, ProblemError) as error:
                status, wrong = _wrong_fields(error, form)
                if action.page is None or not wrong:
                    raise
                filled = _Filled(address=_page_address(request, action.page), given=form, wrong=wrong, status=status)
                return await self._show(request, action.page, session, filled)
            if isinstance(done, Redraw):
                assert action.page is not None
                address = _page_address(request, action.page)
                filled = _Filled(address=address, given=done.form, wrong=done.wrong)
                return await self._show(request, action.page, session, filled)
            answer = lead_to(done.where)
            is_secure = is_encrypted(request)
            answer.set_cookie(TOLD, quote(done.told[:400]), max_age=60, httponly=True, secure=is_secure, samesite="Lax")
            return answer

        return handle

    async def _show(
        self, request: web.Request, page: ConsolePage, session: Session, filled: _Filled
    ) -> web.StreamResponse:
        mark = await self._watcher.mark()  # before what the page shows
        if filled.given:
            request[GIVEN] = dict(filled.given)
        loaded = await page.load(self._context(request, session.token, False))
        if isinstance(loaded, web.StreamResponse):
            return loaded
        title = str(loaded.get("title", page.title))
        shown = {name: value for name, value in loaded.items() if name != "title"}
        shown |= {"mark": mark, "follows": page.follows and loaded.get("follows", True) and not filled.given}
        response = self._render(request, page.template, session, title=title, filled=filled, **shown)
        response.set_status(filled.status)
        if TOLD in request.cookies:
            response.del_cookie(TOLD)
        return response

    def _shown(self, handler: Handler) -> Handler:
        """The handler, with errors as pages."""

        async def handle(request: web.Request) -> web.StreamResponse:
            headers: Mapping[str, str] = {}
            try:
                return await handler(request)
            except ProblemError as problem:
                status, detail, hint = problem.status, problem.body["detail"], problem.body.get("hint", "")
                headers = problem.headers
            except FormError as error:
                status, detail, hint = 422, str(error), "Go back, correct it, and send it again."
            except CommandError as error:
                status, detail, hint = STATUS_OF_RULE.get(error.rule, 409), error.message, error.hint
            except ConnectorError as error:
                status, detail, hint = 503, error.message, error.hint
            except (web.HTTPException, ConnectionError):
                raise
            except Exception:
                log.exception("internal_error")
                status, detail = 500, "Internal error of the connector."
                hint = f"Report the request ID {request_id.get()} to the operator."
            session = None if status == 503 else await find_session(self._store, request)
            response = self._render(request, "error.html.j2", session, title="Error", detail=detail, hint=hint)
            response.set_status(status)
            response.headers.update(headers)
            return response

        return handle

    async def _show_nothing(self, request: web.Request) -> web.StreamResponse:
        """A browser at an address without a page gets a page, too; a program the problem document."""
        if "text/html" not in request.headers.get("Accept", ""):
            raise web.HTTPNotFound

        async def fail(_: web.Request) -> web.StreamResponse:
            raise ProblemError(404, "unknown", "There is no such page.", hint="The menu has all pages.")

        return await self._shown(fail)(request)

    def _draw_sign_in(
        self, request: web.Request, *, where: str, wrong: Form, provider: str, left: bool, link: OfferedLink | None
    ) -> web.Response:
        filled = _Filled(address="/signin", wrong=wrong)
        shown = {"next": where, "provider": provider, "left": left, "link": link}
        return self._render(request, "signin.html.j2", None, title="Sign in", filled=filled, **shown)

    def _render(
        self,
        request: web.Request,
        template: str,
        session: Session | None,
        *,
        title: str,
        filled: _Filled | None = None,
        **values: object,
    ) -> web.Response:
        if filled is None:
            filled = _Filled(address=request.path_qs)
        text = _environment().get_template(template).render(
            title=title,
            session=session,
            menu=MENU,
            path=urlsplit(filled.address).path,
            address=filled.address,
            given=filled.given,
            wrong=filled.wrong,
            theme=_theme(request),
            told=unquote(request.cookies.get(TOLD, ""))[:400],
            may_act=session is not None and session.token.role.covers(Role.OPS),
            place=formats.Place.of(request),
            now=self._store.clock.now(),
            asset=asset_address,
            **values,
        )  # fmt: skip
        return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": POLICY})


def _page_address(request: web.Request, page: ConsolePage) -> str:
    """The address of the page of the form that was sent."""
    names = {name: quote(value, safe="") for name, value in request.match_info.items()}
    return urlunsplit(("", "", page.path.format_map(names), request.query_string, ""))


def _referring_path(request: web.Request) -> str:
    """The page of ours that a form stands on; `/` if the browser does not say."""
    try:
        referrer = urlsplit(request.headers.get("Referer", "")[:2000])
    except ValueError:
        return "/"
    return local_path(urlunsplit(("", "", *referrer[2:4], ""))) if referrer.netloc == request.host else "/"


def _wrong_fields(error: FormError | CommandError | ProblemError, form: Form) -> tuple[int, Form]:
    """The status of an answer, and what it says at which field of the form; nothing for an error that is none of the
    form."""
    if isinstance(error, FormError):
        return 422, error.wrong
    if isinstance(error, CommandError):
        return STATUS_OF_RULE.get(error.rule, 409), _at_field(error.field, error.message, error.hint, form)
    if error.status not in {400, 409, 412, 422, 428}:
        return error.status, {}
    wrong: dict[str, str] = {}
    for problem in error.body.get("errors") or [error.body]:
        hint = problem.get("hint", error.body.get("hint", ""))
        for name, sentence in _at_field(problem.get("field", ""), problem["detail"], hint, form).items():
            wrong[name] = f"{wrong[name]} {sentence}" if name in wrong else sentence
    return error.status, wrong


def _at_field(name: str, detail: str, hint: str, form: Form) -> Form:
    return {name if name in form else "": f"{detail} {hint}".strip()}


def _sign_in_address(where: str) -> str:
    return "/signin" if where == "/" else f"/signin?next={quote(where, safe='')}"


def _theme(request: web.Request) -> str:
    """The theme that the viewer has chosen; empty for that of the system."""
    chosen = request.cookies.get("theme", "")
    return chosen if chosen in {"light", "dark"} else ""


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("connector.web.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= formats.FILTERS
    return environment
