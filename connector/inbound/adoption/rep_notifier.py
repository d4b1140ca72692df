"""Tells reps on orders without a link why they were not adopted. An order with a link is told by its push."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from connector.log import get_logger
from connector.model.outcome import Outcome
from connector.model.record import SYNC_MESSAGE
from connector.model.sync_message import shortened
from connector.salesforce.limits import ROWS_PER_COLLECTION

log = get_logger(__name__)


class OrgWriter(Protocol):
    async def collections_update(self, rows: Sequence[tuple[str, str, Mapping[str, Any]]]) -> list[Outcome]: ...


class RepNotifier:
    """Writes messages on orders of one org. `calls` counts the calls."""

    def __init__(self, client: OrgWriter, org_id: str) -> None:
        self._client = client
        self.org_id = org_id
        self.calls = 0

    async def tell(self, orders: Mapping[str, Mapping[str, Any]], texts: Mapping[str, str]) -> None:
        """Let each of these orders say its text, or nothing; by record ID, with what was read of it. One that says so
        already is not written, so the same obstacle costs one write. An org without the field is told nothing.

        Raises RefusedError or TransportError if the org does not answer; a row that it refuses is logged.
        """
        rows: list[tuple[str, str, Mapping[str, Any]]] = []
        for record, fields in orders.items():
            text = shortened(texts[record]) if record in texts else None
            if SYNC_MESSAGE in fields and fields[SYNC_MESSAGE] != text:
                rows.append(("Order", record, {SYNC_MESSAGE: text}))
        for start in range(0, len(rows), ROWS_PER_COLLECTION):
            batch = rows[start : start + ROWS_PER_COLLECTION]
            self.calls += 1
            outcomes = await self._client.collections_update(batch)
            for (_, record, _), outcome in zip(batch, outcomes, strict=True):
                if not outcome.success:
                    code = outcome.errors[0].code if outcome.errors else ""
                    log.warning("message_refused", sobject="Order", record=record, code=code)
