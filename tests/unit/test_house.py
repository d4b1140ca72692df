"""The structure of the source: who may import whom, how long a file may be, and what documents and packages contain."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 400
MOST_PARAMETERS = 6
SOURCES = [
    ROOT / "scheduler.py",
    *(
        path
        for folder in ("connector", "tests")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not path.name.endswith("_pb2.py")  # generated
    ),
]


def test_import_contracts_are_kept() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [lint, "--config", ROOT / ".importlinter", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_package_is_in_the_import_contracts() -> None:
    named = set(re.findall(r"connector\.(\w+)", (ROOT / ".importlinter").read_text(encoding="utf-8")))
    rooms = {path.name for path in (ROOT / "connector").iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    assert rooms <= named | {"metadata"}


def test_module_that_is_called_pure_is_in_the_purity_contract() -> None:
    covered = modules_of("pure", "source_modules")
    claimed = set()
    for path in SOURCES:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        text = path.read_text(encoding="utf-8")
        if name.startswith("connector.") and "PURE" in text:
            docstring = ast.get_docstring(ast.parse(text)) or ""
            if re.search(r"\bPURE\b", docstring):
                claimed.add(name)
    assert len(claimed) > 20
    assert {name for name in claimed if not any(f"{name}.".startswith(f"{one}.") for one in covered)} == set()


@pytest.mark.parametrize(
    ("contract", "excepted"),
    [
        ("sql", {"store"}),
        ("org-clients", {"salesforce", "localorg"}),
        ("aiohttp", {"web", "localorg", "localmail"}),
    ],
)
def test_contract_on_a_library_names_every_package_except_its_users(contract: str, excepted: set[str]) -> None:
    rooms = {path.stem for path in (ROOT / "connector").glob("*.py")} - {"__init__"}
    rooms |= {path.parent.name for path in (ROOT / "connector").glob("*/__init__.py")}
    assert modules_of(contract, "source_modules") == {f"connector.{room}" for room in rooms - excepted}


def modules_of(contract: str, option: str) -> set[str]:
    """The modules that an option of a contract of `.importlinter` lists."""
    config = ConfigParser()
    config.read(ROOT / ".importlinter", encoding="utf-8")
    return set(config[f"importlinter:contract:{contract}"][option].split())


def test_source_file_has_at_most_400_lines() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert len(lengths) > 100
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_constructor_has_at_most_six_parameters() -> None:
    """Of a dataclass its fields count if it has an async method: then it works with others and is no plain data."""
    counts = {}
    for path in SOURCES:
        if path.is_relative_to(ROOT / "connector"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
            for name, node in classes.items():
                counts[f"{path.relative_to(ROOT)}: {name}"] = parameters_of(node, classes)
    assert len(counts) > 500
    assert {name: count for name, count in counts.items() if count > MOST_PARAMETERS} == {}


def parameters_of(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> int:
    """How many parameters the constructor of a class takes that it writes itself, or its decorator for it."""
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            return len(method.args.posonlyargs + method.args.args + method.args.kwonlyargs) - 1
    works = any(isinstance(item, ast.AsyncFunctionDef) for item in node.body)
    return len(fields_of(node, classes)) if works else 0


def fields_of(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> set[str]:
    """The fields of a dataclass that its constructor takes, with those of its bases in the same module."""
    if not any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return set()
    bases = [classes[ast.unparse(base)] for base in node.bases if ast.unparse(base) in classes]
    inherited = set[str]().union(*(fields_of(base, classes) for base in bases))
    return inherited | {
        ast.unparse(item.target)
        for item in node.body
        if isinstance(item, ast.AnnAssign)
        and not ast.unparse(item.annotation).startswith("ClassVar")
        and "init=False" not in ast.unparse(item)
    }


def test_every_module_has_a_docstring() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in SOURCES if path.is_relative_to(ROOT / "connector")}
    assert [str(path) for path, text in texts.items() if text.strip() and not text.startswith('"""')] == []


def test_decision_records_are_numbered_and_linked_by_their_number() -> None:
    records = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    assert [name[:4] for name in records] == [f"{number:04}" for number in range(1, len(records) + 1)]
    for name in records:
        assert (ROOT / "docs" / "decisions" / name).read_text(encoding="utf-8").startswith(f"# {name[:4]}: ")
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for said, file in re.findall(
            r"\[([^\]]+)\]\((?:[^)]*/)?(\d{4}-[^)/]+\.md)\)", path.read_text(encoding="utf-8")
        ):
            assert file in records, (path.name, file)
            numbers = re.findall(r"\d+", said)
            assert not numbers or int(numbers[-1]) == int(file[:4]), (path.name, said, file)


def test_wheel_contains_mappings_metadata_and_demo_data(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    [wheel] = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "scheduler.py",
        "connector/_data/mappings/order.yaml",
        "connector/_data/mappings/values/order_status.yaml",
        "connector/_data/demo/customers.csv",
        "connector/_data/demo/products.csv",
        "connector/localorg/standard/Order.fields",
        "connector/store/migrations/env.py",
        "connector/orders/policy/rules.yaml",
        "connector/orders/documents/templates/invoice.html.j2",
        "connector/notifications/templates/confirmation.txt.j2",
        "connector/orders/documents/fonts/LICENSE",
        "connector/metadata_returns/sfdx-project.json",
    } <= names
    assert any(name.startswith("connector/metadata/") and name.endswith(".field-meta.xml") for name in names)
    assert not [name for name in names if name.startswith("tests/") or name.endswith((".pyc", ".csv.bak"))]


def test_migrations_are_one_chain() -> None:
    """Two branches may add one of the same number, each of which is right by itself."""
    files = sorted((ROOT / "connector/store/migrations/versions").glob("v[0-9]*.py"))
    names = [
        re.search(r'^revision = "(\d+)"\ndown_revision = (?:"(\d+)"|None)$', file.read_text(), re.M) for file in files
    ]
    chain = [(file.name[1:5], *(name.groups() if name else ())) for file, name in zip(files, names, strict=True)]
    assert chain == [(f"{n:04}", f"{n:04}", f"{n - 1:04}" if n > 1 else None) for n in range(1, len(files) + 1)]
