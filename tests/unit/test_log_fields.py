"""What a line of the log has besides its event, and what it never has."""

from __future__ import annotations

import ast
import asyncio
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from connector.errors import ConnectorError
from connector.jobs.role_supervisor import RoleSupervisor
from connector.log import StateLog, bind, configure, get_logger, log_context, request_id
from connector.log.redaction import MASK
from connector.settings import load_settings
from tests.conftest import ManualClock

ROOT = Path(__file__).parents[2]
METHODS = {"debug", "info", "warning", "error", "exception"}
SECRETS = {
    "CONNECTOR_ALERTS__APPRISE_URLS": "slack://T1/first-of-two mailto://ops:second-pass@mail.example",
    "CONNECTOR_CLUSTER__DATABASE_URL": "postgresql://shop:direct-pass-7@db.internal/shop",
    "CONNECTOR_ORGS__EMEA__CLIENT_SECRET": "9C14A0E1-of-emea",
    "CONNECTOR_SALESFORCE__CLIENT_SECRET": "43E376ACEFAC8F05C",
    "CONNECTOR_SALESFORCE__PASSWORD": "hunter2-and-token",
    "CONNECTOR_DATABASE_URL": "postgresql://shop:p%40ssw0rd-9@db.internal/shop",
    "CONNECTOR_WEBHOOKS__SECRETS": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw,whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
}
CORPUS = [
    "slack://T1/first-of-two", "second-pass", "direct-pass-7", "9C14A0E1-of-emea", "password=hunter3 ",
    "client_secret=abc&", '"client_secret": "a b c"', "PASSWORD = 'x y'", "access_token=0af",
    "43E376ACEFAC8F05C", "hunter2-and-token", "p%40ssw0rd-9", "p@ssw0rd-9", "C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    "00DLo01Am3H91mD!AQQAAAAImc6HbAAABoibhfts_WbP1.x", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln",
    "Bearer abc.def-123", "jane.o'doe+orders@mail.shop.example", "+44 20 7946 0018", "+1 (415) 555-2671",
    "DETAIL:  Key (email, name)=(jane, Jane Doe) already exists.",
]  # fmt: skip


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What is logged by a service that has these secrets."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CONNECTOR_WEBHOOKS__URL", "https://erp.example/hook")
    monkeypatch.setenv("CONNECTOR_LOG_FORMAT", "json")
    settings, before, stream = load_settings(), structlog.get_config(), io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    configure("DEBUG", **settings.log_options)
    yield stream
    structlog.configure(**before)


def lines(log: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def log_calls() -> list[tuple[str, str, frozenset[str]]]:
    """All calls of a logger in the product: place, method, names of the fields."""
    found = []
    for path in [ROOT / "scheduler.py", *sorted((ROOT / "connector").rglob("*.py"))]:
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "log." in text else ():
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in METHODS
                and ast.unparse(node.func.value) in {"log", "self._log"}
            ):
                names = frozenset(keyword.arg for keyword in node.keywords if keyword.arg)
                found.append((f"{path.relative_to(ROOT)}:{node.lineno}", node.func.attr, names))
    return found


def test_secrets_and_addresses_are_masked_in_every_field_of_every_line(log: io.StringIO) -> None:
    calls = log_calls()
    assert len(calls) > 60
    logger = structlog.get_logger()
    for place, method, names in calls:
        fields = {
            name: [f"The org said: {text}\n.", {"value": CORPUS}] for name in names - {"exc_info"} for text in CORPUS
        }
        try:
            raise ValueError("It refused " + " and ".join(CORPUS))
        except ValueError:
            getattr(logger, "error" if method == "exception" else method)(place, exc_info=True, **fields)
    for text in CORPUS:
        logger.info(text, error=text, detail=f"The org said: {text}")
    written = log.getvalue()
    assert written.count("\n") == len(calls) + len(CORPUS)
    for text in CORPUS:
        assert text not in written
    assert "Jane Doe" not in written
    assert f"The org said: {MASK}" in written
    assert "ValueError: It refused" in written


def test_keys_numbers_and_moments_are_not_masked(log: io.StringIO) -> None:
    kept = {
        "order": "SO-1001", "record": "801Lo00000abcDEIAY", "org": "00DLo01Am3H91mDMER", "seconds": 1.5, "count": 12,
        "at": "http://127.0.0.1:8080", "since": "2026-11-29T08:42:02.330707+00:00", "sku": "4006381333931",
        "done": {"order": 3}, "roles": ["api", "worker"], "none": None,
    }  # fmt: skip
    structlog.get_logger().info("kept", **kept)
    [line] = lines(log)
    assert {name: line[name] for name in kept} == kept


async def test_line_has_the_fields_of_its_block_its_task_and_its_request(log: io.StringIO) -> None:
    logger = get_logger("test")

    async def work(org: str) -> None:
        bind(org=org)
        await asyncio.sleep(0)
        logger.info("worked", order="SO-1")

    with log_context(job="prune", run=7):
        request_id.set("r-1")
        await asyncio.gather(work("00D1"), work("00D2"))
        logger.info("done", run=8)
    logger.info("outside")
    first, second, done, outside = lines(log)
    common = {"event": "worked", "job": "prune", "run": 7, "order": "SO-1", "request": "r-1"}
    assert first.items() >= {**common, "org": "00D1"}.items()
    assert second.items() >= {**common, "org": "00D2"}.items()
    assert (done["run"], "org" in done) == (8, False)  # what a line says itself counts
    assert not {"job", "run", "org"} & set(outside)


def test_state_is_told_when_it_changes(log: io.StringIO) -> None:
    state = StateLog(get_logger("test"), "away", "back", topic="t")
    state.work()
    for error in ("timeout", "timeout", "refused", "refused"):
        state.fail(error, hint="Wait.")
    state.work()
    state.work()
    state.fail("refused")
    told = [(line["event"], line.get("error", line.get("after"))) for line in lines(log)]
    assert told == [("away", "timeout"), ("away", "refused"), ("back", "refused"), ("away", "refused")]
    assert {line["topic"] for line in lines(log)} == {"t"}


@pytest.mark.parametrize("form", ["text", "json"])
def test_form_of_the_log_is_a_setting(form: str, monkeypatch: pytest.MonkeyPatch, log: io.StringIO) -> None:
    monkeypatch.setenv("CONNECTOR_LOG_FORMAT", form)
    monkeypatch.setattr("sys.stderr", log)
    configure("INFO", **load_settings().log_options)
    structlog.get_logger().info("started", roles=["api"])
    assert log.getvalue().startswith("{") == (form == "json")
    assert "started" in log.getvalue()


async def test_role_that_fails_again_and_again_is_told_once_and_when_it_is_back(log: io.StringIO) -> None:
    runs, steady = 0, asyncio.Event()
    clock = ManualClock()

    async def run(stop: asyncio.Event) -> None:
        nonlocal runs
        runs += 1
        if runs < 5:
            raise ConnectorError("The topic is gone.", hint="Deploy it.")
        for _ in range(5):
            await clock.sleep(60)
        steady.set()
        await stop.wait()

    supervisor = RoleSupervisor(clock)
    supervisor.start({"listener": run})
    await steady.wait()
    await supervisor.stop(1)
    assert runs == 5
    failed, back = lines(log)
    assert (failed["event"], failed["error"], failed["hint"]) == ("role failed", "The topic is gone.", "Deploy it.")
    assert (back["event"], back["after"]) == ("role is back", "The topic is gone.")
    assert {failed["role"], back["role"]} == {"listener"}
