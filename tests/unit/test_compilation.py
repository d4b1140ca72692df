"""In a new clone, the workers wait for the first of them to compile the tests, and never for nothing."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.compilation import first_alone, is_needed


def test_compilation_is_needed_once(tmp_path: Path) -> None:
    assert is_needed(tmp_path)
    cache = tmp_path / "web" / "__pycache__"
    cache.mkdir(parents=True)
    (cache / "test_pages.cpython-311-pytest-9.2.0.pyc").touch()
    assert not is_needed(tmp_path)


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [(sys, "dont_write_bytecode", True), (sys, "pycache_prefix", "/elsewhere"), (os, "access", lambda *_: False)],
    ids=["no bytecode", "bytecode elsewhere", "read only"],
)
def test_compilation_is_not_needed_where_nothing_can_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, value: object
) -> None:
    monkeypatch.setattr(owner, name, value)
    assert not is_needed(tmp_path)


def test_first_is_alone_and_the_others_come_in_together(tmp_path: Path) -> None:
    def follow() -> None:
        with first_alone(tmp_path):
            pass

    with ThreadPoolExecutor(1) as pool:
        with first_alone(tmp_path):
            assert is_alone(tmp_path)
            other = pool.submit(follow)
            with pytest.raises(TimeoutError):
                other.result(timeout=0.05)
        other.result(timeout=30)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)  # one that has waited for the first
    with first_alone(tmp_path), first_alone(tmp_path):
        assert not is_alone(tmp_path)
    os.close(descriptor)
    assert list(tmp_path.iterdir()) == []


def test_first_that_dies_keeps_nobody_waiting(tmp_path: Path) -> None:
    words = "with first_alone(Path(sys.argv[1])): print(flush=True); sys.stdin.read()"
    words = f"import sys; from pathlib import Path; from tests.compilation import first_alone\n{words}"
    first = subprocess.Popen([sys.executable, "-c", words, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert first.stdout is not None
    assert first.stdout.readline() == b"\n"
    assert is_alone(tmp_path)
    first.kill()
    first.communicate()
    assert not is_alone(tmp_path)


def is_alone(folder: Path) -> bool:
    """Whether nobody else can come in."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
