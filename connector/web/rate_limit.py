"""Limits how often one token may ask: a bucket of requests for each, which fills again all the time.

It protects a process from a client that has gone wild, and not from many clients. Each process counts by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import ceil

from aiohttp import web

from connector.clock import Clock
from connector.web.problem import ProblemError

SECONDS = 60


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left for a token: requests, and the seconds until all of them are there again."""

    limit: int
    left: int
    full_in: int

    @property
    def headers(self) -> dict[str, str]:
        """As the draft of the IETF for `RateLimit` has them."""
        return {
            "RateLimit-Policy": f'"token";q={self.limit};w={SECONDS}',
            "RateLimit": f'"token";r={self.left};t={self.full_in}',
        }


ALLOWANCE = web.RequestKey("allowance", Allowance)


class RateLimiter:
    """Allows each token so many requests a minute, all of them at once if it made none for a minute."""

    def __init__(self, per_minute: int, clock: Clock) -> None:
        self._limit = per_minute
        self._clock = clock
        self._buckets: dict[str, tuple[float, datetime]] = {}

    def take(self, token: str) -> Allowance | None:
        """Count one request of a token; None without a limit. Raises ProblemError 429 if none is left."""
        if not self._limit:
            return None
        now = self._clock.now()
        left, since = self._buckets.get(token, (float(self._limit), now))
        rate = self._limit / SECONDS
        left = min(self._limit, left + max(0.0, (now - since).total_seconds()) * rate)
        if left < 1:
            self._buckets[token] = (left, now)
            seconds = ceil((1 - left) / rate)
            allowance = Allowance(self._limit, 0, ceil((self._limit - left) / rate))
            raise ProblemError(
                429,
                "rate_limit",
                f"The token {token} has made more than {self._limit} requests in a minute.",
                hint=f"Wait {seconds} s. CONNECTOR_HTTP__REQUESTS_PER_MINUTE is the limit of a token.",
            ).with_headers({"Retry-After": str(seconds), **allowance.headers})
        self._buckets[token] = (left - 1, now)
        return Allowance(self._limit, int(left - 1), ceil((self._limit - left + 1) / rate))

    def give_back(self, token: str) -> None:
        """Do not count the latest request of a token."""
        if token in self._buckets:
            left, since = self._buckets[token]
            self._buckets[token] = (min(self._limit, left + 1), since)
