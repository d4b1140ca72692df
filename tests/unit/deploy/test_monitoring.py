"""The alert rules and the dashboard: valid, and readable by somebody who is woken by them."""

from __future__ import annotations

import json
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.unit.deploy.files import DEPLOY, VALIDATORS, read_yaml, require_program

RULES = DEPLOY / "prometheus" / "connector.rules.yml"
DASHBOARD = DEPLOY / "grafana" / "connector.json"


def rules() -> list[dict[str, Any]]:
    [document] = read_yaml(RULES)
    [group] = document["groups"]
    return list(group["rules"])


def panels() -> list[dict[str, Any]]:
    return list(json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"])


def expressions() -> list[str]:
    found = [rule["expr"] for rule in rules()]
    return found + [target["expr"] for panel in panels() for target in panel.get("targets", ())]


def test_rules_have_names_of_their_own_a_severity_and_say_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) > 10
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["description"].endswith(".")


def test_scrape_job_of_the_example_reads_these_rules() -> None:
    [document] = read_yaml(DEPLOY / "prometheus" / "prometheus.example.yml")
    assert document["rule_files"] == [RULES.name]
    [job] = document["scrape_configs"]
    assert job["job_name"] == "connector"  # as the rule ConnectorDown has it
    assert 'up{job="connector"}' in next(rule["expr"] for rule in rules() if rule["alert"] == "ConnectorDown")


def test_panels_say_what_they_show_and_do_not_overlap() -> None:
    shown = [panel for panel in panels() if panel["type"] != "row"]
    assert len(shown) > 15
    assert len({panel["id"] for panel in panels()}) == len(panels())
    for panel in shown:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert all(target["expr"] for target in panel["targets"])
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
    for one, other in combinations(panels(), 2):
        a, b = one["gridPos"], other["gridPos"]
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert beside or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"], (one["title"], other["title"])


def test_expressions_are_promql() -> None:
    parser = pytest.importorskip("promql_parser", reason=f"promql-parser is not installed; {VALIDATORS}")
    found = expressions()
    assert len(found) > 40
    for text in found:
        parser.parse(text.replace("$__rate_interval", "5m"))
    with pytest.raises(ValueError, match="parenthesis"):
        parser.parse("sum by (")


def test_promtool_accepts_the_rules_and_they_fire_when_they_should(tmp_path: Path) -> None:
    promtool = require_program("promtool")
    for path in (RULES, RULES.with_name("prometheus.example.yml"), Path(__file__).with_name("rules_test.yml")):
        shutil.copy(path, tmp_path)
    checks = (
        ("check", "rules", RULES.name), ("check", "config", "--syntax-only", "prometheus.example.yml"),
        ("test", "rules", "rules_test.yml"),
    )  # fmt: skip
    for words in checks:
        done = subprocess.run([promtool, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
