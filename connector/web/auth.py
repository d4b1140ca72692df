"""Authentication by a bearer token, and authorization by the token's role."""

from __future__ import annotations

from aiohttp import web

from connector.model.role import Role
from connector.store import tokens
from connector.store.engine import Store
from connector.store.tokens import NOTED_EVERY, Token
from connector.web.problem import ProblemError

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="connector"'}


async def authenticate(store: Store, request: web.Request, needed: Role) -> Token:
    """Return the caller's token; raises ProblemError 401 without a valid token, 403 if its role is not sufficient."""
    kind, _, secret = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not secret:
        hint = "Send `Authorization: Bearer …`; `connector tokens create` creates a token."
        raise ProblemError(401, "token", "The request has no token.", hint=hint).with_headers(_CHALLENGE)
    async with store.single_reader() as connection:
        token = await tokens.find(connection, secret.strip())
    now = store.clock.now()
    if token is None or not token.valid(now):
        refused = {"WWW-Authenticate": f'{_CHALLENGE["WWW-Authenticate"]}, error="invalid_token"'}
        hint = "`connector tokens create` creates a token."
        problem = ProblemError(401, "token", "The token is unknown, expired or revoked.", hint=hint)
        raise problem.with_headers(refused)
    if not token.role.covers(needed):
        raise ProblemError(
            403,
            "role",
            f"The token {token.name} has the role {token.role}; this needs the role {needed}.",
            field="role",
            hint=f"Use a token with that role; `connector tokens create --role {needed}` creates one.",
        )
    if token.used_at is None or now - token.used_at > NOTED_EVERY:
        name = token.name
        await store.transact(lambda uow: tokens.record_use(uow, name))
    return token
