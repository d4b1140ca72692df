"""Settings of what customers are sent: what cannot work is refused at the start, by name, without its value."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector.errors import SettingsError
from connector.model.notification import MessageKind
from connector.orders.policy.rules import load_rules
from connector.settings import load_settings
from connector.settings.messages import SmtpSecurity, Via

GUIDE = (Path(__file__).parents[2] / "docs" / "messages.md").read_text(encoding="utf-8")
PREFIX = "CONNECTOR_MESSAGES__"
SMTP = {"VIA": "smtp", "SENDER": "Shop <orders@shop.example>", "SMTP_HOST": "mail.shop.example"}
HOOK = {
    "VIA": "webhook",
    "WEBHOOK_URL": "https://hooks.shop.example/in?key=hunter2",
    "WEBHOOK_SECRET": "whsec_aHVudGVyMi1odW50ZXIyLWh1bnRlcjItaHVudGVyMg==",
}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.chdir(str(tmp_path))


def given(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name if name.startswith("CONNECTOR_") else PREFIX + name, value)


@pytest.mark.parametrize(
    "values",
    [
        {},
        SMTP,
        SMTP | {"SENDER": "orders@shop.example", "SMTP_USERNAME": "u", "SMTP_PASSWORD": "p"},
        SMTP | {"SMTP_HOST": "localhost", "SMTP_SECURITY": "none", "SMTP_USERNAME": "u", "SMTP_PASSWORD": "p"},
        HOOK,
        HOOK | {"WEBHOOK_URL": "http://127.0.0.1:8000/in"},
        HOOK | {"WEBHOOK_URL": "http://localhost"},
        {"VIA": "none", "SMTP_HOST": "mail.shop.example"},
        {"CONNECTOR_HTTP__PUBLIC_URL": "https://orders.shop.example/base/"},
    ],
)
def test_complete_message_settings_are_accepted(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    given(monkeypatch, values)
    found = load_settings().messages
    assert found.via == values.get("VIA", "none")
    assert found.smtp_security == values.get("SMTP_SECURITY", SmtpSecurity.STARTTLS)
    if found.via is Via.WEBHOOK:
        assert len(found.webhook_key) == 31


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"VIA": "pigeon"}, "VIA must be none, smtp or webhook"),
        ({"VIA": "smtp"}, "SENDER must be set: the sender of messages; CONNECTOR_MESSAGES__SMTP_HOST must be"),
        (SMTP | {"SENDER": "hunter2"}, "SENDER must look like"),
        (SMTP | {"SENDER": "Shop\nBcc: hunter2@x.example <a@b.example>"}, "SENDER must look like"),
        (SMTP | {"OPS_ADDRESS": "hunter2"}, "OPS_ADDRESS must look like"),
        (SMTP | {"SMTP_USERNAME": "u"}, "SMTP_PASSWORD must be set, because SMTP_USERNAME is"),
        (SMTP | {"SMTP_PASSWORD": "hunter2"}, "SMTP_USERNAME must be set, because SMTP_PASSWORD is"),
        (SMTP | {"SMTP_SECURITY": "none", "SMTP_USERNAME": "u", "SMTP_PASSWORD": "hunter2"},
         "SMTP_SECURITY must be starttls or tls: without them the password is sent unencrypted"),
        (SMTP | {"SMTP_PORT": "0"}, "SMTP_PORT must be at least 1"),
        ({"VIA": "webhook"},
         "WEBHOOK_URL must be set: the address of the webhook; CONNECTOR_MESSAGES__WEBHOOK_SECRET must"),
        (HOOK | {"WEBHOOK_URL": "http://hunter2.example"}, "WEBHOOK_URL must be an https address"),
        (HOOK | {"WEBHOOK_URL": "http://127.0.0.1.hunter2.example/"}, "WEBHOOK_URL must be an https address"),
        (HOOK | {"WEBHOOK_SECRET": "hunter2"}, "WEBHOOK_SECRET must be whsec_ and 24 to 64 bytes in base64"),
        (HOOK | {"WEBHOOK_SECRET": "whsec_aHVudGVyMg=="}, "WEBHOOK_SECRET must be whsec_ and 24 to 64 bytes"),
        ({"EXPIRE_HOURS": "0"}, "EXPIRE_HOURS must be more than 0"),
        ({"CONNECTOR_INBOUND__ADOPT_SINCE": "yesterday"}, "ADOPT_SINCE must be a date, such as 2026-01-31"),
        ({"CONNECTOR_HTTP__PUBLIC_URL": "shop.example"}, "CONNECTOR_HTTP__PUBLIC_URL must look like https://"),
        ({"CONNECTOR_HTTP__PUBLIC_URL": "https://hunter2@shop.example"}, "CONNECTOR_HTTP__PUBLIC_URL must look like"),
        ({"CONNECTOR_WORKERS": "hunter2"}, "CONNECTOR_WORKERS must be embedded or cluster"),
        ({"CONNECTOR_WORKERS": "cluster"}, "WORKERS must be embedded, because CONNECTOR_DATABASE_URL is not"),
        ({"SMPT_HOST": "x"}, "did you mean CONNECTOR_MESSAGES__SMTP_HOST?"),
    ],
)  # fmt: skip
def test_unusable_setting_is_rejected_by_name(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], says: str
) -> None:
    given(monkeypatch, values)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert says in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_printed_settings_contain_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, HOOK)
    assert "hunter2" not in repr(load_settings())


def test_guide_names_every_kind_of_message() -> None:
    assert {kind for kind in MessageKind if f"`{kind}`" not in GUIDE} == set()
    assert load_rules().messages == set(MessageKind)
