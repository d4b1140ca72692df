"""Realistic export files. The inputs are the folders of `import_files/`, or others with the same layout."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.cases.lab import Case, Claim, Lab, Result, holds, same, wait_until

INPUTS = Path(os.environ.get("CASES_IMPORT_FILES") or Path(__file__).parent / "import_files")
ROWS = 400_000
"""Of an export that takes long enough to be interrupted."""


class ImportLab(Lab):
    """A database into which the files of one case are imported."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(folder)
        self.inputs = INPUTS / name
        self.must("db", "upgrade")

    def bring_in(self, *files: str) -> Result:
        return self("import", *(self.inputs / file for file in files), "--profile", self.inputs / "profile.yaml")

    def outcome(self, *files: str) -> tuple[Result, dict[str, Any]]:
        paths = [self.inputs / file for file in files]
        result = self("import", *paths, "--profile", self.inputs / "profile.yaml", "--json")
        return result, json.loads(result.out) if result.out.startswith("{") else {}

    def order(self, number: str) -> dict[str, Any]:
        result = self("show", "order", number, "--json")
        found: dict[str, Any] = result.document["here"] if result.status == 0 else {}
        return found

    def refuses_the_profile(self, *files: str) -> Iterator[Claim]:
        result = self.bring_in(*files)
        yield same("exit status", 2, result.status)
        first = result.text.partition("\n")[0]
        yield holds("the error has file, line and column", first, "profile.yaml:" in result.text, "profile.yaml:L:C")
        yield holds("and is no traceback", first, "Traceback" not in result.text)


def blanks_in_repeated_rows(folder: Path) -> Iterator[Claim]:
    """A blank cell in a repeated row is ignored, and the order is imported completely."""
    lab = ImportLab(folder, "01_blank_repeat")
    result, _ = lab.outcome("orders.csv")
    yield same("exit status", 0, result.status)
    order = lab.order("#1001")
    yield same("lines of the order", 2, len(order.get("lines", ())))
    yield same("its stage and freight", ("shipped", "5.00"), (order.get("stage"), order.get("freight")))
    yield same(
        "its customer's name", "First Buyer" if "First" in str(order) else "Ann Example", order["customer"]["name"]
    )
    again, document = lab.outcome("orders.csv")
    changed = sum(document[kind][how] for kind in ("customers", "products", "orders") for how in ("created", "updated"))
    yield same("the same file again: exit status and what changed", (0, 0), (again.status, changed))


def join_that_matches_two_rows(folder: Path) -> Iterator[Claim]:
    """It is rejected with both places; the last row is not used silently."""
    lab = ImportLab(folder, "03_join_twice")
    result = lab.bring_in("orders.csv", "payments.csv")
    yield holds("exit status", result.status, result.status in (1, 2), "1 or 2")
    for place in ("payments.csv:2", "payments.csv:3"):
        yield holds(f"{place} is named", result.text.strip(), place in result.text)
    yield same("order 1 is not in with 40", {}, lab.order("1"))


def profile_keys_without_meaning(folder: Path) -> Iterator[Claim]:
    """`values` and `default` on a join, `default` on `first`, `values` on `const`: they work or are rejected."""
    for name, files in (("04_silent_form", ("orders.csv", "reps.csv")), ("11_first_default", ("orders.csv",))):
        lab = ImportLab(folder / name, name)
        result = lab.bring_in(*files)
        if result.status == 0:
            order = lab.order("1")
            worked = (order["channel"], order["notes"])
            right = ("phone", "a") if name == "04_silent_form" else ("web", "none")
            yield same(f"{name} works", right, worked)
        else:
            yield from lab.refuses_the_profile(*files)


def values_for_true_and_false(folder: Path) -> Iterator[Claim]:
    """`values: {true: web}` matches the text in the file, or is rejected."""
    lab = ImportLab(folder, "17_bool_values")
    result = lab.bring_in("orders.csv")
    if result.status == 2:
        yield from lab.refuses_the_profile("orders.csv")
    else:
        yield same("channel of the order with `true`", "web", lab.order("1").get("channel"))
        told = result.status == 1 and "TRUE" in result.text
        yield holds("`TRUE` is web, or told", result.text.strip(), told or lab.order("2").get("channel") == "web")


def unused_headers(folder: Path) -> Iterator[Claim]:
    """Empty and repeated header cells matter only if the profile names them."""
    for file in ("orders.csv", "orders2.csv"):
        lab = ImportLab(folder / file, "05_dup_header")
        result = lab.bring_in(file)
        yield same(f"{file}: exit status, lines", (0, 1), (result.status, len(lab.order("1").get("lines", ()))))


def other_file_formats(folder: Path) -> Iterator[Claim]:
    """Unreadable files are reported with place and remedy; nothing wrong is imported."""
    for file, price in (
        ("dollar.csv", "2.00"), ("paren.csv", None), ("preamble.csv", "2.00"), ("sep.csv", "2.00"),
        ("utc_suffix.csv", "2.00"), ("zero_qty.csv", None), ("short_row.csv", None),
    ):  # fmt: skip
        lab = ImportLab(folder / file, "06_formats")
        result = lab.bring_in(file)
        lines = lab.order("1").get("lines") or []
        if lines and price:
            yield same(f"{file}: read", (0, price), (result.status, lines[0]["unit_price"]))
        else:
            told = result.status in (1, 2) and f"{file}" in result.text and "Traceback" not in result.text
            yield holds(f"{file}: told", result.text.strip()[:160], told and not lines)


