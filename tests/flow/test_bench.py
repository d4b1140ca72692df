"""The benchmark's contestants reach the same end; nothing here is timed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance import sides
from tests.acceptance.export import made_up
from tests.bench.comparison import CONTESTANTS, run
from tests.flow.forked_org import ForkedOrg
from tests.flow.in_process_cli import run_in_process


@pytest.mark.parametrize("name", CONTESTANTS)
def test_each_contestant_completes_the_whole_load(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sides, "Org", ForkedOrg)
    monkeypatch.setattr(sides.Connector, "run", staticmethod(run_in_process))
    export = made_up(tmp_path / "export", customers=3, products=4, orders=5)
    assert run(name, export, tmp_path / "work", latency_ms=0).calls > 0
