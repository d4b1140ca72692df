"""An org beside, and a shell in an empty folder that points to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.cli.localorg import environment
from tests.acceptance.sides import Org, an_org
from tests.flow.cli_runner import Shell


@pytest.fixture(scope="module")
def beside() -> Iterator[Org]:
    with an_org() as org:
        yield org


@pytest.fixture
def shell(tmp_path: Path, beside: Org) -> Shell:
    return Shell(tmp_path, environment(beside.banner))
