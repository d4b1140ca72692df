"""Roles of the HTTP API: a viewer reads, ops carry out commands, an admin changes the configuration."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Each role includes the roles before it."""

    VIEWER = "viewer"
    OPS = "ops"
    ADMIN = "admin"

    def covers(self, needed: Role) -> bool:
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)
