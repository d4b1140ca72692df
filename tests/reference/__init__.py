"""The reference of commands and settings, `docs/cli.md` and `docs/configuration.md`, made from the code.

`python -m tests.reference` writes both; `tests/unit/test_reference.py` compares them with what the code says.
"""

from __future__ import annotations

from pathlib import Path

from tests.reference.commands import write_commands
from tests.reference.settings import write_settings

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {"cli.md": write_commands, "configuration.md": write_settings}
