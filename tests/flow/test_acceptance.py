"""The claims of `python -m tests.acceptance` on a smaller export: a claim that does not hold here fails.

Commands run in the process of the test, and orgs in forks of one that has loaded the program, as starting them anew is
half of what this costs; `python -m tests.acceptance` starts the installed command.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance import sides
from tests.acceptance.claims import SCENARIOS, Scenario
from tests.acceptance.export import made_up
from tests.acceptance.sides import Connector
from tests.flow.forked_org import ForkedOrg
from tests.flow.in_process_cli import run_in_process


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_claims_of_the_acceptance_run_hold(scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connector, "run", staticmethod(run_in_process))
    monkeypatch.setattr(sides, "Org", ForkedOrg)
    export = made_up(tmp_path / "export", customers=31, products=23, orders=320)
    claims = list(scenario(export, tmp_path / "work"))
    assert len(claims) >= 4
    assert [claim for claim in claims if not claim[3]] == []
