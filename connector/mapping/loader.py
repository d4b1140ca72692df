"""A folder of mapping files, read whole: either every file is good, or one MappingError lists all that is wrong in all.

The one place of this package that touches files.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import connector
from connector.errors import MappingError
from connector.files import UnusableFileError, read_file
from connector.mapping.mapper import EntityMapping, MappingSet
from connector.mapping.parser import read_entity
from connector.mapping.problems import FOLDER, Position, Problems
from connector.mapping.spec import EntitySpec, ValueTable
from connector.mapping.tables import read_table
from connector.mapping.yaml_nodes import MAX_BYTES
from connector.model.change import EntityKind
from connector.suggestions import suggestion

SUFFIX = ".yaml"
VALUES = "values"
RETURN_ORDER = "return_order"
"""The optional second mapping of returns, for orgs with Return Orders."""
PERSON = "person"
"""The optional second mapping of customers, for persons in orgs with person accounts."""


def list_file_names() -> list[str]:
    """The names of mapping files, without the suffix."""
    return [kind.value for kind in EntityKind] + [PERSON, RETURN_ORDER]


def load_mappings(directory: Path | None = None) -> MappingSet:
    """The mappings in `directory`, or the shipped ones. Raises MappingError with every problem of every file."""
    return read_folder(shipped_mappings() if directory is None else directory, name_of(directory))


def name_of(directory: Path | None) -> str:
    """The name of a folder of mapping files for a person: its path as given; `mappings` for the shipped ones."""
    return FOLDER if directory is None else str(directory)


def shipped_mappings() -> Traversable:
    """The shipped mappings: inside the installed package, or beside it in a checkout (an editable install)."""
    packaged = files(connector).joinpath("_data", "mappings")
    if packaged.is_dir():
        return packaged
    return Path(str(files(connector))).parent / "mappings"


def read_folder(folder: Traversable, name: str = FOLDER) -> MappingSet:
    """Like `load_mappings`, for any Traversable (a directory, a folder in an archive), which messages call `name`."""
    problems = Problems(name)
    mappings = parse_folder(folder, problems)
    if mappings is None:
        raise MappingError(problems.lines())
    mappings.folder = name
    return mappings


def parse_folder(folder: Traversable, problems: Problems) -> MappingSet | None:
    """The mappings in a folder; None if they cannot be used, for reasons that are added to `problems`."""
    if not folder.is_dir():
        raise MappingError([f"CONNECTOR_MAPPINGS_DIR: there is no folder {folder}: correct it."])  # no line to name
    tables: dict[str, ValueTable | None] = {}
    values = folder.joinpath(VALUES)
    for file in _yaml_files(values) if values.is_dir() else []:
        table = file.name.removesuffix(SUFFIX)
        content = _read_content(file, f"{FOLDER}/{VALUES}/{file.name}", problems)
        tables[table] = None
        if content is not None:
            tables[table] = read_table(table, f"{FOLDER}/{VALUES}/{file.name}", content, problems)

    specs: dict[str, EntitySpec] = {}
    files_by_name = {file.name: file for file in _yaml_files(folder)}
    optional_files = {f"{PERSON}{SUFFIX}": EntityKind.CUSTOMER, f"{RETURN_ORDER}{SUFFIX}": EntityKind.RETURN}
    expected = {f"{kind}{SUFFIX}": kind for kind in EntityKind} | optional_files
    optional = {*optional_files, f"{EntityKind.RETURN}{SUFFIX}"}
    for file_name, kind in expected.items():
        path = f"{FOLDER}/{file_name}"
        if file_name not in files_by_name and file_name in optional:
            continue  # then returns show on their orders only, and persons are accounts with a name
        if file_name not in files_by_name:
            problems.add(Position(file=path), "file", "is missing: write it, or copy the one we ship.")
            continue
        content = _read_content(files_by_name[file_name], path, problems)
        spec = None if content is None else read_entity(kind, path, content, tables, problems)
        if spec is not None:
            specs[file_name.removesuffix(SUFFIX)] = spec
    for file_name in files_by_name.keys() - expected.keys():
        hint = suggestion(file_name, expected)
        problems.add(Position(file=f"{FOLDER}/{file_name}"), "file", f"is named after no entity.{hint}")

    if PERSON in specs and EntityKind.CUSTOMER in specs:
        _check_same_record(specs[PERSON], specs[EntityKind.CUSTOMER], problems)
    if problems:
        return None
    mapped = {name: EntityMapping[Any](spec) for name, spec in specs.items()}
    reduction = mapped.pop(EntityKind.RETURN, None)
    return MappingSet(**mapped, reduction=reduction)


def _check_same_record(person: EntitySpec, customer: EntitySpec, problems: Problems) -> None:
    """Both mappings of customers must write the same object by the same key."""
    for key in ("sobject", "external_id"):
        wanted, position = getattr(customer.record, key), getattr(person.record, f"{key}_position")
        if getattr(person.record, key) != wanted:
            problems.add(position, key, f"is not `{wanted}`, as in {EntityKind.CUSTOMER}{SUFFIX}: write the same.")


def _yaml_files(folder: Traversable) -> list[Traversable]:
    wanted = [
        file for file in folder.iterdir() if file.name.endswith((SUFFIX, ".yml")) and not file.name.startswith(".")
    ]
    return sorted(wanted, key=lambda file: file.name)


def _read_content(file: Traversable, path: str, problems: Problems) -> bytes | None:
    try:
        return read_file(file, MAX_BYTES) if isinstance(file, Path) else file.read_bytes()
    except UnusableFileError as error:
        problems.add(Position(file=path), "file", f"{error.problem}: correct it, or take it away.")
    except OSError as error:
        problems.add(Position(file=path), "file", f"cannot be read ({error.strerror}): correct its permissions.")
    return None