def several_files_and_folders(folder: Path) -> Iterator[Claim]:
    """All of them are read."""
    for files in (("jan.csv", "feb.csv"), ("d1", "d2")):
        lab = ImportLab(folder / files[0], "07_two_files")
        result = lab.bring_in(*files)
        there = [number for number in ("1", "2") if lab.order(number)]
        yield same(f"{' '.join(files)}: exit status, orders", (0, ["1", "2"]), (result.status, there))


def rows_of_another_kind(folder: Path) -> Iterator[Claim]:
    """Shipping and refund rows among the lines are reported once each, and not imported as lines."""
    lab = ImportLab(folder, "08_filter_rows")
    result = lab.bring_in("orders.csv")
    yield same("exit status", 1, result.status)
    yield holds("both rows are told", result.text.strip(), all(f"orders.csv:{row}" in result.text for row in (3, 4)))


def broken_row(folder: Path) -> Iterator[Claim]:
    """It is reported and counted once, even if several sections read the file."""
    lab = ImportLab(folder, "14_unquoted_tsv")
    result, document = lab.outcome("orders.txt")
    problems = [problem for problem in document["problems"] if "orders.txt:2" in problem]
    yield same("exit status, times told", (1, 1), (result.status, len(problems)))
    yield same("the order of the other row is in", 1, len(lab.order("2").get("lines", ())))


def order_with_actions_is_imported_again(folder: Path) -> Iterator[Claim]:
    """It is not changed, and the other orders are imported; if only its stage differs, nothing is reported."""
    lab = ImportLab(folder, "16_acted_blocks")
    lab.bring_in("monday.csv")
    lab.must("act", "1", "cancel")
    result, document = lab.outcome("tuesday.csv")
    yield same("exit status", 0, result.status)
    yield same("the other order is in", 1, len(lab.order("2").get("lines", ())))
    yield same("the stage of the one acted on", "canceled", lab.order("1").get("stage"))
    yield same("problems told", [], document.get("problems"))
    changed = folder / "changed.csv"
    changed.write_text(
        (lab.inputs / "tuesday.csv").read_text().replace("1,C1,2024-01-05,A,1,2.00", "1,C1,2024-01-05,A,3,2.00")
    )
    result = lab("import", changed, "--profile", lab.inputs / "profile.yaml")
    yield holds("another quantity is told with its place", result.text.strip(), "changed.csv:2" in result.text)
    yield same("and changes nothing", "1", lab.order("1")["lines"][0]["quantity"])


def blank_in_the_first_row(folder: Path) -> Iterator[Claim]:
    """A later row fills it; a changed customer is a notice with exit status 0, on every run."""
    lab = ImportLab(folder, "18_first_blank")
    for run in ("first", "second"):
        result = lab.bring_in("orders.csv")
        yield same(f"{run} run: exit status", 0, result.status)
    yield same("the customer's phone", "+1 555 0101", lab.order("1")["customer"]["phone"])


def unsupported_sections(folder: Path) -> Iterator[Claim]:
    """Returns are imported, or the section is rejected when the profile is loaded."""
    lab = ImportLab(folder, "20_returns")
    result = lab.bring_in("orders.csv", "returns.csv")
    if result.status:
        yield from lab.refuses_the_profile("orders.csv", "returns.csv")
    else:
        yield same("the order's returns", 1, len(lab.order("1").get("returns", ())))


def interrupted_import(folder: Path) -> Iterator[Claim]:
    """Ctrl-C and SIGTERM end it within a second; the same command completes it."""
    lab = ImportLab(folder, "05_dup_header")
    rows = (f"{n // 2},C{n % 500},2024-01-05,S{n % 50},{n % 2 + 1},2.00" for n in range(ROWS))
    (folder / "big.csv").write_text("\n".join(["order,customer,date,sku,qty,price", *rows]))
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        for after in (1.5, 4.0):
            process = lab.start("import", str(folder / "big.csv"), "--profile", str(lab.inputs / "profile.yaml"))
            time.sleep(after)
            alive = process.poll() is None
            process.send_signal(number)
            started = time.monotonic()
            ended = wait_until(lambda: process.poll() is not None, 30)  # noqa: B023
            took = time.monotonic() - started
            process.kill()
            yield same(
                f"{number.name} after {after} s: was at work, exit status", (True, status), (alive, process.wait(10))
            )
            yield holds("ended within", f"{took:.1f} s", ended and took < 1.5, "about a second")
        left = [path.name for path in folder.iterdir() if path.suffix not in {".csv", ".db", ".log"}]
        yield same("files left behind", [], [name for name in left if not name.startswith("connector.db")])


CASES: tuple[Case, ...] = (
    blanks_in_repeated_rows, join_that_matches_two_rows, profile_keys_without_meaning, values_for_true_and_false,
    unused_headers, other_file_formats, several_files_and_folders, rows_of_another_kind, broken_row,
    order_with_actions_is_imported_again, blank_in_the_first_row, unsupported_sections, interrupted_import,
)  # fmt: skip
