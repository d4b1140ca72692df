"""Who uses the console: a session in a cookie that no script can read, and a proof that a form is ours."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """A session with its token. `secret` is what the cookie holds."""

    secret: str
    token: Token

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
        token = await console_sessions.find(connection, secret, store.clock.now())
    return None if token is None else Session(secret=secret, token=token)


def set_cookie(request: web.Request, response: web.StreamResponse, secret: str) -> None:
    """Let the browser hold the session; over plain HTTP only if the page itself came so."""
    seconds = int(console_sessions.LASTS.total_seconds())
    secure = request.secure or request.headers.get("X-Forwarded-Proto") == "https"
    response.set_cookie(COOKIE, secret, max_age=seconds, httponly=True, secure=secure, samesite="Lax")


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
