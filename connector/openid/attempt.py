"""One attempt to sign in: state, nonce and code verifier, all made of one secret that only the browser keeps. PURE."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, kw_only=True, slots=True)
class SignInAttempt:
    """`secret` is in a cookie of the browser that has begun; the provider sees what is made of it, and not itself."""

    secret: str

    @classmethod
    def begin(cls) -> SignInAttempt:
        return cls(secret=secrets.token_urlsafe(32))

    @property
    def state(self) -> str:
        return self._derived(b"state")

    @property
    def nonce(self) -> str:
        return self._derived(b"nonce")

    @property
    def verifier(self) -> str:
        return self._derived(b"verifier")

    def has_state(self, given: str) -> bool:
        return hmac.compare_digest(self.state.encode(), given.encode("utf-8", "replace"))

    def _derived(self, use: bytes) -> str:
        return blake2b(use, key=self.secret.encode("utf-8", "replace")[:64], digest_size=32).hexdigest()
