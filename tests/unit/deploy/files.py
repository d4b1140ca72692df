"""The files of `deploy/`, read, and the programs that check them."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from connector.settings import Settings
from connector.settings.checks import PREFIX
from connector.settings.unknown_names import list_names

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
SETTINGS = {f"{PREFIX}{name.upper()}" for name in list_names(Settings.model_fields)}
VALIDATORS = "`make validators` installs it"


def read_yaml(path: Path) -> list[Any]:
    """The documents of a file, without anchors and merge keys."""
    return list(YAML(typ="safe", pure=True).load_all(path.read_text(encoding="utf-8")))


def require_program(name: str) -> str:
    """A program from the path, or beside the interpreter; the test is skipped without it."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed; {VALIDATORS}, or Debian's package")
    return found


def env_file_names(path: Path) -> list[str]:
    """The variables of an env file, those in comments too."""
    return re.findall(r"^(?:# )?([A-Z][A-Z_]+)=", path.read_text(encoding="utf-8"), re.MULTILINE)


def assert_settings(names: Iterable[str] | Mapping[str, Any], *, least: int) -> None:
    """Assert that all of our variables among `names` are settings, and that there are at least `least`."""
    ours = [name for name in names if name.startswith(PREFIX)]
    assert len(ours) >= least, ours
    assert set(ours) <= SETTINGS
