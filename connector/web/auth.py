"""Who comes in: a bearer token with a role that covers the route's."""

from __future__ import annotations

from aiohttp import web

from connector.model.role import Role
from connector.store import tokens
from connector.store.engine import Store
from connector.store.tokens import NOTED_EVERY, Token
from connector.web.problem import ProblemError

_ASK = {"WWW-Authenticate": 'Bearer realm="connector"'}


async def authenticate(store: Store, request: web.Request, needed: Role) -> Token:
    """The caller's token; ProblemError 401 without one that is in force, 403 where its role does not do."""
    kind, _, secret = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not secret:
        hint = "Send `Authorization: Bearer …`; `connector tokens create` makes a token."
        raise ProblemError(401, "token", "A token is needed.", hint=hint).with_headers(_ASK)
    async with store.reader() as connection:
        token = await tokens.find(connection, secret.strip())
    now = store.clock.now()
    if token is None or not token.valid(now):
        refused = {"WWW-Authenticate": f'{_ASK["WWW-Authenticate"]}, error="invalid_token"'}
        problem = ProblemError(401, "token", "The token is not known, has expired or was revoked.")
        raise problem.with_headers(refused)
    if not token.role.covers(needed):
        raise ProblemError(
            403, "role", f"The token {token.name} is for a {token.role}: this needs {needed}.", field="role"
        )
    if token.used_at is None or now - token.used_at > NOTED_EVERY:
        name = token.name
        await store.transact(lambda uow: tokens.used(uow, name))
    return token
