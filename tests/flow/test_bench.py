"""The benchmark's contestants reach the same end; nothing here is timed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.export import made_up
from tests.bench.contest import CONTESTANTS, Absent, run

ABSENT = "bulk2"  # until the local org has Bulk API 2.0


@pytest.mark.parametrize("name", [name for name in CONTESTANTS if name != ABSENT])
def test_a_contestant_does_the_whole_load(name: str, tmp_path: Path) -> None:
    export = made_up(tmp_path / "export", customers=3, products=4, orders=5)
    assert run(name, export, tmp_path / "work", latency_ms=0).calls > 0


def test_what_the_org_lacks_is_left_out_with_a_word(tmp_path: Path) -> None:
    export = made_up(tmp_path / "export", customers=1, products=1, orders=1)
    with pytest.raises(Absent, match=r"no Bulk API 2\.0"):
        run(ABSENT, export, tmp_path / "work", latency_ms=0)
