"""OpenID Connect: the ID token, the key that signs it, and the discovery document."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

_LIFETIME_SECONDS = 120
_KEY_ID = "local"


@lru_cache(maxsize=1)
def _key() -> rsa.RSAPrivateKey:
    """Return the signing key. It lasts as long as the process, because an ID token is read at once."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def id_token(now: int, nonce: str, **claims: str) -> str:
    """Return a signed ID token. `claims` name the user, the issuer and the client."""
    payload = {**claims, "iat": now, "exp": now + _LIFETIME_SECONDS} | ({"nonce": nonce} if nonce else {})
    pem = _key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return jwt.encode(payload, pem, algorithm="RS256", headers={"kid": _KEY_ID})


def key_set() -> dict[str, Any]:
    public = json.loads(RSAAlgorithm.to_jwk(_key().public_key()))
    return {"keys": [{**public, "kid": _KEY_ID, "use": "sig", "alg": "RS256"}]}


def discovery_document(url: str) -> dict[str, Any]:
    oauth = f"{url}/services/oauth2"
    return {
        "issuer": url,
        "authorization_endpoint": f"{oauth}/authorize",
        "token_endpoint": f"{oauth}/token",
        "revocation_endpoint": f"{oauth}/revoke",
        "introspection_endpoint": f"{oauth}/introspect",
        "userinfo_endpoint": f"{oauth}/userinfo",
        "jwks_uri": f"{url}/id/keys",
        "scopes_supported": [
            "api",
            "email",
            "full",
            "id",
            "offline_access",
            "openid",
            "profile",
            "refresh_token",
            "web",
        ],
        "response_types_supported": ["code", "token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "code_challenge_methods_supported": ["S256"],
    }
