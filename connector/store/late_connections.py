"""Connections that come back to the pool after their store was closed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

_OPENING = "connector_opening"


class Openings:
    """Closes connections of an earlier opening of the engine when they come back to the pool, which is no longer
    there. `number` rises when the engine is closed; it may be used again."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.number = 0
        event.listen(engine.sync_engine, "connect", self._note)
        event.listen(engine.sync_engine, "checkin", self._close_late)

    def _note(self, _connection: Any, record: Any) -> None:
        record.info[_OPENING] = self.number

    def _close_late(self, connection: Any, record: Any) -> None:
        if connection is not None and record.info.get(_OPENING) != self.number:
            record.invalidate()
