"""The tests are organized by chapters of facts about the platform: each test names the fact that it checks.

A authentication, B rows and describe over REST, C queries, D the composite family, E Bulk API 2.0, F limits, G events,
H orders and related objects, I metadata, L needs of other clients. A test of a feature of the local org that is no fact
of the platform (it keeps its data, it injects faults) begins with `Ours`.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

CHAPTERS = sorted(Path(__file__).parent.glob("test_[a-l]_*.py"))
NAMED = re.compile(r"(Ours|[A-L]\d*)(, [A-L]\d*)*[.:]")


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_test_names_a_fact_of_its_chapter(path: Path) -> None:
    letter = path.name[5].upper()
    module = ast.parse(path.read_text(encoding="utf-8"))
    assert (ast.get_docstring(module) or "").startswith(f"Chapter {letter}")
    result = {
        item.name: ast.get_docstring(item) or ""
        for item in module.body
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and item.name.startswith("test_")
    }
    assert result
    assert [name for name, text in result.items() if not NAMED.match(text)] == []
    assert any(re.match(rf"({letter}|.*, {letter})\d*", text) for text in result.values())


def test_every_chapter_has_tests() -> None:
    assert {path.name[5].upper() for path in CHAPTERS} >= set("ABCDEFGHIL")
