"""docs/mapping.md is correct: its examples give the documented values, and its tables are complete."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from connector.jobs.mappings.rejections import unknown_plan_error
from connector.mapping.functions import FUNCTIONS
from connector.mapping.paths import PathError, attributes, resolve
from connector.mapping.transforms import TRANSFORMS
from connector.model.customer import Customer
from connector.model.mapping_plan import PLAN_LIFETIME, PLAN_LIFETIME_TEXT
from connector.model.order import Line, Order
from connector.model.product import Product
from tests.reference import commands
from tests.unit.mapping.conftest import ORDER, Folder

TEXT = (Path(__file__).parents[3] / "docs" / "mapping.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
FILES = {label.removeprefix("file="): body for kind, label, body in BLOCKS if label.startswith("file=")}
FIELDS = [
    (body.strip(), following[2] if following[0] == "json" else None)
    for (_, label, body), following in zip(BLOCKS, [*BLOCKS[1:], ("", "", "")], strict=True)
    if label == "field"
]


def test_lifetime_of_a_plan_is_said_alike_everywhere() -> None:
    assert (timedelta(days=1), "a day") == (PLAN_LIFETIME, PLAN_LIFETIME_TEXT)
    pages = (TEXT, commands.load().commands["mappings"].commands["plan"].help, str(unknown_plan_error("p")))
    assert [page for page in pages if f"for {PLAN_LIFETIME_TEXT}" not in page] == []


def rows(heading: str) -> dict[str, str]:
    """First and last column of the table under a heading; the first without its code marks and arguments."""
    section = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(r"^\| (?:`(\w+)(?:\(.*?\))?`|(\w+)) \|.*?([^|]+) \|$", section, flags=re.MULTILINE)
    return {
        code or word: last.strip() for code, word, last in found if word not in {"name", "function", "entity", "owner"}
    }


def test_mapping_guide_has_examples() -> None:
    assert set(FILES) == {"product.yaml", "values/order_status.yaml"}
    assert len(FIELDS) == 10
    assert sum(value is not None for _, value in FIELDS) == 8


@pytest.mark.parametrize("name", FILES)
def test_example_file_of_the_guide_loads(folder: Folder, name: str) -> None:
    assert folder.write(name, FILES[name]).load().product.sobject == "Product2"


@pytest.mark.parametrize(("entry", "expected"), FIELDS, ids=[entry.split(":")[0] for entry, _ in FIELDS])
def test_example_field_of_the_guide_gives_its_documented_value(
    folder: Folder, entry: str, expected: str | None
) -> None:
    folder.write("values/order_status.yaml", FILES["values/order_status.yaml"])
    record = folder.add_field(entry).load().order.map(ORDER)
    assert record is not None
    name = entry.split(":")[0]
    if name.endswith("__r"):
        assert name.replace("__r", "__c") in record.lookups
    elif expected is None:
        assert name in record.fields
    else:
        assert record.fields[name] == json.loads(expected)


def test_example_problem_of_the_guide_equals_the_real_message(folder: Folder) -> None:
    (shown,) = (body.strip() for kind, _, body in BLOCKS if kind == "text")
    assert [f"connector: {problem}" for problem in folder.add_field("Terms__c: nubmer").problems()] == [shown]


def test_every_transform_is_documented() -> None:
    described = rows("Transforms")
    assert described == {
        name: transform.about + ("; and back" if transform.backward is not None else "")
        for name, transform in TRANSFORMS.items()
    }


def test_every_function_is_documented() -> None:
    assert rows("Expressions") == {name: function.about for name, function in FUNCTIONS.items()}


@pytest.mark.parametrize(
    ("entity", "model", "further"),
    [
        ("customer", Customer, set()),
        ("product", Product, set()),
        ("order", Order, {"customer.…"}),
        ("line", Line, {"product.…"}),
    ],
)
def test_every_path_is_documented(entity: str, model: type, further: set[str]) -> None:
    def ends(name: str) -> bool:
        try:
            return bool(resolve(model, name))
        except PathError:
            return False

    listed = set(re.findall(r"`([^`]+)`", rows("Paths")[entity]))
    assert listed == {name for name in attributes(model) if ends(name)} | further
