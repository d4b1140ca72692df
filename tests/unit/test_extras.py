"""The extras: what needs `localorg` or `cluster` says so in one line where it is not installed."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from connector.cli.extras import PACKAGES
from connector.errors import SettingsError
from connector.settings import Settings
from connector.settings.cluster import WorkerEngine
from connector.workers.engine import choose_engine
from connector.workers.upgrade import upgrade_engine

ROOT = Path(__file__).parents[2]
BLOCKED = """
import sys
from importlib.abc import MetaPathFinder
class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in {packages}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
sys.argv = ["connector", *{arguments}]
from connector.cli import main
main()
"""


def without_extra(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = BLOCKED.format(packages=PACKAGES, arguments=arguments)
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", ["localorg", "mailcatcher", "demo"])
def test_command_without_its_extra_is_rejected_in_one_line(command: str, tmp_path: Path) -> None:
    done = without_extra(tmp_path, command)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr == (
        f"connector: connector {command} needs packages that are not installed: {', '.join(PACKAGES)}. "
        'Run `pip install "crm-connector[localorg]"`.\n'
    )


def test_agents_without_their_extra_are_told_what_to_install(tmp_path: Path) -> None:
    code = BLOCKED.format(packages=("mcp",), arguments=("mcp",))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith('not installed: mcp. Run `pip install "crm-connector[mcp]"`.\n')


def test_other_commands_do_not_need_the_extra(tmp_path: Path) -> None:
    done = without_extra(tmp_path, "serve", "--help")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def service() -> subprocess.CompletedProcess[str]:
    """A process without the extra that has loaded the whole service, and prints which libraries are loaded."""
    code = BLOCKED.split("sys.argv")[0].format(packages=PACKAGES)
    code += (
        "import scheduler, connector.process_roles, connector.service, connector.web.app, connector.jobs.org_deploy\n"
    )
    code += "print(*{name.split('.')[0] for name in sys.modules})"
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_service_does_not_need_the_extra(service: subprocess.CompletedProcess[str]) -> None:
    assert service.returncode == 0, service.stderr


def test_service_without_traces_loads_no_tracing_library(service: subprocess.CompletedProcess[str]) -> None:
    assert "connector" in service.stdout.split()
    assert "opentelemetry" not in service.stdout.split()


def test_packages_that_are_looked_for_are_those_of_the_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {name.split(">")[0] for name in project["optional-dependencies"]["localorg"]}
    assert declared == set(PACKAGES)


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-demo.lock"])
def test_smaller_locks_pin_what_the_largest_pins(lock: str) -> None:
    def pins(file: str) -> set[str]:
        lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
        return {line.split(" ")[0] for line in lines if "==" in line and not line.startswith(" ")}

    assert pins(lock)
    assert pins(lock) <= pins("requirements-dev.lock")


async def test_engine_that_is_not_installed_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("connector.workers.cluster")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "procrastinate", None)
    settings = Settings(_env_file=None, workers=WorkerEngine.CLUSTER, database_url="postgresql://nobody@127.0.0.1/none")
    with pytest.raises(SettingsError, match="procrastinate, which is not installed") as refused:
        choose_engine(settings)
    assert "crm-connector[cluster]" in refused.value.hint
    monkeypatch.setitem(sys.modules, "procrastinate.schema", None)
    with pytest.raises(SettingsError, match="procrastinate, which is not installed"):
        await upgrade_engine(settings)
