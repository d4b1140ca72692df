"""Every key of a profile does something where it stands, or is refused there."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.errors import ProfileError
from connector.orders.importing import load_profile
from connector.orders.importing.grammar import FORMS
from connector.orders.importing.profile import Value
from tests.unit.importing.conftest import Importer

KEYS: dict[str, Any] = {
    "column": "A", "const": "x", "values": {"a": "b"}, "default": "d", "join": "f", "on": "A", "key": "K", "sum": True,
    "when": "W", "count": True,
}  # fmt: skip
FORM = st.dictionaries(st.sampled_from(sorted(KEYS)), st.none()).map(lambda form: {name: KEYS[name] for name in form})
FIRST = st.builds(
    lambda forms, more: {"first": forms, **more}, st.lists(FORM, min_size=1, max_size=3), FORM | st.just({})
)
FIELDS = ("channel", "freight", "stated_total", "notes")


def load(profile: object) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.yaml"
        path.write_bytes(orjson.dumps(profile))  # JSON is YAML
        return load_profile(path)


def profile_with(field: str, form: object) -> dict[str, Any]:
    return {
        "files": {"f": "f.csv"},
        "orders": {"file": "f", "number": "N", field: form},
        "lines": {"file": "f", "order": "N", "line": {"count": True}},
    }


def kept(form: dict[str, Any], value: Value) -> None:
    """Each key of the form stands in what was made of it."""
    for name, given_ in form.items():
        found = getattr(value, name)
        if name == "first":
            assert len(found) == len(given_)
            for case, of_case in zip(given_, found, strict=True):
                kept(case, of_case)
        else:
            assert found == given_


@given(st.sampled_from(FIELDS), FORM | FIRST)
@settings(max_examples=500)
def test_key_of_a_random_form_is_loaded_or_the_profile_is_rejected_with_a_place(
    field: str, form: dict[str, Any]
) -> None:
    if field in {"freight", "stated_total"}:
        form = {
            **form,
            **({"const": "1"} if "const" in form else {}),
            **({"default": "1"} if "default" in form else {}),
        }
    try:
        profile = load(profile_with(field, form))
    except ProfileError as refused:
        assert all("/p.yaml:1:" in problem for problem in refused.problems)  # noqa: PT017
        return
    kept(form, profile.sections["orders"].fields[field])


@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize("key", sorted(KEYS))
def test_form_with_a_key_of_another_form_is_rejected(form: str, key: str) -> None:
    base: dict[str, Any] = {
        "column": {"column": "A"}, "const": {"const": "1"}, "count": {"count": True}, "first": {"first": ["A"]},
        "join": {"join": "f", "on": "A", "key": "K", "column": "C"},
    }[form]  # fmt: skip
    allowed = key in FORMS[form]
    written = {**base, key: base.get(key, "1" if key == "default" else KEYS[key])}
    if key == "values":
        written[key] = {"a": "1"}
    if form == "count":
        profile = profile_with("channel", "A") | {"lines": {"file": "f", "order": "N", "line": written}}
    else:
        profile = profile_with("freight", written)
    if allowed or (form, key) in {("column", "join"), ("const", "join")}:
        if key == "join" and form != "join":
            with pytest.raises(ProfileError, match="a join needs"):
                load(profile)
        else:
            load(profile)
        return
    with pytest.raises(ProfileError, match=r"is not allowed in a form with `\w+`, which can have"):
        load(profile)


FLAT = """\
files: {{f: f.csv}}
customers: {{file: f, number: C}}
products: {{file: f, sku: S, name: S}}
orders: {{file: f, number: N, customer: C, placed_at: D, currency: {{const: USD}}, {field}}}
lines: {{file: f, order: N, line: {{count: true}}, sku: S, quantity: Q}}
"""


@pytest.mark.parametrize(
    ("table", "cell", "channel"),
    [
        ("{true: web, false: phone}", "true", "web"),
        ("{true: web, false: phone}", "TRUE", "web"),
        ("{true: web, false: phone}", "False", "phone"),
        ('{"true": web}', "TRUE", "TRUE"),
        ("{true: web, TRUE: shop}", "TRUE", "shop"),
        ("{1: web}", "1", "web"),
        ("{1.10: web}", "1.10", "web"),
        ("{1.10: web}", "1.1", "1.1"),
        ("{0123: web}", "0123", "web"),
        ("{2026-01-31: web}", "2026-01-31", "web"),
        ("{yes: web, off: phone}", "off", "phone"),
        ("{' x ': web}", "x", "web"),
        ("{a: true}", "a", "true"),
        ("{a: 007}", "a", "007"),
    ],
)
async def test_key_of_values_matches_a_cell_with_the_same_text(
    importer: Importer, table: str, cell: str, channel: str
) -> None:
    profile = FLAT.format(field=f"channel: {{column: V, values: {table}}}")
    report = await importer.take({"f.csv": f"N,C,D,S,Q,V\n1,X,2026-01-05,A,1,{cell}\n"}, profile=profile)
    assert report.problems == []
    order = await importer.order("1")
    assert order is not None
    assert order.header.channel == channel


@pytest.mark.parametrize("key", ["null", "~", "''", "' '"])
def test_empty_key_of_values_is_rejected(tmp_path: Path, key: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(FLAT.format(field=f"channel: {{column: V, values: {{{key}: web}}}}"))
    with pytest.raises(
        ProfileError, match=r"p\.yaml:4:\d+: orders\.channel\.values: an empty cell cannot be translated"
    ):
        load_profile(path)


@pytest.mark.parametrize(
    ("form", "cells", "notes"),
    [
        ("{first: [A, B], default: none}", ",", "none"),
        ("{first: [A, B], default: none}", ",b", "b"),
        ("{first: [A, B]}", "a,b", "a"),
        ("{first: [{when: A, column: B, default: d}, {const: z}]}", "a,", "d"),
        ("{first: [{when: A, column: B}, {const: z}], default: e}", "a,", "e"),
        ("{first: [{when: A, const: y}, {const: z}]}", ",", "z"),
        ("{first: [{join: f, on: A, key: N, column: S}, B]}", "1,", "SKU"),
        ("{first: [{join: f, on: A, key: N, column: S}, B]}", "7,b", "b"),
        ("{join: f, on: A, key: N, column: S, values: {SKU: known}, default: unknown}", "1,", "known"),
        ("{join: f, on: A, key: N, column: S, values: {SKU: known}, default: unknown}", "7,", "unknown"),
        ("{join: f, on: A, key: N, column: S, values: {SKU: known}, default: unknown}", ",", "unknown"),
        ("{column: A, values: {x: y}, default: x}", ",", "y"),
    ],
)
async def test_form_returns_the_documented_value(importer: Importer, form: str, cells: str, notes: str) -> None:
    profile = FLAT.format(field=f"notes: {form}")
    report = await importer.take({"f.csv": f"N,C,D,S,Q,A,B\n1,X,2026-01-05,SKU,1,{cells}\n"}, profile=profile)
    assert report.problems == []
    order = await importer.order("1")
    assert order is not None
    assert order.header.notes == notes
