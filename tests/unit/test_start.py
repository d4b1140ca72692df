"""What a command loads before it works: help needs neither database nor network, and a command loads what it uses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "aiohttp", "aiosqlite", "alembic", "asyncio", "cryptography", "fpdf", "grpc", "httpx2", "jinja2", "psycopg",
    "pydantic", "pydantic_settings", "requests", "rich", "simple_salesforce", "sqlalchemy", "structlog",
}  # fmt: skip
CODE = """
import sys
sys.argv = ["connector", *{arguments}]
from connector.cli import main
try:
    main()
finally:
    print("LOADED", *{{name.split(".")[0] for name in sys.modules}})
"""


def loaded(folder: Path, *arguments: str) -> set[str]:
    code = CODE.format(arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    *_, last = done.stdout.splitlines()
    assert last.startswith("LOADED "), done.stderr
    return set(last.split())


def test_list_of_commands_loads_no_library_that_a_command_works_with(tmp_path: Path) -> None:
    assert loaded(tmp_path, "--help") & HEAVY == set()


@pytest.mark.parametrize(
    "arguments", [["--version"], ["act", "--help"], ["no-such-command"]], ids=lambda words: " ".join(words)
)
def test_help_and_wrong_usage_load_no_library_that_a_command_works_with(arguments: list[str], tmp_path: Path) -> None:
    assert loaded(tmp_path, *arguments) & HEAVY <= {"pydantic"}  # typer loads it


def test_command_that_reads_the_database_loads_no_network_client_and_no_log(tmp_path: Path) -> None:
    needed = {"aiosqlite", "asyncio", "pydantic", "pydantic_settings", "sqlalchemy"}
    assert loaded(tmp_path, "status") & HEAVY <= needed
