"""What a fault leaves in the log: the whole way to it, and no value of a variable."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
import structlog

from connector.log import configure, trace


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def fails(secret: str) -> None:
    raise ValueError("no such thing" if secret else "")


def logged(monkeypatch: pytest.MonkeyPatch, to: io.StringIO) -> str:
    monkeypatch.setattr("sys.stderr", to)
    configure("INFO")
    try:
        fails("pass" + "word")
    except ValueError:
        structlog.get_logger("test").exception("fault", request="r1")
    return to.getvalue()


def test_service_logs_an_exception_with_its_traceback_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    [line] = logged(monkeypatch, io.StringIO()).splitlines()
    said = json.loads(line)
    assert (said["event"], said["level"], said["request"]) == ("fault", "error", "r1")
    assert said["exception"].startswith("Traceback (most recent call last):")
    assert ", in fails" in said["exception"]
    assert said["exception"].endswith("ValueError: no such thing")
    assert "password" not in line


def test_log_on_a_terminal_shows_the_traceback_without_values_of_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    text = logged(monkeypatch, Terminal())
    assert ", in fails" in text
    assert "ValueError: no such thing" in text
    assert "password" not in text


def test_trace_has_place_and_type_of_an_error_without_its_message() -> None:
    try:
        raise ValueError("pass" + "word")
    except ValueError as error:
        said = trace(error)
    assert ", in test_trace" in said
    assert said.endswith("ValueError")
    assert "password" not in said
