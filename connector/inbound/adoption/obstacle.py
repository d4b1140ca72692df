"""Why an order of the org cannot become an order here. PURE."""

from __future__ import annotations

TRY_AGAIN = "It is tried again automatically, or at once by `connector inbox replay`."


class ObstacleError(Exception):
    """An order of the org cannot become an order here: `reason` for a rep, `fix` for whoever operates the connector.
    Both are whole sentences."""

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fix = f"{fix} {TRY_AGAIN}"
