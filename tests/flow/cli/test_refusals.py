"""Invalid calls and settings are rejected with the remedy, and without secrets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.acceptance.sides import Org
from tests.flow.cli_runner import Shell

NO_DATABASE = "connector: The database sqlite:///connector.db has no tables yet. Run `connector db upgrade`.\n"
REFUSALS: list[tuple[list[str], int, str]] = [
    (["bogus"], 2, "connector: No such command 'bogus'. Try `connector --help`.\n"),
    (["import"], 2, "connector: Missing argument 'PATH…'. Try `connector import --help`.\n"),
    (["import", "absent", "--dry-run"], 1, NO_DATABASE),
    (["status"], 1, NO_DATABASE),
    (["push"], 1, NO_DATABASE),
    (["show", "order", "1"], 1, NO_DATABASE),
    (["show", "invoice", "1"], 2,
     "connector: ENTITY: invalid value 'invoice'. Use one of customer, product, order, return.\n"),
    (["dead-letters", "replay"], 2,
     "connector: dead-letters replay: one of ENTITY, --group and --all is required."
     " Give an entity with or without a key, or --group with a cause, or --all.\n"),
    (["dead-letters", "show", "invoice", "1"], 2,
     "connector: ENTITY: invalid value 'invoice'. Use one of customer, product, order, return.\n"),
    (["demo", "--orders", "0"], 2,
     "connector: Invalid value for '--orders': must be at least 1."
     " Try `connector demo --help`.\n"),
    (["resyncs", "start", "order", "--changed-since", "yesterday"], 2,
     "connector: Invalid value for '--changed-since': 'yesterday' must be a time or a day, as 2026-01-31T08:00:00Z or"
     " 2026-01-31. Try `connector resyncs start --help`.\n"),
    (["undo", "--since", "2026-02-30", "--key", "SO-1"], 2,
     "connector: Invalid value for '--since': '2026-02-30' names a day that does not exist."
     " Try `connector undo --help`.\n"),
    (["mappings", "check", "../m/bad"], 2,
     "connector: Got unexpected extra argument(s) (../m/bad). Name the folder with --dir.\n"),
    (["status", "all"], 2,
     "connector: Got unexpected extra argument(s) (all). Try `connector status --help`.\n"),
    (["localorg", "--data", "nowhere/org.db"], 2,
     "connector: --data: there is no folder nowhere. Create it, or name another file.\n"),
    (["localorg", "--port", "99999"], 2,
     "connector: Invalid value for '--port': must be at most 65535."
     " Try `connector localorg --help`.\n"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "status", "line"), REFUSALS, ids=[" ".join(words) for words, *_ in REFUSALS])
def test_invalid_call_is_rejected_in_one_line_that_says_what_to_do(
    shell: Shell, words: list[str], status: int, line: str
) -> None:
    answer = shell(*words)
    assert (answer.status, answer.err, answer.out) == (status, line, "")
    assert not (shell.folder / "connector.db").exists()


SETTINGS: list[tuple[dict[str, str], str]] = [
    ({"CONNECTOR_DATABASE_URL": "mysql://root:hunter2@db/x"}, "sqlite:///"),
    ({"CONNECTOR_DATABASE_URL": "hunter2"}, "sqlite:///"),
    ({"CONNECTOR_SALESFORCE__LOGIN_URL": "ftp://hunter2"}, "CONNECTOR_SALESFORCE__LOGIN_URL"),
    ({"CONNECTOR_SALESFORCE__AUTH": "hunter2"}, "CONNECTOR_SALESFORCE__AUTH must be"),
    ({"CONNECTOR_SALESFORCE__AUTH": "jwt"}, "CONNECTOR_SALESFORCE__USERNAME"),
    ({"CONNECTOR_SALESFORCE__API_VERSION": "hunter2"}, "CONNECTOR_SALESFORCE__API_VERSION must look like 66.0"),
    ({"CONNECTOR_SYNC__PARTITIONS": "0"}, "CONNECTOR_SYNC__PARTITIONS must be at least 1"),
    ({"CONNECTOR_SALESFORCE__LOGINURL": "hunter2"}, "did you mean CONNECTOR_SALESFORCE__LOGIN_URL?"),
    ({"CONNECTOR_MAPPINGS_DIR": "hunter2"}, "connector: CONNECTOR_MAPPINGS_DIR: there is no folder hunter2"),
    ({"CONNECTOR_TRACES": "hunter2"}, "CONNECTOR_TRACES must be true or false"),
    ({"CONNECTOR_ORGS__EMEA__LOGIN_ULR": "hunter2"}, "did you mean CONNECTOR_ORGS__EMEA__LOGIN_URL?"),
]


@pytest.mark.parametrize(("wrong", "named"), SETTINGS, ids=[f"{name}={value}" for item, _ in SETTINGS for name, value in item.items()])  # fmt: skip  # noqa: E501
@pytest.mark.usefixtures("empty_database")
def test_invalid_setting_is_named_without_its_value(shell: Shell, wrong: dict[str, str], named: str) -> None:
    answer = shell("push", **wrong)
    assert (answer.status, answer.out) == (2, "")
    assert answer.err.count("\n") == 1
    assert named in answer.err
    assert "hunter2" not in answer.err.replace(str(shell.folder), "") or "MAPPINGS_DIR" in next(iter(wrong))


@pytest.mark.usefixtures("sample_shop")
def test_rejected_client_secret_is_not_printed(shell: Shell) -> None:
    answer = shell("push", CONNECTOR_SALESFORCE__CLIENT_SECRET="hunter2", CONNECTOR_LOG_LEVEL="DEBUG")
    assert answer.status == 1
    assert "hunter2" not in answer.err + answer.out
    assert "invalid_client" in answer.err


@pytest.mark.usefixtures("sample_shop")
def test_debug_log_contains_no_secret_and_no_personal_data(shell: Shell, beside: Org) -> None:
    answer = shell("push", CONNECTOR_LOG_LEVEL="DEBUG")
    assert answer.status == 0
    for hidden in (beside.banner["client_secret"], "Bearer", "alderfinch", "Mill Lane", "+1 555"):
        assert hidden not in answer.err + answer.out


@pytest.mark.usefixtures("empty_database")
def test_all_errors_of_mapping_files_are_reported(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "mappings"
    folder.mkdir()
    (folder / "customer.yaml").write_text("entity: customer\nsobject: Account\nfields: 7\nfilds: {}\n")
    answer = shell("push", CONNECTOR_MAPPINGS_DIR=str(folder))
    assert (answer.status, answer.out) == (2, "")
    assert len(answer.err.splitlines()) > 2
    assert all(line.startswith(f"connector: {folder}/") for line in answer.err.splitlines())


@pytest.mark.usefixtures("sample_shop")
def test_unreachable_org_is_named_and_the_next_push_succeeds(shell: Shell) -> None:
    answer = shell("push", CONNECTOR_SALESFORCE__LOGIN_URL="http://127.0.0.1:9")
    assert answer.status == 1
    assert "127.0.0.1:9" in answer.err
    assert shell("push").status == 0


def test_help_and_version_are_printed(shell: Shell) -> None:
    assert shell("--version").out.startswith("connector 0.")
    listed = shell("--help").out
    for command in ("localorg", "demo", "import", "push", "db", "status", "show", "dead-letters"):
        assert f"  {command} " in listed
        assert shell(command, "--help").status == 0
    assert shell().status == 2


@pytest.mark.parametrize(
    ("seed", "line"),
    [
        ("currencies: {EUR: {}}\n", "connector: seed.yaml:1:1: currencies: the org's own currency, USD, is missing:"
         " add it, or set currency\n"),
        ("person_account: true\n", "connector: seed.yaml:1:1: person_account: is not a setting of an org\n"),
        ("records: {Account: [{Nome: A}]}\n",
         "connector: seed.yaml:1:21: records.Account.0: INVALID_FIELD: No such column 'Nome' on sobject of type"
         " Account\n"),
    ],
)  # fmt: skip
def test_invalid_seed_file_is_reported_with_line_and_column(shell: Shell, seed: str, line: str) -> None:
    (shell.folder / "seed.yaml").write_text(seed)
    answer = shell("localorg", "--port", "0", "--seed", "seed.yaml")
    assert (answer.status, answer.err, answer.out) == (2, line, "")


@pytest.mark.usefixtures("empty_database")
def test_missing_file_is_reported_as_missing(shell: Shell) -> None:
    seed = shell("localorg", "--port", "0", "--seed", "nix.yaml")
    assert (seed.status, seed.err) == (2, "connector: nix.yaml: there is no such file\n")
    rules = shell("act", "1", "verify", CONNECTOR_RULES_FILE="nix.yaml")
    missing = "connector: nix.yaml: there is no such file: correct CONNECTOR_RULES_FILE, or the file.\n"
    assert (rules.status, rules.err) == (2, missing)


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        (["act", "X", "verify"], {"CONNECTOR_RULES_FILE": "hostile"}),
        (["import", "shop", "--profile", "hostile"], {}),
        (["localorg", "--port", "0", "--seed", "hostile"], {}),
        (["import", "pipe"], {}),
        (["stock", "count", "--file", "pipe"], {}),
    ],
)
@pytest.mark.usefixtures("empty_database")
def test_hostile_file_is_refused_in_one_line(shell: Shell, words: list[str], settings: dict[str, str]) -> None:
    levels = "".join(f"x{n}: &x{n}\n  <<: [*x{n - 1}, *x{n - 1}]\n" for n in range(1, 40))
    (shell.folder / "hostile").write_text(f"x0: &x0 {{a: 1}}\n{levels}")
    os.mkfifo(shell.folder / "pipe")
    answer = shell(*words, **settings)
    assert (answer.status, len(answer.err.splitlines()), answer.out) == (2, 1, "")
    assert any(word in answer.err for word in ("aliases", "50 levels", "a pipe or a device"))


@pytest.mark.usefixtures("empty_database")
def test_status_warns_that_others_can_read_the_database(shell: Shell) -> None:
    assert (shell("status", "--health").err, shell("status", "--json").document["readable_by_others"]) == ("", False)
    (shell.folder / "connector.db").chmod(0o644)
    answer = shell("status", "--health")
    assert (answer.status, answer.err) == (
        0, "Other users of this machine can read connector.db, which holds customer data:"
           " run `chmod 600 connector.db*`.\n",
    )  # fmt: skip
