"""One run of one contestant: a fresh org, the load, what it took, and what the org holds afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.acceptance.export import Export
from tests.acceptance.sides import CONNECTOR, ROOT, Connector, Org, an_org
from tests.bench.competitors import WAYS

CONNECTOR_NAME = "connector"
CONTESTANTS = (CONNECTOR_NAME, *WAYS)
LONGEST = 7_200


@dataclass(frozen=True, kw_only=True)
class Run:
    calls: int
    seconds: float
    cpu_seconds: float
    peak_mib: float


class Unequal(Exception):  # noqa: N818 - what happened, in a word
    """The org does not hold what the export says."""


def run(name: str, export: Export, folder: Path, *, latency_ms: int) -> Run:
    with an_org() as org:
        command, environment = _command(name, org, export, folder)
        org.ask("POST", "/_org/faults", {"latency_ms": latency_ms})
        before = org.usage()["api_calls"]
        started = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        complaint = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stderr.close()
        seconds = time.perf_counter() - started
        if process.returncode:
            raise RuntimeError(f"{name} failed: {complaint[-2000:]}")
        calls = org.usage()["api_calls"] - before
        org.ask("DELETE", "/_org/faults")
        _check(export, org.read_back())
    return Run(
        calls=calls, seconds=seconds, cpu_seconds=usage.ru_utime + usage.ru_stime, peak_mib=usage.ru_maxrss / 1024
    )


def _command(name: str, org: Org, export: Export, folder: Path) -> tuple[list[str], dict[str, str]]:
    if name == CONNECTOR_NAME:
        connector = Connector(org, folder)
        connector.import_(export.folder)
        return [*CONNECTOR, "push"], connector.environment
    folder.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "ORG_URL": org.banner["instance_url"],
        "ORG_TOKEN": org.banner["access_token"],
        "PYTHONPATH": str(ROOT),
    }
    return [sys.executable, "-m", "tests.bench.competitors", name, str(export.folder.resolve())], environment


def _check(export: Export, found: dict[str, Any]) -> None:
    """Unequal unless counts, statuses and exact totals are those of the export."""
    statuses = {status: count for status, count in export.statuses.items() if count}
    for what, wanted in (("counts", export.counts), ("statuses", statuses), ("twice", [])):
        if found[what] != wanted:
            raise Unequal(f"{what}: {found[what]}, wanted {wanted}")
    wrong = [key for key, total in export.totals.items() if Decimal(found["totals"].get(key, "-1")) != total]
    if wrong:
        raise Unequal(f"{len(wrong)} exact totals differ, the first of order {wrong[0]}")
