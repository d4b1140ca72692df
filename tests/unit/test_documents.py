"""Links of the documentation lead to files and headings that exist, and every page is in the menu of the site."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted(DOCS.rglob("*.md")),
    *sorted((ROOT / "deploy").rglob("*.md")),
    *sorted((ROOT / "connector").rglob("README.md")),
]
ANCHOR = re.compile(r"(?<![\w/.-])((?:[\w.-]+/)*[\w.-]+\.md)#([\w-]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_something(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(page)):
        if not re.match(r"https?:|mailto:", link):
            path, _, heading = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (heading and target.suffix == ".md" and heading not in headings(target)):
                broken.append(link)
    assert broken == []


def test_anchors_that_other_files_name_exist() -> None:
    """Comments, help and messages name `service.md#jobs`, from the root, from `docs` or from their own folder."""
    broken = []
    for file in text_files():
        for path, heading in ANCHOR.findall(file.read_text(encoding="utf-8", errors="replace")):
            targets = [folder / path for folder in (ROOT, DOCS, file.parent)]
            if not any(target.exists() and heading in headings(target) for target in targets):
                broken.append(f"{file.relative_to(ROOT)}: {path}#{heading}")
    assert broken == []


def text_files() -> list[Path]:
    folders = ("connector", "deploy", "docs", "fixtures", "mappings", "tests")
    files = [*ROOT.glob("*"), *(file for folder in folders for file in (ROOT / folder).rglob("*"))]
    ours = (file for file in files if not {"node_modules", "__pycache__"} & {*file.parts})
    return [file for file in ours if file.is_file() and b"\0" not in file.read_bytes()[:4096]]


@cache
def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub and the site make them."""
    texts = re.findall(r"(?m)^#+ (.*)$", without_code(page))
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text).lower() for text in texts)
    return {re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-") for text in plain}


@cache
def without_code(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_readme_is_a_front_page() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_every_page_is_in_the_menu_of_the_site() -> None:
    menu = (DOCS / "site" / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    listed = {
        page for section in yaml.safe_load(menu) for entry in flat(section) for page in entry.values()
    }  # fmt: skip
    pages = {str(path.relative_to(DOCS)) for path in DOCS.glob("*.md")}
    assert pages - listed == set(), "Add the page to `nav` of docs/site/mkdocs.yml."
    assert [page for page in listed if not (DOCS / page).exists() and not (ROOT / page).exists()] == []


def flat(section: dict[str, object]) -> list[dict[str, str]]:
    [content] = section.values()
    return content if isinstance(content, list) else [section]  # type: ignore[list-item]


def test_pictures_are_used_and_small() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    pictures = sorted((DOCS / "pictures").iterdir())
    assert [picture.name for picture in pictures if f"pictures/{picture.name}" not in text] == []
    assert [picture.name for picture in pictures if picture.stat().st_size > 120_000] == []
