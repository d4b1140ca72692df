"""Loading mappings: every error is reported with its position, all errors at once."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connector.errors import MappingError
from connector.mapping import MappingSet, load_mappings
from connector.mapping.check import check
from connector.mapping.loader import read_folder, shipped_mappings
from connector.mapping.parser import read_entity
from connector.mapping.problems import Problems
from connector.mapping.tables import read_table
from connector.mapping.version import load_texts, load_version, read_texts
from connector.model.change import EntityKind
from tests.unit.mapping.cases import ENTRIES, EXPRESSION, FILES, MARKS, WORDS
from tests.unit.mapping.conftest import Folder, Org


def test_shipped_mappings_load(mappings: MappingSet) -> None:
    assert mappings.customer.sobject == "Account"
    assert mappings.product.sobject == "Product2"
    assert mappings.order.sobjects == ("Order", "OrderItem")


def test_mappings_inside_a_zipped_package_load(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "wheel.zip", "w") as archive:
        for file in Path(str(shipped_mappings())).rglob("*.yaml"):
            archive.write(file, f"connector/_data/mappings/{file.relative_to(str(shipped_mappings()))}")
    packaged = read_folder(zipfile.Path(tmp_path / "wheel.zip", "connector/_data/mappings/"))
    assert packaged.order.fields_of("Order") == load_mappings().order.fields_of("Order")
    assert (packaged.source("Account", "Name") or "").startswith("mappings/customer.yaml:")


@pytest.mark.parametrize(("entry", "expected"), [case[1:] for case in ENTRIES], ids=[case[0] for case in ENTRIES])
def test_invalid_entry_is_rejected_with_its_position(folder: Folder, entry: str, expected: str) -> None:
    problems = folder.add_field(entry).problems()
    assert [problem for problem in problems if problem.startswith(f"mappings/order.yaml:{expected}")], problems


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"), [case[1:] for case in FILES], ids=[case[0] for case in FILES]
)
def test_invalid_file_is_rejected_with_its_position(
    folder: Folder, file: str, old: str, new: str, expected: str
) -> None:
    problems = folder.edit(file, old, new).problems()
    start = f"mappings{expected}" if expected.startswith("/") else f"mappings/{file}:{expected}"
    assert [problem for problem in problems if problem.startswith(start)], problems


def test_all_errors_of_all_files_are_reported_at_once(folder: Folder) -> None:
    folder.edit("customer.yaml", "Phone: phone", "Phone: fone")
    folder.edit("product.yaml", "IsActive: active", "IsActive: {path: active, owner: nobody}")
    folder.edit("order.yaml", "transform: date", "transform: day")
    folder.edit("order.yaml", "Quantity: quantity", "Quantity: amount")
    folder.edit("order.yaml", "entity: order", "entity: orders")
    folder.write("values/spare.yaml", "a: [1]\n")
    (folder.path / "returns.yaml").write_text("entity: return\n")
    places = [problem.split(": ")[0] for problem in folder.problems()]
    assert places == [
        "mappings/customer.yaml:8:10",
        "mappings/order.yaml:2:9",
        "mappings/order.yaml:11:36",
        "mappings/order.yaml:37:17",
        "mappings/product.yaml:10:28",
        "mappings/returns.yaml:1:1",
        "mappings/values/spare.yaml:1:1",
        "mappings/values/spare.yaml:1:1",
    ]


def test_every_problem_has_position_description_and_fix(folder: Folder) -> None:
    for number, (_, entry, _) in enumerate(ENTRIES[:20]):
        folder.add_field(entry.replace("X__c", f"X{number}__c"))
    for problem in folder.problems():
        place, field, text = problem.split(": ", 2)
        assert place.count(":") == 2
        assert field
        assert text.rstrip()[-1] in ".`?)", text


@pytest.mark.parametrize("missing", ["customer.yaml", "product.yaml", "order.yaml"])
def test_missing_file_is_reported(folder: Folder, missing: str) -> None:
    (folder.path / missing).unlink()
    assert folder.problems() == (f"mappings/{missing}:1:1: file: is missing: write it, or copy the one we ship.",)


def test_file_of_a_problem_is_named_by_the_path_of_its_folder(
    folder: Folder, org: Org, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.path.parent / "here").mkdir()
    monkeypatch.chdir(folder.path.parent / "here")
    given = Path("../mappings")
    folder.edit("customer.yaml", "Phone: phone", "Phonne: phone")
    loaded = load_version(given).mappings
    [misfit] = check(loaded.with_returns(None), org.describes)
    assert misfit.startswith("../mappings/customer.yaml:8:3: Phonne: is not a field of Account")
    assert loaded.source("Account", "Phonne") == "mappings/customer.yaml:8"  # as it is stored, without the folder
    assert check(load_texts(read_texts(given)).mappings.with_returns(None), org.describes)[0].startswith("mappings/")
    folder.edit("customer.yaml", "Phonne: phone", "Phone: fone")
    for load in (load_mappings, load_version):
        with pytest.raises(MappingError, match=r"^\.\./mappings/customer\.yaml:8:10: Phone: "):
            load(given)


def test_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match=r"^CONNECTOR_MAPPINGS_DIR: there is no folder /.*/nowhere: correct it\.$"):
        load_mappings(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "1:1: file: is empty"),
        (b"# nothing\n", "1:1: file: is empty"),
        (b"- a\n", "1:1: file: is empty or no mapping"),
        (b"entity: order\nname: M\xfcller\n", "2:8: file: is not UTF-8"),
        (b"a: \x00\n", "1:4: file: is not YAML"),
        (b"[\n" * 5000, "1:1: file: is not YAML"),  # in one line, ruamel.yaml would look ahead for seconds
        (b"x" * 1_000_001, "1:1: file: cannot be read: it is larger"),
        (b"a: 1\n--- \nb: 1\n", "2:1: file: is not YAML"),
    ],
)
def test_file_that_is_no_mapping_is_rejected(folder: Folder, content: bytes, expected: str) -> None:
    (folder.path / "order.yaml").write_bytes(content)
    assert [problem for problem in folder.problems() if problem.startswith(f"mappings/order.yaml:{expected}")]


def test_file_with_a_byte_order_mark_loads(folder: Folder) -> None:
    path = folder.path / "order.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert folder.load().order.sobject == "Order"


def test_problem_names_the_folder_of_the_files(folder: Folder) -> None:
    moved = folder.path.rename(folder.path.with_name("ours"))
    problems = Folder(moved).edit("order.yaml", "Carrier__c: carrier", "Carrier__c: carier").problems()
    assert problems[0].startswith("ours/order.yaml:27:15: Carrier__c: ")


# Pieces of the format and of YAML, so that random text gets past the first check.
_yaml_like = st.lists(st.sampled_from([*WORDS, *MARKS]) | st.text(max_size=3), max_size=60).map("".join)
_scalars = st.none() | st.booleans() | st.integers() | st.sampled_from(WORDS) | st.text(max_size=8)
_trees = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | _scalars, inner, max_size=6),
    max_leaves=25,
).map(repr)
_HEAD = "entity: order\nsobject: Order\nexternal_id: External_Key__c\nfields:\n  External_Key__c: number\n  X__c: "


def _never_fails(content: bytes) -> None:
    problems = Problems()
    table = read_table("t", "mappings/values/t.yaml", content, problems)
    spec = read_entity(EntityKind.ORDER, "mappings/order.yaml", content, {"order_status": table}, problems)
    assert spec is not None or problems
    assert all(line.count(":") >= 3 and line.isprintable() for line in problems.lines())


@settings(max_examples=300)
@given(st.binary(max_size=200) | _yaml_like.map(str.encode) | _trees.map(str.encode))
@example(b"&a [*a]")
@example(b"fields: &a {X__c: *a}")
@example(b"? {a: b}\n: c\nfields: {? [x] : y}\nexternal_id: X")
def test_any_text_loads_or_is_rejected(content: bytes) -> None:
    _never_fails(content)


@settings(max_examples=300)
@given(_trees | _yaml_like)
@example("{expr: '(' }")
@example("{path: number, values: {}, transform: [[a]]}")
def test_any_entry_loads_or_is_rejected(entry: str) -> None:
    _never_fails((_HEAD + entry).encode("utf-8", "replace"))


@settings(max_examples=300)
@given(
    st.text(max_size=30)
    | st.lists(st.sampled_from(EXPRESSION), max_size=12).map(" ".join)
)  # fmt: skip
@example("-" * 400 + "1")
@example("(" * 300)
@example("stage == '\\d'")
@example("1 is 1")
def test_any_expression_loads_or_is_rejected(text: str) -> None:
    quoted = text.replace("'", "''").replace("\n", " ")
    _never_fails(f"{_HEAD}{{expr: '{quoted}'}}".encode("utf-8", "replace"))
