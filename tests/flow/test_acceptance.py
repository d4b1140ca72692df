"""The claims of `python -m tests.acceptance` on a smaller export: a claim that does not hold here fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.claims import SCENARIOS, Scenario
from tests.acceptance.export import made_up


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_claims_of_the_acceptance_run_hold(scenario: Scenario, tmp_path: Path) -> None:
    export = made_up(tmp_path / "export", customers=31, products=23, orders=320)
    claims = list(scenario(export, tmp_path / "work"))
    assert len(claims) >= 4
    assert [claim for claim in claims if not claim[3]] == []
