"""The environment of one case: the command line with its own database, files to import, and a service."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.acceptance.sides import CONNECTOR, ROOT

LONGEST = 120
"""Seconds that a command may take."""

Claim = tuple[str, str, str, bool]
"""What is looked at, what is right, what was found, whether that is right."""
Case = Callable[[Path], Iterator[Claim]]
Row = Mapping[str, object]


def same(what: str, wanted: object, found: object) -> Claim:
    return what, str(wanted), str(found), wanted == found


def holds(what: str, found: object, truth: bool, wanted: str = "it does") -> Claim:
    return what, wanted, str(found), truth


@dataclass
class Result:
    """The output and exit status of a command."""

    status: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return f"{self.out}{self.err}"

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@dataclass
class Lab:
    """`lab("push")` runs a command; `settings` are environment variables without their prefix."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.settings.setdefault("DATABASE_URL", f"sqlite:///{self.folder / 'connector.db'}")
        self.settings.setdefault("SYNC__LEASE_SECONDS", "3")

    @property
    def environment(self) -> dict[str, str]:
        others = {name: value for name, value in os.environ.items() if not name.startswith("CONNECTOR_")}
        mine = {f"CONNECTOR_{name}": value for name, value in self.settings.items()}
        return {**others, "PYTHONPATH": str(ROOT), **mine}

    def __call__(self, *words: str | Path) -> Result:
        done = subprocess.run(
            [*CONNECTOR, *map(str, words)], env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=LONGEST, check=False,
        )  # fmt: skip
        return Result(done.returncode, done.stdout, done.stderr)

    def must(self, *words: str | Path) -> Result:
        """Run a command that only prepares a case; raises RuntimeError unless its exit status is 0."""
        result = self(*words)
        if result.status:
            raise RuntimeError(f"connector {' '.join(map(str, words))}: {result.status}\n{result.text}")
        return result

    def json(self, *words: str | Path) -> Any:
        return self(*words, "--json").document

    def start(self, *words: str) -> subprocess.Popen[str]:
        return self._start([*CONNECTOR, *words])

    def _start(self, words: Sequence[str]) -> subprocess.Popen[str]:
        log = (self.folder / f"{Path(words[-1]).name}.log").open("a")
        with log:
            return subprocess.Popen(words, env=self.environment, cwd=self.folder, stdout=log, stderr=log, text=True)

    @contextmanager
    def service(self) -> Iterator[Path]:
        """Run the scheduler; yields its log."""
        process = self._start([sys.executable, "-m", "scheduler"])
        try:
            yield self.folder / "scheduler.log"
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            finally:
                process.kill()

    def point_to(self, banner: Mapping[str, str], address: str = "") -> None:
        self.settings["SALESFORCE__LOGIN_URL"] = address or banner["instance_url"]
        self.settings["SALESFORCE__CLIENT_ID"] = banner["client_id"]
        self.settings["SALESFORCE__CLIENT_SECRET"] = banner["client_secret"]

    def bring(self, name: str = "in", **tables: Sequence[Row]) -> Result:
        """Import `tables` (customers, products, orders, order_lines) from a folder in the own format."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        for table, rows in tables.items():
            columns = list(dict.fromkeys(column for row in rows for column in row))
            with (folder / f"{table}.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, columns)
                writer.writeheader()
                writer.writerows(rows)
        return self("import", folder)

    def refused(self) -> list[Any]:
        """Return the dead letters."""
        found: list[Any] = self.json("dead-letters", "list")
        return found


def wait_until(ripe: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if ripe():
            return True
        time.sleep(0.2)
    return ripe()


def customer(number: str, **more: object) -> Row:
    return {"number": number, "name": f"Customer {number}", **more}


def product(sku: str, **more: object) -> Row:
    return {"sku": sku, "name": f"Product {sku}", "active": "true", "unit_price": "10.00", "currency": "USD", **more}


def order(number: str, customer: str, **more: object) -> Row:
    placed = "2026-10-01T09:00:00+00:00"
    return {
        "number": number, "customer": customer, "placed_at": placed, "currency": "USD", "stage": "confirmed", **more
    }  # fmt: skip


def line(order: str, number: int, sku: str, **more: object) -> Row:
    return {"order": order, "line": number, "sku": sku, "quantity": 1, **more}
