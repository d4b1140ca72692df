"""An org beside, and a shell in an empty folder that points to it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.cli.localorg import environment
from tests.acceptance.sides import Org
from tests.flow.cli_runner import SHOP, Shell
from tests.flow.forked_org import forked_org


@pytest.fixture(scope="module")
def beside() -> Iterator[Org]:
    with forked_org() as org:
        yield org


@pytest.fixture
def shell(tmp_path: Path, beside: Org) -> Shell:
    return Shell(tmp_path, environment(beside.banner))


@pytest.fixture(scope="session")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database after `db upgrade`."""
    folder = tmp_path_factory.mktemp("upgraded")
    assert Shell(folder)("db", "upgrade").status == 0
    return folder


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory, upgraded: Path) -> Path:
    """A folder with a database after `db upgrade` and `import` of the sample shop."""
    folder = tmp_path_factory.mktemp("imported")
    shutil.copytree(upgraded, folder, dirs_exist_ok=True)
    assert Shell(folder)("import", SHOP).status == 0
    return folder


@pytest.fixture
def empty_database(tmp_path: Path, upgraded: Path) -> None:
    """The database of `shell` is upgraded and empty."""
    shutil.copytree(upgraded, tmp_path, dirs_exist_ok=True)


@pytest.fixture
def sample_shop(tmp_path: Path, imported: Path) -> None:
    """The database of `shell` has the sample shop, of which the org knows nothing."""
    shutil.copytree(imported, tmp_path, dirs_exist_ok=True)
