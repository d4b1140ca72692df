"""The systemd unit: its settings exist, systemd reads it without a complaint, and it may do little."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from connector.cli import GROUPS
from connector.process_roles import DRAIN_SECONDS
from tests.unit.deploy.files import DEPLOY, assert_settings, env_file_names, require_program

UNIT = DEPLOY / "systemd" / "connector.service"
PROGRAM = "/opt/connector/bin/connector "
MOST_EXPOSED = 15
"""Tenths: what `systemd-analyze security` may find at most; 100 is a service without any restriction."""


def directives() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            name, value = line.split("=", 1)
            found.setdefault(name, []).append(value)
    return found


def verify(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """What systemd says of a unit, whose program need not be installed here."""
    unit = folder / UNIT.name
    unit.write_text(text.replace(PROGRAM.strip(), "/bin/true"), encoding="utf-8")
    analyze = require_program("systemd-analyze")
    return subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)


def test_unit_runs_commands_that_exist_and_waits_for_what_is_under_way() -> None:
    unit = directives()
    assert set(re.findall(rf"{PROGRAM}([a-z]+)", unit["ExecStart"][0])) == {"db", "serve"} <= set(GROUPS)
    assert "ExecStartPre" not in unit  # its status would not count
    assert DRAIN_SECONDS < 25 < int(unit["TimeoutStopSec"][0])
    assert unit["RestartPreventExitStatus"] == ["2"]  # wrong settings
    assert unit["UMask"] == ["0077"]


@pytest.mark.parametrize(
    ("setting", "status", "word"),
    [
        ("CONNECTOR_SYNC__PARTITIONS=many", 2, "CONNECTOR_SYNC__PARTITIONS"),
        ("CONNECTOR_DATABASE_URL=postgresql://nobody@127.0.0.1:1/none", 1, "cannot be reached"),
    ],
)
def test_unit_begins_anew_only_if_that_can_help(setting: str, status: int, word: str, tmp_path: Path) -> None:
    shell, option, script = shlex.split(directives()["ExecStart"][0])
    program = f"{shlex.quote(str(Path(sys.executable).with_name('connector')))} "
    command = [shell, option, script.replace(PROGRAM, program)]
    env = dict([setting.split("=", 1)])
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, word in done.stderr) == (status, True), done.stderr
    assert (str(done.returncode) in directives()["RestartPreventExitStatus"]) == (status == 2)


def test_example_of_its_settings_names_settings() -> None:
    assert directives()["EnvironmentFile"] == ["/etc/connector/connector.env"]
    assert_settings(env_file_names(DEPLOY / "connector.env.example"), least=9)


def test_user_of_the_unit_is_one_that_is_created() -> None:
    user = directives()["User"][0]
    lines = (DEPLOY / "systemd" / "connector.sysusers.conf").read_text(encoding="utf-8").splitlines()
    assert [line.split()[1] for line in lines if line.startswith("u ")] == [user]


@pytest.mark.parametrize("wrong", ["", "ProtectEverything=true"])
def test_systemd_reads_the_unit_without_a_complaint(wrong: str, tmp_path: Path) -> None:
    done = verify(tmp_path, UNIT.read_text(encoding="utf-8").replace("[Install]", f"{wrong}\n[Install]"))
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if UNIT.name in line]
    assert len(complaints) == bool(wrong), complaints
    assert done.returncode == 0, done.stderr


def test_unit_is_restricted() -> None:
    analyze = require_program("systemd-analyze")
    command = [analyze, "security", "--offline=true", f"--threshold={MOST_EXPOSED}", "--json=short", "--no-pager", UNIT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    exposed = {item["json_field"] for item in json.loads(done.stdout) if item["set"] is False}
    assert "RestrictAddressFamilies_AF_INET_INET6" in exposed  # it calls the org
    assert "PrivateDevices" not in exposed
