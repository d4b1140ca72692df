"""Files with customer data are readable by their owner only, whatever the umask."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.files import create_private, readable_by_others
from connector.localorg.certificates import load_or_create
from connector.localorg.storage import Storage
from connector.store.engine import Store
from connector.store.tables import metadata


@pytest.fixture(params=[0o000, 0o022, 0o077])
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    return {file.name: oct(file.stat().st_mode & 0o777) for file in folder.iterdir() if file.is_file()}


@pytest.mark.usefixtures("_umask")
async def test_database_files_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'connector.db'}")
    try:
        async with store.transaction():
            assert modes(tmp_path) == dict.fromkeys(("connector.db", "connector.db-wal", "connector.db-shm"), "0o600")
        assert not store.readable_by_others
    finally:
        await store.close()


async def test_database_readable_by_others_keeps_its_mode_and_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "connector.db"
    file.touch()
    file.chmod(0o644)
    store = Store.open(f"sqlite:///{file}")
    try:
        await store.migrate(metadata.create_all)
        assert (file.stat().st_mode & 0o777, store.readable_by_others) == (0o644, True)
    finally:
        await store.close()


@pytest.mark.usefixtures("_umask")
def test_files_of_the_local_org_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "org.db")
    try:
        assert set(modes(tmp_path).values()) == {"0o600"}
    finally:
        storage.close()
    found = load_or_create(tmp_path / "tls")
    assert found.key.stat().st_mode & 0o077 == 0
    assert (tmp_path / "tls").stat().st_mode & 0o077 == 0


def test_existing_file_keeps_its_content_and_mode(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    file.chmod(0o640)
    create_private(file)
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("x", 0o640)
    create_private(tmp_path / "no" / "folder")
    assert not readable_by_others(tmp_path / "no" / "folder")
