"""The claims of `python -m tests.acceptance` on a smaller export: a claim that does not hold here fails.

Commands run in the process of the test, and orgs and what is killed in forks of one that has loaded the program, as
starting them anew is half of what this costs; `python -m tests.acceptance` starts the installed command.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance import sides
from tests.acceptance.claims import SCENARIOS, Scenario, kill_9, the_main_job
from tests.acceptance.export import made_up
from tests.acceptance.sides import Connector
from tests.flow.forked_cli import start_forked
from tests.flow.forked_org import ForkedOrg
from tests.flow.in_process_cli import run_in_process

ABOUT_CALLS = (the_main_job, kill_9)
"""They need more orders than go into a few calls: to count the calls, and to be killed between two."""


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_claims_of_the_acceptance_run_hold(scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connector, "run", staticmethod(run_in_process))
    monkeypatch.setattr(Connector, "start", staticmethod(start_forked))
    monkeypatch.setattr(sides, "Org", ForkedOrg)
    orders = 320 if scenario in ABOUT_CALLS else 60
    export = made_up(tmp_path / "export", customers=31, products=23, orders=orders)
    claims = list(scenario(export, tmp_path / "work"))
    assert len(claims) >= 4
    assert [claim for claim in claims if not claim[3]] == []
