"""The Dockerfile: what it copies exists, nobody is root in it, and hadolint has no objection."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.unit.deploy.files import ROOT, assert_settings, require_program

FILE = ROOT / "Dockerfile"


def instructions() -> list[list[str]]:
    """The instructions, each as words, without comments."""
    text = re.sub(r"\\\n", " ", FILE.read_text(encoding="utf-8"))
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


def test_what_is_copied_exists() -> None:
    copied = [path for name, *words in instructions() if name == "COPY" for path in words[:-1] if words[0][0] != "-"]
    assert {"requirements.lock", "connector", "mappings"} <= set(copied)
    assert [path for path in copied if not (ROOT / path).exists()] == []


def test_last_stage_is_the_service_by_a_user_with_a_number_that_is_not_root() -> None:
    lines = instructions()
    assert lines[-1] == ["FROM", "service"]
    start = lines.index(["FROM", "python:3.11-slim", "AS", "service"])
    end = next(index for index, line in enumerate(lines) if index > start and line[0] == "FROM")
    stage = {line[0]: line[1:] for line in lines[start + 1 : end]}
    assert int(stage["USER"][0]) >= 10_000
    [user] = [line for line in lines[start:end] if "useradd" in line]
    assert user[user.index("--uid") + 1] == stage["USER"][0]
    assert stage["VOLUME"] == [stage["WORKDIR"][0]] == [user[user.index("--home-dir") + 1]]
    assert json.loads(" ".join(stage["HEALTHCHECK"]).partition("CMD ")[2]) == ["connector", "status", "--health"]
    assert json.loads(" ".join(stage["CMD"])) == ["python", "-m", "scheduler"]
    assert_settings([word.split("=")[0] for word in stage["ENV"]], least=2)


def test_other_stages_end_as_this_user_too() -> None:
    lines = instructions()
    users = [line[1] for line in lines if line[0] == "USER"]
    assert users == ["10001", "0", "10001"]  # one stage makes a folder as root


@pytest.mark.parametrize("wrong", ["", "USER root\n"])
def test_hadolint_has_no_objection(wrong: str, tmp_path: Path) -> None:
    hadolint = require_program("hadolint")
    copy = tmp_path / "Dockerfile"
    copy.write_text(FILE.read_text(encoding="utf-8") + wrong, encoding="utf-8")
    done = subprocess.run([hadolint, "--format", "json", copy], capture_output=True, text=True, check=False)
    codes = {item["code"] for item in json.loads(done.stdout)}
    assert codes >= {"DL3002"} if wrong else codes == set()
