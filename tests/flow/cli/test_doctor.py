"""`connector doctor` on the screen: with nothing set up, with a wrong setting, and with an org."""

from __future__ import annotations

from pathlib import Path

from tests.flow.cli_runner import Shell


def test_doctor_says_what_to_do_before_anything_is_set_up(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    answer = shell("doctor", COLUMNS="80")
    assert (answer.status, answer.err) == (1, "")
    assert max(map(len, answer.out.splitlines())) <= 80
    assert "-> Run `connector db upgrade`." in answer.out
    assert "WARN     login           No org is configured, so nothing is sent." in answer.out
    assert "connector.db" not in {file.name for file in tmp_path.iterdir()}

    wrong = shell("doctor", CONNECTOR_SYNC__PARTITIONS="0")
    assert (wrong.status, "CONNECTOR_SYNC__PARTITIONS must be at least 1." in wrong.out) == (1, True)


def test_doctor_with_an_org(shell: Shell, empty_database: None) -> None:
    answer = shell("doctor", "--json")
    report = answer.document
    failed = [check for check in report["checks"] if check["status"] == "fail"]
    assert (answer.status, failed, report["healthy"], report["api_calls"]) == (0, [], True, 4)
