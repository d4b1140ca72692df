"""Reads orders of the org with their accounts, lines and products: one call for up to 200 orders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connector.clock import Clock
from connector.errors import RefusedError, SettingsError
from connector.inbound.adoption.remote_order import RemoteOrder
from connector.inbound.record_reader import SoqlBuilder
from connector.salesforce.query_batch import QueryClient, query_together

_ORDERS = "SELECT {columns:literal} FROM Order WHERE Id IN {ids}"
_LINES = "SELECT {columns:literal} FROM OrderItem WHERE OrderId IN {ids} ORDER BY CreatedDate, Id"
_OF_THE_FILTER = frozenset({"MALFORMED_QUERY", "INVALID_FIELD", "INVALID_QUERY_FILTER_OPERATOR"})


class AdoptionReader:
    """Reads from one org. `condition` is the SOQL condition of the setting; empty: none. `problem`: why the condition
    cannot be used. `calls` counts the calls."""

    def __init__(
        self,
        client: QueryClient,
        soql: SoqlBuilder,
        clock: Clock,
        *,
        columns: tuple[Sequence[str], Sequence[str]],
        condition: str = "",
        problem: SettingsError | None = None,
    ) -> None:
        self._client = client
        self._soql = soql
        self._clock = clock
        self._order_columns, self._line_columns = columns
        self._condition = condition
        self._problem = problem
        self.calls = 0

    async def read(self, ids: Sequence[str]) -> list[RemoteOrder]:
        """These orders, without those that are deleted or that the filter excludes.

        Raises SettingsError if the filter cannot be used, RefusedError or TransportError if the org does not answer.
        """
        if self._problem is not None:
            raise self._problem
        orders = self._soql(_ORDERS, columns=", ".join(self._order_columns), ids=list(ids))
        if self._condition:
            orders += f" AND ({self._condition})"
        lines = self._soql(_LINES, columns=", ".join(self._line_columns), ids=list(ids))
        read_at = self._clock.now()
        self.calls += 1
        try:
            [order_rows, line_rows], _ = await query_together(self._client, [orders, lines])
        except RefusedError as error:
            if self._condition and error.code in _OF_THE_FILTER:
                raise SettingsError(
                    f"CONNECTOR_INBOUND__ADOPT_FILTER is refused by the org: {error.message}",
                    hint="It must be a SOQL condition on Order, such as Type != 'ERP'.",
                ) from error
            raise
        by_order: dict[str, list[dict[str, Any]]] = {}
        for row in line_rows:
            by_order.setdefault(str(row["OrderId"]), []).append(row)
        return [
            RemoteOrder(row=row, lines=tuple(by_order.get(str(row["Id"]), ())), read_at=read_at) for row in order_rows
        ]
