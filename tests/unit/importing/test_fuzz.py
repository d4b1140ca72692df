"""Whatever the bytes: each row is either good or told, nothing is counted twice, and nothing falls over."""

from __future__ import annotations

import asyncio
import csv
import io
import re
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from connector.errors import ProfileError, UsageError
from connector.orders.importing import ImportReport, load_profile
from connector.orders.importing.profile import Profile, Section, Value, own_form
from connector.orders.importing.reader import ObjectFile, Table
from connector.orders.importing.spool import Spool
from connector.orders.importing.stage import SpoolReader

PIECES = [
    "number",
    "name",
    ",",
    '"',
    '""',
    "\n",
    "\r\n",
    "\r",
    " ",
    "C-1",
    "x" * 90,
    "\x00",
    "ü",
    ";",
    "\ufeff",
    "\u2028",
]
PROFILE = Profile(
    files={"customers": "customers.csv"},
    sections={
        "customers": Section(file="customers", fields={"number": Value(column="number"), "name": Value(column="name")})
    },
)


class Nobody:
    async def beat(self, position: int) -> None: ...


def staged(content: bytes, profile: Profile, name: str) -> tuple[int, list[str]]:
    """How many good entities, and what is said about the others."""
    report = ImportReport()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        spool = Spool()
        try:
            stage = SpoolReader(spool, report, Nobody())
            if path.suffix == ".ndjson":
                asyncio.run(stage.read_objects(ObjectFile(path)))
            else:
                asyncio.run(stage.read_tables({"customers": [Table(path, profile)]}, profile))
            spool.finish()
            return spool.count("customers"), report.problems
        finally:
            spool.close()


@given(st.lists(st.sampled_from(PIECES)).map(lambda pieces: "".join(pieces).encode()) | st.binary(max_size=200))
@example(b'number,name\n1,"a\n2,b\n')
@settings(max_examples=400)
def test_random_bytes_are_read_as_rows_or_reported(content: bytes) -> None:
    try:
        good, told = staged(b"number,name\n" + content, PROFILE, "customers.csv")
    except UsageError as refused:
        assert "customers.csv is not utf-8" in str(refused)  # noqa: PT017 - nothing else may refuse a file
        return
    lines = content.decode().splitlines()
    assert good + len(told) <= len(lines)
    assert all("\n" not in problem for problem in told)


@given(st.lists(st.tuples(st.text(min_size=1, max_size=20), st.text(max_size=40)), max_size=8))
@settings(max_examples=200)
def test_rows_written_by_a_csv_writer_are_read_back(rows: list[tuple[str, str]]) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([("number", "name"), *rows])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "customers.csv"
        path.write_bytes(text.getvalue().encode(errors="replace"))
        table = Table(path, PROFILE)
        found = [(*cells, problem) for _, cells, problem in table.rows()]
    wanted = [(a.encode(errors="replace").decode(), b.encode(errors="replace").decode(), None) for a, b in rows]
    assert found == wanted


@given(st.binary(max_size=200) | st.text(alphabet='{}[]":,\\n1eé', max_size=80).map(str.encode))
@settings(max_examples=300)
def test_random_ndjson_is_read_or_reported(content: bytes) -> None:
    try:
        staged(content, own_form(), "orders.ndjson")
    except UsageError as refused:
        assert re.search("is not UTF-8|is a|begins with the byte order mark|is compressed", str(refused))  # noqa: PT017


@given(st.text(alphabet="abcfiles: {}[]'\"\n-&*!|>%@", max_size=120) | st.text(max_size=60))
@settings(max_examples=300)
def test_random_profile_is_loaded_or_reported_with_a_place(source: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.yaml"
        path.write_bytes(source.encode(errors="replace"))
        try:
            load_profile(path)
        except ProfileError as refused:
            assert all(problem.startswith(f"{path}:") for problem in refused.problems)  # noqa: PT017
