"""The limits of custom templates: sizes by numbers, size of the output, and the files that they may include."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from connector.errors import SettingsError
from connector.notifications.renderer import TemplateRenderer
from connector.notifications.template_check import sample_views


@pytest.mark.parametrize(
    "text",
    [
        '{{ "x" * 10000000000 }}',
        "{{ [1] * 10000000000 }}",
        "{{ 9 ** 999999999 }}",
        '{{ "%999999999d" % 1 }}',
        '{{ "x".ljust(999999999) }}',
        '{{ "x".center(999999999) }}',
        '{{ "{:999999999}".format(1) }}',
        '{{ "{0}".format(1) }}',
        '{{ "{k}".format_map({"k": 1}) }}',
        '{{ "x"|center(999999999) }}',
        '{{ "%999999999d"|format(1) }}',
        '{{ "x"|indent(999999999) }}',
        '{{ [1]|batch(1000, "x")|list|length }}',
        '{{ [[1]]|map("batch", 1000, "x")|list|length }}',
        "{{ [1]|slice(1000)|list|length }}",
        '{{ (1).to_bytes(1000, "big")|length }}',
        '{{ true|attr("to_bytes") }}',
        "{{ it.amount.scaleb(1000)|int }}",
        '{{ {"a": 1}|tojson(indent=1000)|length }}',
        '{{ {"a": 1}|tojson(1000)|length }}',
        '{{ [{"a": 1}]|map("tojson", indent=1000)|list|length }}',
        "{{ 1|round(-1000) }}",
        '{{ 1|round(300, "floor") }}',
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{{ lipsum(n=100000) }}",
        "{{ it.__class__.__mro__ }}",
        '{% include "../secret" %}',
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        '{% include "confirmation.txt.j2" %}',
    ],
)
def test_template_with_excessive_output_is_rejected_at_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "confirmation.txt.j2").write_text(text)
    with pytest.raises(SettingsError) as refused:
        TemplateRenderer(tmp_path)
    assert len(str(refused.value).splitlines()) == 1


def test_text_and_numbers_work_as_usual(tmp_path: Path) -> None:
    (tmp_path / "confirmation.txt.j2").write_text(
        '{{ 2 * 3 }} {{ "a".upper() }} {{ "b"|upper }} {{ it.order }} {{ {"a": 1.25|round(1)}|tojson }}'
    )
    assert TemplateRenderer(tmp_path).render(next(sample_views())).text == '6 A B O-1 {"a": 1.2}\n'


def test_template_includes_files_of_folders_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "parts" / "legal").mkdir(parents=True)
    (tmp_path / "parts" / "legal" / "footer.txt").write_text("Company of {{ it.order }}")
    (tmp_path / "confirmation.txt.j2").write_text('{% include "parts/legal/footer.txt" %}')
    assert TemplateRenderer(tmp_path).render(next(sample_views())).text == "Company of O-1\n"


@pytest.mark.parametrize(
    "name", ["../secret", "parts/../../secret", "parts/.hidden", "..\\\\secret", "parts/absent", "parts", ""]
)
def test_template_cannot_include_files_that_are_outside_hidden_or_missing(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "templates"
    (folder / "parts").mkdir(parents=True)
    for file in (tmp_path / "secret", folder / "parts" / ".hidden"):
        file.write_text("secret")
    (folder / "confirmation.txt.j2").write_text('{% include "' + name + '" %}')
    with pytest.raises(SettingsError, match="confirmation"):
        TemplateRenderer(folder)


@pytest.mark.parametrize("kind", ["pipe", "large", "latin", "folder"])
def test_template_that_is_no_text_file_is_rejected_at_start(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "confirmation.txt.j2"
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    else:
        file.write_bytes(b"\xff" if kind == "latin" else b"x" * 300_000)
    with pytest.raises(SettingsError, match="confirmation"):
        TemplateRenderer(tmp_path)
