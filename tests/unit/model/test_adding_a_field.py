"""The steps of docs/adding-a-field.md, applied to a copy of the package: the field is stored, served and mapped."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from connector.store.schema import HEAD

pytestmark = pytest.mark.database  # and a copy of everything
ROOT = Path(__file__).parents[3]
STEP = re.compile(
    r"^(?:In `(?P<old>[^`]+)`, below `(?P<below>[^`]+)`|New file `(?P<new>[^`]+)`):\n\n"
    r"```\w+\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
MAPPED = """
from dataclasses import replace
from connector.mapping import load_mappings
from tests.unit.mapping.conftest import ORDER
record = load_mappings().order.map(ORDER.with_header(gift_message="Happy birthday"))
print(record.fields["Gift_Message__c"])
"""


def numbered(text: str) -> str:
    """The steps, with the number of the next migration filled in."""
    return text.replace("LATEST", HEAD).replace("v0000", f"v{int(HEAD) + 1:04}").replace("0000", f"{int(HEAD) + 1:04}")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    unused = shutil.ignore_patterns("node_modules", "*.pyc.*")  # the latter is bytecode that a worker is writing
    for name in ("connector", "mappings", "tests", "docs", "fixtures"):
        shutil.copytree(ROOT / name, folder / name, ignore=unused)
    shutil.copy(ROOT / "pyproject.toml", folder)
    steps = list(STEP.finditer((ROOT / "docs" / "adding-a-field.md").read_text(encoding="utf-8")))
    assert len(steps) == 5, "the page says that it takes five files"
    for step in steps:
        if step["new"]:
            (folder / numbered(step["new"])).write_text(numbered(step["text"]), encoding="utf-8")
            continue
        file = folder / step["old"]
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        [place] = [index for index, line in enumerate(lines) if line.startswith(step["below"])]
        file.write_text("".join([*lines[: place + 1], step["text"], *lines[place + 1 :]]), encoding="utf-8")
    return folder


def python(copy: Path, *words: str) -> str:
    environment = {"PYTHONPATH": f"{copy}:{':'.join(path for path in sys.path if path != str(ROOT))}", "PATH": ""}
    command = [sys.executable, "-P", *words]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_field_is_stored_changed_split_imported_served_and_shown(copy: Path) -> None:
    """Run the test of all fields on the copy: it has every case for the new field, and all pass."""
    told = python(copy, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "-k", "gift_message", "-v",
                  "tests/unit/model/test_order_fields.py")  # fmt: skip
    assert "6 passed" in told


def test_field_is_mapped_to_its_field_in_salesforce(copy: Path) -> None:
    assert python(copy, "-c", MAPPED).strip() == "Happy birthday"


def test_field_fits_the_metadata_that_is_deployed(copy: Path) -> None:
    told = python(
        copy,
        "-c",
        "from tests.unit.outbound.conftest import profile\n"
        "print(profile().describes['Order'].fields['Gift_Message__c'].length)",
    )
    assert told.strip() == "2000"
