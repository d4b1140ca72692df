"""A few fuzzing cases for every API; `python -m tests.org.fuzz` runs many."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.org.fuzz.__main__ import run_cases
from tests.org.fuzz.target import Target
from tests.org.fuzz.targets import APIS

CASES = 40


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with Target() as running:
        yield running


@pytest.mark.parametrize("api", APIS)
def test_any_input_is_answered_and_the_org_continues(target: Target, api: str) -> None:
    outcome = run_cases(target, api, max(int(CASES * APIS[api].weight), 5))
    assert outcome.faults == {}
    assert outcome.cases >= 5
    target.works()
