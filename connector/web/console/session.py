"""Who uses the console: a session in a cookie that no script can read, and a proof that a form is ours."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import blake2b

from aiohttp import web

from connector.store import console_sessions
from connector.store.engine import Store
from connector.store.tokens import Token
from connector.web.problem import ProblemError

COOKIE = "connector_session"
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
    if not secret:
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
