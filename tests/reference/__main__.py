"""`python -m tests.reference`: write the pages anew."""

from __future__ import annotations

from tests.reference import DOCS, PAGES

for name, write in PAGES.items():
    (DOCS / name).write_text(write(), encoding="utf-8")
    print(f"{(DOCS / name).relative_to(DOCS.parent)} is written.")
