"""Two public extractors of Salesforce data, run on the local org: what `tests.bench.bulk_pull --beside` compares with.

They are installed from the package index into virtual environments of their own. They write what they read to their
standard output, where it is counted; nothing is merged, stored or linked. Both sign in at login.salesforce.com, and a
small wrapper leads that address to the local org.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

REDIRECTING = """
import sys
import requests
login, module = sys.argv[1], sys.argv[2]
send = requests.Session.send
def redirected(self, request, **more):
    request.url = request.url.replace("https://login.salesforce.com", login)
    return send(self, request, **more)
requests.Session.send = redirected
sys.argv = sys.argv[2:]
name, _, function = module.partition(":")
__import__("importlib").import_module(name).__dict__[function]()
"""
START = "2000-01-01T00:00:00Z"
SECONDS = 3600


class Extractor(Protocol):
    """A public extractor. `folder` keeps its environment, configuration and output."""

    name: str
    package: str

    def discover(self, python: Path, folder: Path, banner: Mapping[str, str]) -> None:
        """Find out what the org has, and choose its accounts."""

    def read(self, python: Path, folder: Path, banner: Mapping[str, str]) -> int:
        """Read all accounts; return how many."""


def install(package: str, folder: Path) -> Path:
    """Install a package into a virtual environment of its own; return that one's Python."""
    environment = folder / package
    python = environment / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]
        subprocess.run(command, check=True, stdout=sys.stderr)
    return python


def measure(extractor: Extractor, folder: Path, banner: Mapping[str, str]) -> dict[str, Any]:
    """Read all accounts once, without the discovery, which is made once for an org."""
    python = install(extractor.package, folder)
    extractor.discover(python, folder, banner)
    calls, before, started = count_calls(banner), resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    rows = extractor.read(python, folder, banner)
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "way": extractor.name,
        "rows": rows,
        "calls": count_calls(banner) - calls - 1,
        "seconds": round(seconds, 1),
        "rows_per_second": round(rows / seconds),
        "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
    }


def count_calls(banner: Mapping[str, str]) -> int:
    """The API calls that the org has counted so far; this one too."""
    address = f"{banner['instance_url']}/services/data/v66.0/limits"
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {banner['access_token']}"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the local org
        limit = json.load(answer)["DailyApiRequests"]
    return int(limit["Max"]) - int(limit["Remaining"])


def _run(python: Path, banner: Mapping[str, str], entry: str, arguments: Sequence[str | Path], output: Path) -> None:
    command = [python, "-c", REDIRECTING, banner["instance_url"], entry, *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with output.open("wb") as out, (output.with_suffix(".log")).open("wb") as log:
        done = subprocess.run(command, stdout=out, stderr=log, env=environment, timeout=SECONDS)
    if done.returncode != 0:
        sys.stderr.write(output.with_suffix(".log").read_text(errors="replace")[-2000:])
        raise RuntimeError(f"{entry} ended with {done.returncode}")


class Tap:
    """tap-salesforce by REST queries or by Bulk API 1.0."""

    package = "tap-salesforce"

    def __init__(self, api_type: str, name: str) -> None:
        self.name = name
        self._api_type = api_type

    def _config(self, folder: Path, banner: Mapping[str, str]) -> Path:
        config = folder / f"tap-{self._api_type}.json"
        keys = {name: banner[name] for name in ("client_id", "client_secret", "refresh_token")}
        more = {"start_date": START, "api_type": self._api_type, "is_sandbox": "false"}
        config.write_text(json.dumps({**keys, **more}))
        return config

    def _catalog(self, folder: Path) -> Path:
        return folder / f"tap-{self._api_type}-catalog.json"

    def discover(self, python: Path, folder: Path, banner: Mapping[str, str]) -> None:
        catalog = self._catalog(folder)
        _run(python, banner, "tap_salesforce:main", ["--config", self._config(folder, banner), "--discover"], catalog)
        [account] = [item for item in json.loads(catalog.read_text())["streams"] if item["stream"] == "Account"]
        account["metadata"] = _selected(account["metadata"])
        catalog.write_text(json.dumps({"streams": [account]}))

    def read(self, python: Path, folder: Path, banner: Mapping[str, str]) -> int:
        output = folder / f"tap-{self._api_type}.out"
        arguments = ["--config", self._config(folder, banner), "--properties", self._catalog(folder)]
        _run(python, banner, "tap_salesforce:main", arguments, output)
        return _count(output, '"RECORD"')


def _selected(metadata: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The stream and its fields, all selected, read by the time of change."""
    how = {"replication-method": "INCREMENTAL", "replication-key": "SystemModstamp"}
    return [
        {
            **item,
            "metadata": {
                **item["metadata"],
                **({} if item["breadcrumb"] else how),
                "selected": item["metadata"].get("inclusion") != "unsupported",
            },
        }
        for item in metadata
    ]


class Airbyte:
    """Airbyte's source, which chooses between REST and Bulk API 2.0 itself."""

    name = "airbyte-source-salesforce"
    package = "airbyte-source-salesforce"
    _entry = "source_salesforce.run:run"

    def _config(self, folder: Path, banner: Mapping[str, str]) -> Path:
        config = folder / "airbyte.json"
        keys = {name: banner[name] for name in ("client_id", "client_secret", "refresh_token")}
        criteria = [{"criteria": "exacts", "value": "Account"}]
        more = {"auth_type": "Client", "start_date": START, "streams_criteria": criteria}
        config.write_text(json.dumps({**keys, **more}))
        return config

    def discover(self, python: Path, folder: Path, banner: Mapping[str, str]) -> None:
        output = folder / "airbyte-discover.out"
        _run(python, banner, self._entry, ["discover", "--config", self._config(folder, banner)], output)
        [found] = [json.loads(line)["catalog"] for line in output.read_text().splitlines() if '"CATALOG"' in line]
        [stream] = [item for item in found["streams"] if item["name"] == "Account"]
        chosen = {"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "append"}
        (folder / "airbyte-catalog.json").write_text(json.dumps({"streams": [chosen]}))

    def read(self, python: Path, folder: Path, banner: Mapping[str, str]) -> int:
        output = folder / "airbyte.out"
        arguments = ["read", "--config", self._config(folder, banner), "--catalog", folder / "airbyte-catalog.json"]
        _run(python, banner, self._entry, arguments, output)
        return _count(output, '"RECORD"')


def _count(output: Path, word: str) -> int:
    with output.open(encoding="utf-8") as lines:
        return sum(word in line for line in lines)


EXTRACTORS: tuple[Extractor, ...] = (
    Tap("REST", "tap-salesforce, REST"),
    Tap("BULK", "tap-salesforce, Bulk API 1.0"),
    Airbyte(),
)
