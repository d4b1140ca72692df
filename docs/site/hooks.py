"""What the site has besides the pages of `docs/`: the READMEs of other folders, and files that pages link to.

A page links to `../deploy/README.md` as it lies in the repository. In the site that file is `deploy/README.md`, because
everything outside of `docs/` is brought in under its own path.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
PAGES = ("deploy/README.md", "connector/metadata/README.md", "connector/localorg/README.md", "CHANGELOG.md")
LINK = re.compile(r"(\]\()((?:\.\./)*[\w./-]+)((?:#[\w-]*)?\))")

FENCE = re.compile(r"^( *```\w+) (?:file=(\S+)|\w+)$", re.MULTILINE)
"""A block that a test uses: as a file of this name, which the site shows above it, or as what the word says."""

ITEM = re.compile(r"([-*]|\d+\.) ")
CODE = re.compile(r"`[^`]+`")


def on_config(config: Any) -> Any:
    """List the decision records in the menu, the newest last."""
    records = sorted((DOCS / "decisions").glob("*.md"))
    for section in config.nav:
        for entry in next(iter(section.values())) if isinstance(next(iter(section.values())), list) else ():
            if entry.get("Decisions") == "decisions/":
                entry["Decisions"] = [f"decisions/{path.name}" for path in records]
    return config


def on_files(files: Files, *, config: Any) -> Files:
    for name in PAGES:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    for name in sorted(linked_files(files)):
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    files.append(File.generated(config, "site.css", abs_src_path=str(DOCS / "site" / "site.css")))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    markdown = FENCE.sub(lambda found: found[1] + (f' title="{found[2]}"' if found[2] else ""), markdown)
    markdown = "\n".join(parsable(markdown.split("\n")))
    return LINK.sub(lambda found: found[1] + rewritten(found[2], page.file.src_uri) + found[3], markdown)


def parsable(lines: list[str]) -> Iterator[str]:
    """What GitHub reads and Python-Markdown does not: a list right below a paragraph, and `\\|` in code of a table."""
    in_code, before = False, ""
    for line in lines:
        in_code ^= line.lstrip().startswith("```")
        if not in_code and ITEM.match(line) and before and not ITEM.match(before) and not before.startswith(" "):
            yield ""
        yield CODE.sub(lambda found: found[0].replace("\\|", "|"), line) if line.startswith("|") else line
        before = line


def linked_files(files: Files) -> set[str]:
    """Files of the repository that a page links to and that are no pages, such as a dashboard."""
    found = set()
    for file in files.documentation_pages():
        text = Path(file.abs_src_path or "").read_text(encoding="utf-8")
        for _, link, _ in LINK.findall(text):
            name = place_of(link, file.src_uri)
            if name and not name.startswith("docs/") and name not in PAGES and (ROOT / name).is_file():
                found.add(name)
    return found


def rewritten(link: str, page: str) -> str:
    """A link of a page, as it is in the site. Folders, which have no page, lead to the page that lists them."""
    name = place_of(link, page)
    if name is None:
        return link
    target = name.removeprefix("docs/")
    if name == "README.md":
        target = "index.md"
    elif (ROOT / name).is_dir():
        target = FOLDERS.get(name, "development.md")
    return posixpath.relpath(target, posixpath.dirname(page) or ".")


FOLDERS = {
    "docs/decisions": "decisions/0001-known-records-by-id.md",
    "deploy": "deploy/README.md",
    "connector/metadata": "connector/metadata/README.md",
}


def place_of(link: str, page: str) -> str | None:
    """The path in the repository that a page's link leads to; None if there is nothing."""
    folder = posixpath.dirname(page if page in PAGES else f"docs/{page}")
    name = posixpath.normpath(posixpath.join(folder, link))
    return name if (ROOT / name).exists() else None
