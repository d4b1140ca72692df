"""Cells of a bulk query's results become the values that the REST API answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from connector.errors import TransportError
from connector.model.describe import FieldDescribe
from connector.salesforce.bulk_query import ROWS_AT_ONCE, BulkQuery, ResultPage, cell_reader, estimate_calls, read_csv
from connector.salesforce.errors import UnreadableResponseError
from tests.conftest import ManualClock


def field(kind: str) -> FieldDescribe:
    return FieldDescribe(
        name="F", label="F", type=kind, length=80, precision=18, scale=2, nillable=True, createable=True,
        updateable=True, defaulted_on_create=False, external_id=False, unique=False, restricted_picklist=False,
        picklist=(), reference_to=(), relationship_name=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("boolean", "false", False),
        ("boolean", "true", True),
        ("currency", "9.80", Decimal("9.80")),
        ("double", "14.0", Decimal("14.0")),
        ("int", "3", 3),
        ("string", "false", "false"),
        ("string", "0017", "0017"),
        ("datetime", "2026-01-31T10:00:00.000Z", "2026-01-31T10:00:00.000Z"),
    ],
)
def test_cell_becomes_the_value_of_its_field(kind: str, text: str, value: Any) -> None:
    read = cell_reader("F", field(kind))(text)
    assert (read, type(read)) == (value, type(value))


def test_deleted_flag_is_read_without_its_describe() -> None:
    assert cell_reader("IsDeleted", None)("false") is False


def test_page_with_quotes_line_breaks_and_empty_cells_is_read() -> None:
    page = '"Id","F"\n"1","a ""b"",\nc"\n"2",""\n'.encode("utf-8-sig")
    assert list(read_csv(page, {})) == [[{"Id": "1", "F": 'a "b",\nc'}, {"Id": "2", "F": None}]]


def test_characters_that_no_database_stores_are_replaced() -> None:
    page = b"Id,F\n1,a\0b\n2,\xed\xa0\xbd\n3,\xff\n"
    assert [row["F"] for rows in read_csv(page, {}) for row in rows] == ["a\ufffdb", "\ufffd", "\ufffd"]


def test_large_page_is_read_in_parts() -> None:
    page = b"Id\n" + b"1\n" * (ROWS_AT_ONCE + 1)
    assert [len(rows) for rows in read_csv(page, {})] == [ROWS_AT_ONCE, 1]


def test_row_of_another_length_is_refused() -> None:
    with pytest.raises(UnreadableResponseError):
        list(read_csv(b"Id,F\n1\n", {}))


def test_result_without_rows_is_empty() -> None:
    assert list(read_csv(b"Id,F\n", {})) == []


def test_million_orders_with_four_lines_are_estimated_below_a_hundred_calls() -> None:
    assert estimate_calls(1_000_000) + estimate_calls(4_000_000) <= 100


class SlowJobs:
    """An org whose job is done after so many seconds of the clock."""

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        self._clock, self._done_at = clock, clock.now() + timedelta(seconds=seconds)
        self.questions = 0
        self.bulk2 = SimpleNamespace(Account=SimpleNamespace(_client=self))

    @property
    def control(self) -> Any:
        return self

    async def run(self, use: Callable[[Any], Any]) -> Any:
        return use(self)

    def create_job(self, operation: str, query: str) -> dict[str, str]:
        return {"id": "750"}

    def get_job(self, job: str, is_query: bool) -> dict[str, str]:
        self.questions += 1
        return {"state": "JobComplete" if self._clock.now() >= self._done_at else "InProgress"}

    async def get(self, path: str, *, read: Callable[[Any], Any]) -> Any:
        return ResultPage(content=b"Id\n1\n", locator=None)


@pytest.mark.parametrize(
    ("rows", "seconds", "questions", "at_most"),
    [(0, 0.05, 1, 0.1), (20_000, 5, 5, 7.5), (1_000_000, 600, 9, 640), (4_000_000, 1200, 11, 1430)],
)
async def test_slow_job_is_asked_for_less_and_less_often(
    clock: ManualClock, rows: int, seconds: float, questions: int, at_most: float
) -> None:
    org, began = SlowJobs(clock, seconds), clock.now()
    pages = BulkQuery(org, clock=clock).rows("SELECT Id FROM Account", {}, expected=rows)
    assert [page async for page in pages] == [[{"Id": "1"}]]
    assert org.questions == questions
    assert (clock.now() - began).total_seconds() <= at_most


async def test_job_that_does_not_end_is_given_up(clock: ManualClock) -> None:
    org = SlowJobs(clock, 24 * 3600)
    with pytest.raises(TransportError, match="within four hours"):
        _ = [page async for page in BulkQuery(org, clock=clock).rows("SELECT Id FROM Account", {})]
    assert org.questions <= 60
