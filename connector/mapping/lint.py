"""Lints mapping files: their syntax, and whether an org accepts what they say. Takes texts, so a draft can be linted.

What the org refuses is an error. What it accepts, and what is probably not meant, is a warning.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from connector.errors import MappingError
from connector.mapping.backward import inverse_rows
from connector.mapping.check import find_problems
from connector.mapping.loader import SUFFIX, VALUES, parse_folder
from connector.mapping.mapper import EntityMapping, MappingSet
from connector.mapping.problems import FOLDER, Level, Position, Problem, Problems
from connector.mapping.spec import FieldSpec, Owner, RecordSpec
from connector.mapping.text_folder import TextFolder, Texts, check_texts
from connector.model.describe import FieldDescribe, SObjectDescribe
from connector.suggestions import listed

_PICKLISTS = frozenset({"picklist", "multipicklist", "combobox"})
_MOST_LISTED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class LintOrg:
    """The org as far as lint needs it. `persons`: whether new accounts can be person accounts. `returns`: the file of
    returns that is used, if any: `return` or `return_order`. `returns_expected`: there are returns, or the settings
    want them, so what the org refuses of them is an error."""

    describes: Mapping[str, SObjectDescribe]
    person_types: Collection[str] = ()
    persons: bool = False
    returns: str | None = None
    returns_expected: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class LintProblem:
    """`text` says what is wrong with `field`, and what to do; `line` and `column` count from 1."""

    level: Level
    file: str
    line: int
    column: int
    field: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.field}: {self.text}"


@dataclass(frozen=True, kw_only=True, slots=True)
class LintResult:
    """`mappings` is None if there are problems of syntax, and then nothing was compared with the org."""

    problems: list[LintProblem] = field(default_factory=list)
    mappings: MappingSet | None = None

    @property
    def errors(self) -> list[LintProblem]:
        return [problem for problem in self.problems if problem.level is Level.ERROR]


def lint(texts: Texts, org: LintOrg | None = None) -> LintResult:
    """Every problem of the files, in reading order. Without an org only their syntax is checked."""
    problems = Problems()
    try:
        check_texts(texts)
    except MappingError as error:
        for line in error.problems:
            where, _, text = line.partition(": ")
            problems.add(Position(file=where), *_split(text))
        return LintResult(problems=_views(problems))
    mappings = parse_folder(TextFolder(texts), problems)
    if mappings is None:
        return LintResult(problems=_views(problems))
    _warn_of_unused_tables(texts, mappings, problems)
    if org is not None:
        _check_org(mappings, org, problems)
    return LintResult(problems=_views(problems), mappings=mappings)


def _split(text: str) -> tuple[str, str]:
    name, _, rest = text.partition(": ")
    return name, rest


def _views(problems: Problems) -> list[LintProblem]:
    return [view_problem(problem) for problem in problems]


def view_problem(problem: Problem) -> LintProblem:
    position = problem.position
    text = str(problem).removeprefix(f"{position}: {problem.field}: ")
    return LintProblem(
        level=problem.level,
        file=position.file,
        line=position.line,
        column=position.column,
        field=problem.field,
        text=text,
    )


def _check_org(mappings: MappingSet, org: LintOrg, problems: Problems) -> None:
    without_returns = mappings.with_returns(None).with_persons(org.persons)
    found = find_problems(without_returns, org.describes, person_types=org.person_types)
    for problem in found:
        problems.append(problem)
    returns = {"return": mappings.reduction, "return_order": mappings.return_order}.get(org.returns or "")
    if returns is not None:
        known = {str(problem) for problem in found}
        complete = without_returns.with_returns(returns)
        for problem in find_problems(complete, org.describes, person_types=org.person_types):
            if str(problem) in known:
                continue
            if org.returns_expected:
                problems.append(problem)
            else:
                problems.warn(problem.position, problem.field, f"{problem.text} Returns cannot be sent before that.")
    for mapping in without_returns:
        for record in mapping.spec.records:
            describe = org.describes.get(record.sobject)
            if describe is not None:
                _warn_of_values(record, describe, problems)


def _warn_of_values(record: RecordSpec, describe: SObjectDescribe, problems: Problems) -> None:
    """Values that a picklist accepts without having them, and values of it that the way back lacks."""
    for spec in record.fields:
        target = describe.fields.get(spec.name)
        if target is None or target.type not in _PICKLISTS or not target.picklist or spec.values is None:
            continue
        if not target.restricted_picklist and spec.owner is not Owner.SALESFORCE:
            _warn_of_new_values(spec, target, problems)
        if spec.owner is not Owner.LOCAL:
            _warn_of_unknown_values(spec, target, problems)


def _warn_of_new_values(spec: FieldSpec, target: FieldDescribe, problems: Problems) -> None:
    assert spec.values is not None
    for row in spec.values.rows.values():
        if isinstance(row.value, str) and row.value not in target.picklist:
            state = "is inactive in" if row.value in target.inactive else "is not in"
            problems.warn(
                row.position,
                spec.name,
                f"`{row.value}` {state} the org's picklist, which takes it all the same: add it there, or use one of"
                f" {listed(target.picklist[:_MOST_LISTED])}.",
            )


def _warn_of_unknown_values(spec: FieldSpec, target: FieldDescribe, problems: Problems) -> None:
    assert spec.values is not None
    try:
        known = {theirs.casefold() for theirs in inverse_rows(spec.values)}
    except ValueError:
        return
    unknown = [value for value in target.picklist if value.casefold() not in known]
    if unknown:
        more = f" and {len(unknown) - _MOST_LISTED} others" if len(unknown) > _MOST_LISTED else ""
        problems.warn(
            spec.position,
            spec.name,
            f"can be {listed(unknown[:_MOST_LISTED])}{more} in the org, for which the value table `{spec.values.name}`"
            " has no row: add one, or such a change of a rep waits in the inbox.",
        )


def _warn_of_unused_tables(texts: Texts, mappings: MappingSet, problems: Problems) -> None:
    used = {
        spec.values.name
        for mapping in _all_files(mappings)
        for record in mapping.spec.records
        for spec in record.fields
        if spec.values is not None
    }
    for path in texts:
        folder, _, name = path.rpartition("/")
        table = name.removesuffix(SUFFIX)
        if folder == VALUES and table not in used:
            problems.warn(Position(file=f"{FOLDER}/{path}"), "file", "is used by no field: use it, or take it away.")


def _all_files(mappings: MappingSet) -> list[EntityMapping[Any]]:
    files = (
        mappings.customer,
        mappings.person,
        mappings.product,
        mappings.order,
        mappings.reduction,
        mappings.return_order,
    )
    return [mapping for mapping in files if mapping is not None]
