"""What commands print: tables and sentences fit a terminal, and stay whole for programs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connector.api.audit import AuditView
from connector.api.journey import JourneyField
from connector.cli import audit, conflicts, held, journey, output, runs, serve
from connector.settings import Settings

ROWS = [
    ("host", "19772", "the roles of this process, which are many", "/event/Order_Action__e, /data/Connector__chn"),
    ("other", "7", "", ""),
]
HEADINGS = ("Host", "PID", "Roles", "Listens to")


def test_table_is_wrapped_on_a_narrow_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output.table(HEADINGS, ROWS)
    whole = capsys.readouterr().out
    assert len(whole.splitlines()) == 3
    monkeypatch.setattr(output, "terminal_width", lambda: 60)
    output.table(HEADINGS, ROWS)
    wrapped = capsys.readouterr().out
    assert max(map(len, wrapped.splitlines())) <= 60
    assert sorted(wrapped.split()) == sorted(whole.split())  # no word is cut, none is lost
    output.paragraph("A sentence that names `connector dead-letters list` and is longer than the terminal is wide.")
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_value_of_several_lines_breaks_no_list(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("Field", "Value"), [("notes", "the gate is locked\nRing at the back door")])
    assert capsys.readouterr().out.splitlines()[1] == "notes  the gate is locked ⏎ Ring at the back door"
    assert (conflicts._text("a\nb"), held._text("a\nb"), runs._text("a\nb")) == ("a ⏎ b",) * 3
    field = JourneyField(
        sobject="Order",
        record="",
        field="Description",
        personal=False,
        hidden=False,
        value="a\nb",
        effect="taken",
        local="c\nd",
    )
    assert journey._field_text(field) == "Order  Description: taken: c ⏎ d here, nothing in the org, nothing before"


def test_details_of_an_action_are_written_in_words() -> None:
    detail = {"mode": "push", "filter": {"keys": ["SO-1001", "SO-77"]}, "dry_run": True, "note": None}
    action = AuditView(
        id=1, at=datetime(2026, 1, 31, tzinfo=UTC), actor="kim", action="asked", entity="resync", key="1",
        detail=detail, request=None, org_id=None,
    )  # fmt: skip
    assert audit._text(action) == "mode: push; filter: keys SO-1001, SO-77; dry run: yes"


def test_terminal_has_a_width_and_a_file_has_none() -> None:
    assert output.terminal_width() is None


@pytest.mark.parametrize(
    ("chosen", "said"),
    [(["api"], "Listening at http://here; Ctrl-C stops.\n"), (["worker"], "Running worker; Ctrl-C stops.\n")],
)
async def test_service_says_once_what_it_runs(
    chosen: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    @asynccontextmanager
    async def running(_: Settings, roles: list[str], announce: Callable[[str], None]) -> AsyncIterator[dict[str, None]]:
        if "api" in roles:
            announce("http://here")
        yield {role: None for role in roles if role != "api"}  # the API is not among those that begin anew

    async def stop_at_once() -> None: ...

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("connector.process_roles.running_roles", running)
    monkeypatch.setattr("connector.log.configure", lambda *_, **__: None)
    monkeypatch.setattr(serve, "until_stopped", stop_at_once)
    await serve._serve(chosen)
    assert capsys.readouterr().out == said
