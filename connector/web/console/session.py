"""Who uses the console: a session in a cookie that no script can read, and a proof that a form is ours."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from connector.store import console_sessions
from connector.store.engine import Store
from connector.store.tokens import Token
from connector.web.problem import ProblemError
from connector.web.request_body import BODY_SECONDS

COOKIE = "connector_session"
FORM = "application/x-www-form-urlencoded"
FORM_FIELD = "form_proof"
TOLD = "told"
"""The cookie with what the next page says of an action: of the person who did it, so it ends with the session."""
ISSUER = web.AppKey("issuer", str)
"""The provider of OpenID Connect whose people have sessions; empty without one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """A session with its token, or a person's as if with one. `secret` is what the cookie holds."""

    secret: str
    token: Token
    is_of_person: bool = False

    @property
    def form_proof(self) -> str:
        """What every form of the session carries: another site cannot know it."""
        return blake2b(b"form", key=self.secret[:64].encode(), digest_size=16).hexdigest()


async def find_session(store: Store, request: web.Request) -> Session | None:
    """Return the session of the request; None if there is none, or it is over."""
    secret = request.cookies.get(COOKIE, "")
    if not secret or not secret.isascii():
        return None
    async with store.reader() as connection:
        found = await console_sessions.find(connection, secret, store.clock.now(), issuer=request.app.get(ISSUER, ""))
    if found is None:
        return None
    return Session(secret=secret, token=found.as_token, is_of_person=bool(found.issuer))


def set_cookie(request: web.Request, response: web.StreamResponse, secret: str, lasts: timedelta) -> None:
    """Let the browser hold the session; over plain HTTP only if the page itself came so."""
    seconds = int(lasts.total_seconds())
    response.set_cookie(COOKIE, secret, max_age=seconds, httponly=True, secure=is_encrypted(request), samesite="Lax")
    response.del_cookie(TOLD)


def is_encrypted(request: web.Request) -> bool:
    """Whether the browser speaks HTTPS, with us or with a proxy in front of us."""
    return request.secure or request.headers.get("X-Forwarded-Proto") == "https"


def lead_to(where: str) -> web.Response:
    """Lead the browser to another address."""
    return web.Response(status=303, headers={"Location": where})


def local_path(where: str) -> str:
    """A path of ours; `/` instead of an address that leads elsewhere."""
    is_ours = where.startswith("/") and not where.startswith(("//", "/\\")) and where.isprintable()
    return where if is_ours else "/"


def check_origin(request: web.Request) -> None:
    """Raise ProblemError 403 for a form that another site has sent."""
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    is_foreign = site not in {None, "same-origin", "none"} if site else origin not in {
        None, f"http://{request.host}", f"https://{request.host}",
    }  # fmt: skip
    if is_foreign:
        raise ProblemError(
            403, "origin", "This form was sent from another site.", hint="Open the console, and repeat it there."
        )


def check_form(session: Session, given: str) -> None:
    """Raise ProblemError 403 unless the form is one of this session."""
    if not hmac.compare_digest(session.form_proof.encode(), given.encode()):
        raise ProblemError(
            403, "form", "This form belongs to an earlier session.", hint="Reload the page, and repeat it."
        )


async def read_form(request: web.Request) -> dict[str, str]:
    """Return the fields of a form. Raises ProblemError if it cannot be read, or does not arrive in time."""
    seconds = request.app[BODY_SECONDS]
    if request.content_type != FORM:
        raise ProblemError(415, "content_type", f"A form must be {FORM}.", hint="Use the form of the page.")
    try:
        async with asyncio.timeout(seconds):
            fields = await request.post()
    except TimeoutError:
        detail = f"The form did not arrive within {seconds:g} seconds."
        raise ProblemError(408, "timeout", detail).with_headers({"Connection": "close"}) from None
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError, ValueError, LookupError):
        raise ProblemError(400, "body", "The form cannot be read.", hint="Reload the page, and repeat it.") from None
    form = {name: str(value) for name, value in fields.items()}
    if any("\x00" in text for pair in form.items() for text in pair):
        raise ProblemError(400, "input", "The form contains the character NUL.", hint="Leave it out.")
    return form
