"""A few cases of every face: see `tests/org/fuzz` for many."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.org.fuzz.__main__ import tried
from tests.org.fuzz.faces import FACES
from tests.org.fuzz.target import Target

CASES = 40


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with Target() as running:
        yield running


@pytest.mark.parametrize("face", FACES)
def test_any_input_is_answered_and_the_org_continues(target: Target, face: str) -> None:
    outcome = tried(target, face, max(int(CASES * FACES[face].weight), 5))
    assert outcome.faults == {}
    assert outcome.cases >= 5
    target.works()
