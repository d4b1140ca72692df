"""A few random schedules. `python -m tests.chaos --seeds 1-1000` runs many."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from connector.log import configure
from connector.mapping.spec import Owner
from tests.chaos.ledger import Ledger, Side, Write
from tests.chaos.schedule import running_schedule

T0 = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def quiet_log() -> Iterator[None]:
    configure("CRITICAL")
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("seed", range(1, 4))
async def test_both_sides_end_equal_by_the_owners_of_their_fields(seed: int, database_url: str) -> None:
    async with running_schedule(seed, database_url) as schedule:
        report = await schedule.run(12)
    assert report.edits > 0


def ledger(owner: Owner, *writes: tuple[Side, str, float, str | None]) -> Ledger:
    made = Ledger(owners={"F": owner})
    for side, value, seconds, saw in writes:
        made.note(("K", "F"), Write(side=side, value=value, at=T0 + timedelta(seconds=seconds), saw=saw))
    return made


HERE, THERE = Side.LOCAL, Side.ORG
CONCURRENT = ((HERE, "ours", 0, None), (THERE, "theirs", 10, None))
IN_TURN = ((HERE, "ours", 0, None), (THERE, "theirs", 10, "ours"))


@pytest.mark.parametrize(
    ("owner", "writes", "values", "conflicts", "is_right"),
    [
        (Owner.NEWEST, CONCURRENT, ("theirs", "theirs"), 0, True),
        (Owner.NEWEST, CONCURRENT, ("ours", "ours"), 0, False),
        (Owner.NEWEST, CONCURRENT, ("ours", "theirs"), 0, False),
        (Owner.NEWEST, CONCURRENT, (None, None), 0, False),
        (Owner.LOCAL, CONCURRENT, ("ours", "ours"), 0, True),
        (Owner.LOCAL, CONCURRENT, ("theirs", "theirs"), 0, False),
        (Owner.SALESFORCE, CONCURRENT, ("theirs", "theirs"), 0, True),
        (Owner.SALESFORCE, CONCURRENT, ("ours", "ours"), 0, False),
        (Owner.ASK, CONCURRENT, ("ours", "theirs"), 1, True),
        (Owner.ASK, CONCURRENT, ("ours", "theirs"), 2, False),
        (Owner.ASK, CONCURRENT, ("ours", "theirs"), 0, False),
        (Owner.ASK, CONCURRENT, ("theirs", "theirs"), 0, False),
        (Owner.ASK, IN_TURN, ("theirs", "theirs"), 0, True),
        (Owner.ASK, IN_TURN, ("ours", "ours"), 0, False),
        (Owner.NEWEST, CONCURRENT, ("ours", "theirs"), 1, False),
    ],
)
def test_ledger_says_which_values_may_stand(
    owner: Owner,
    writes: tuple[tuple[Side, str, float, str | None], ...],
    values: tuple[str | None, str | None],
    conflicts: int,
    is_right: bool,
) -> None:
    problem = ledger(owner, *writes).problem(("K", "F"), *values, conflicts)
    assert (problem is None) is is_right, problem
