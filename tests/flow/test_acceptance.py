"""The claims of `python -m tests.acceptance` on a smaller export: a claim that does not hold here fails.

Commands and orgs run in forks of a process that has loaded the program, as starting them anew is half of what this
costs; `python -m tests.acceptance` starts the installed command.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.acceptance import sides
from tests.acceptance.claims import SCENARIOS, Scenario
from tests.acceptance.export import made_up
from tests.acceptance.sides import LONGEST, Connector
from tests.flow import forked_cli
from tests.flow.forked_org import ForkedOrg


def run_forked(words: Sequence[str], environment: Mapping[str, str], folder: Path) -> tuple[int, str, str]:
    out, err = folder / ".stdout", folder / ".stderr"
    status = forked_cli.run(words, environment=environment, folder=folder, seconds=LONGEST, out=out, err=err)
    return status, out.read_text(), err.read_text()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_claims_of_the_acceptance_run_hold(scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connector, "run", staticmethod(run_forked))
    monkeypatch.setattr(sides, "Org", ForkedOrg)
    export = made_up(tmp_path / "export", customers=31, products=23, orders=320)
    claims = list(scenario(export, tmp_path / "work"))
    assert len(claims) >= 4
    assert [claim for claim in claims if not claim[3]] == []
