"""Files of other people: rules, mappings and profiles that are hostile, huge or no files at all."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from connector.cli.inputs import check_input
from connector.errors import MappingError, ProfileError, RulesError, SettingsError, UsageError
from connector.files import UnusableFileError, bounded_lines, check_plain, read_file
from connector.localorg.seed_file import InvalidSeedFileError
from connector.localorg.seed_file import read_seed_file as read_seed
from connector.mapping import yaml_limits
from connector.mapping.expression import Expression
from connector.mapping.transforms import to_decimal, to_integer
from connector.mapping.version import load_version
from connector.mapping.yaml_nodes import MAX_BYTES, BadYamlError, compose_document
from connector.model.product import Product
from connector.orders.importing import load_profile
from connector.orders.policy.rules import load_rules
from connector.settings import load_settings


def _merges(levels: int) -> bytes:
    """Merge keys by which the work doubles on each level."""
    first = "x0: &x0 {a: 1}\n"
    return (
        first + "".join(f"x{n}: &x{n}\n  <<: [*x{n - 1}, *x{n - 1}]\n  k{n}: 1\n" for n in range(1, levels))
    ).encode()


def _laughs(levels: int) -> bytes:
    return (
        "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, levels))
    ).encode()


HOSTILE = {
    "merge keys": (_merges(40), "by aliases"),
    "aliases of aliases": (_laughs(12), "by aliases"),
    "brackets": (b"[" * 500, "50 levels deep"),
    "maps in maps": (b"{a: " * 500, "50 levels deep"),
    "lists in lists": (b"- " * 500, "50 levels deep"),
    "closed brackets": (b"a: " + b"[" * 60 + b"]" * 60, "50 levels deep"),
    "a list in itself": (b"a: &a [*a]", "contains itself"),
    "a mapping in itself": (b"&a {b: *a}", "contains itself"),
    "a Python object": (b"a: !!python/object:os.system x", "has the tag !!python/object:os.system"),
    "a tag": (b"a: !x y", "has the tag !x"),
    "a long text": (b"a: " + b"x" * MAX_BYTES, "larger than 1,000,000 bytes"),
    "NUL": (b"a: b\nc: \0", "U+0000"),
    "Latin": (b"a: b\nc: \xff", "not UTF-8"),
    "two documents": (b"a: 1\n---\nb: 1\n", "is not YAML"),
}


@pytest.mark.parametrize(("content", "problem"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_yaml_is_rejected_in_one_line(tmp_path: Path, content: bytes, problem: str) -> None:
    with pytest.raises(BadYamlError) as refused:
        compose_document(content)
    assert problem in refused.value.problem
    assert len(refused.value.problem.splitlines()) == 1


@pytest.mark.parametrize("kind", ["merge keys", "brackets", "a list in itself", "a Python object", "NUL"])
@pytest.mark.parametrize(("load", "error"), [(load_rules, RulesError), (load_profile, ProfileError)])
def test_hostile_rules_and_profiles_are_rejected(
    tmp_path: Path, load: Callable[[Path], object], error: type[UsageError], kind: str
) -> None:
    file = tmp_path / "own.yaml"
    file.write_bytes(HOSTILE[kind][0])
    with pytest.raises(error) as refused:
        load(file)
    assert HOSTILE[kind][1] in str(refused.value)
    assert refused.value.exit_status == 2


def test_aliases_and_merge_keys_within_limits_work() -> None:
    assert compose_document(b"a: &a {b: 1}\nc: {<<: *a}\nd: [*a, *a]\n") is not None


def test_measuring_a_document_visits_each_node_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = 0
    children = yaml_limits._children

    def counted(node: object) -> object:
        nonlocal seen
        seen += 1
        return children(node)  # type: ignore[arg-type]

    monkeypatch.setattr(yaml_limits, "_children", counted)
    counts = []
    for levels in (20, 40):
        seen = 0
        with pytest.raises(BadYamlError):
            compose_document(_merges(levels))
        counts.append(seen)
    assert counts[1] <= 2 * counts[0]


def test_only_the_latest_documents_are_kept_in_memory() -> None:
    first = compose_document(b"first: 1")
    assert compose_document(b"first: 1") is first
    for number in range(16):
        compose_document(b"other: %d" % number)
    assert compose_document(b"first: 1") is not first


def test_document_with_too_many_values_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_limits, "MOST_VALUES", 100)
    with pytest.raises(BadYamlError, match="more than 100 keys and values"):
        compose_document(b"[" + b"1," * 200 + b"]")


def test_rules_with_very_many_errors_are_rejected_with_the_first_of_them(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("verification: []\n" + "".join(f"k{number}: 1\n" for number in range(300)))
    with pytest.raises(RulesError) as refused:
        load_rules(file)
    assert len(refused.value.problems) <= 101


def test_problem_with_a_huge_key_is_one_short_line(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(f"verification: []\n? {'x' * 100_000}\n: 1\n")
    with pytest.raises(RulesError) as rules:
        load_rules(file)
    with pytest.raises(InvalidSeedFileError) as seed:
        read_seed(file)
    for line in (*rules.value.problems, *seed.value.lines):
        assert len(line) < 1_200


@pytest.mark.parametrize(
    "line", ["urgent_from: 10000000", "escalation: {payment: .inf}", "escalation: {payment: 1e300}",
             "routing: {cost: {A: 1e99}}", f"billing: {{tax: {[{}] * 501}}}"],
)  # fmt: skip
def test_rules_with_excessive_values_are_rejected(tmp_path: Path, line: str) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(f"verification: []\n{line}\n")
    with pytest.raises(RulesError, match="must "):
        load_rules(file)


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


PLACES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a folder": (lambda folder: folder, "a folder"),
    "a pipe": (_pipe, "a pipe or a device"),
    "an endless device": (lambda _: Path("/dev/zero"), "a pipe or a device"),
    "nothing": (lambda folder: folder / "nothing", "No such file"),
    "a name with NUL": (lambda folder: folder / "a\0b", "no file can have such a name"),
    "a name too long": (lambda folder: folder / ("x" * 300), "too long"),
    "below a file": (lambda _: Path(__file__) / "x", "Not a directory"),
}


@pytest.mark.parametrize(("place", "problem"), PLACES.values(), ids=PLACES)
def test_path_that_is_no_plain_file_is_rejected_at_once(
    tmp_path: Path, place: Callable[[Path], Path], problem: str
) -> None:
    path = place(tmp_path)
    for use in (lambda: read_file(path, 100), lambda: check_plain(path)):
        with pytest.raises(UnusableFileError, match=problem):
            use()
    for load, error in ((load_rules, RulesError), (load_profile, UsageError)):
        with pytest.raises(error):
            load(path)


@pytest.mark.parametrize("text", ["1e999999999", "1e-999999999", "9" * 101, "1e101"])
def test_number_with_more_than_100_digits_is_rejected(text: str) -> None:
    """An exponent is a short text for a long number."""
    with pytest.raises(ValueError, match="more than 100 digits"):
        Expression("text(number(name))", Product).evaluate(Product(sku="A", name=text))
    for act in (to_decimal, to_integer):
        with pytest.raises(ValueError, match="more than 100 digits"):
            act(text)


def test_file_larger_than_the_limit_is_not_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "large"
    with file.open("wb") as opened:
        opened.truncate(10**12)
    with pytest.raises(UnusableFileError, match="larger than 1,000 bytes"):
        read_file(file, 1_000)


def test_pipe_in_a_folder_of_mappings_is_rejected_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "order.yaml")
    with pytest.raises(MappingError, match=r"order\.yaml:1:1: file: cannot be read: it is a pipe or a device"):
        load_version(tmp_path)


def test_import_of_a_path_that_is_no_plain_file_is_rejected(tmp_path: Path) -> None:
    for path in (_pipe(tmp_path), Path("/dev/zero")):
        with pytest.raises(UsageError, match="a pipe or a device"):
            check_input(path)


@pytest.mark.parametrize("kind", ["merge keys", "aliases of aliases", "brackets", "a list in itself", "Latin"])
def test_hostile_seed_file_is_rejected(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "seed.yaml"
    file.write_bytes(HOSTILE[kind][0])
    with pytest.raises(InvalidSeedFileError) as refused:
        read_seed(file)
    assert len(refused.value.lines) == 1


@pytest.mark.parametrize("place", ["a folder", "a pipe", "an endless device", "nothing"])
def test_seed_that_is_no_plain_file_is_rejected(tmp_path: Path, place: str) -> None:
    with pytest.raises(InvalidSeedFileError):
        read_seed(PLACES[place][0](tmp_path))


def test_huge_or_binary_settings_file_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for content in (b"CONNECTOR_LOG_LEVEL=INFO\n" * 20_000, b"CONNECTOR_LOG_LEVEL=IN\0FO\n"):
        (tmp_path / ".env").write_bytes(content)
        with pytest.raises(SettingsError, match=r"The file \.env cannot be read: it"):
            load_settings()


def test_line_longer_than_the_limit_is_rejected() -> None:
    assert list(bounded_lines(io.StringIO("ab\nc"), 3)) == ["ab\n", "c"]
    with pytest.raises(UnusableFileError, match="line 2 has more than 3 characters"):
        list(bounded_lines(io.StringIO("ab\nabcd"), 3))
