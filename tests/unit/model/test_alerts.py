"""When an alert begins, stays, and is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from connector.model.alert import Alert, AlertEvent, AlertMessage, AlertRule, Condition, compare
from connector.settings.alerts import ALERT_RULES

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SETTLE = timedelta(minutes=5)
AWAY = Condition(rule=AlertRule.ORG_AWAY, text="The org is away.", fix="Wait.")


def alert(*, noticed: float = 10, began: float | None = 10, clear: float | None = None, text: str = AWAY.text) -> Alert:
    """An alert of the org; moments in minutes ago."""

    def ago(minutes: float | None) -> datetime | None:
        return None if minutes is None else NOW - timedelta(minutes=minutes)

    return Alert(
        id=1, rule="org_away", subject="", text=text, fix="Wait.", noticed_at=NOW - timedelta(minutes=noticed),
        began_at=ago(began), clear_since=ago(clear), ended_at=None,
    )  # fmt: skip


def test_condition_that_is_new_is_noticed_and_begins_when_it_has_held_for_long_enough() -> None:
    later = Condition(rule=AlertRule.STREAM_BEHIND, subject="t", text="No stream.", hold=timedelta(minutes=15))
    assert compare([], [AWAY, later], NOW, SETTLE).noticed == [AWAY, later]
    held = Condition(rule=AlertRule.ORG_AWAY, text="Away.", hold=timedelta(minutes=15))
    assert compare([alert(began=None)], [held], NOW, SETTLE).begun == []
    assert compare([alert(noticed=15, began=None)], [held], NOW, SETTLE).begun == [(1, held)]


def test_what_was_never_told_is_forgotten() -> None:
    changes = compare([alert(began=None)], [], NOW, SETTLE)
    assert (changes.forgotten, changes.ended, changes.clear) == ([1], [], [])


def test_alert_is_over_when_its_cause_has_not_been_there_for_a_while() -> None:
    assert compare([alert()], [], NOW, SETTLE).clear == [1]
    assert compare([alert(clear=4)], [], NOW, SETTLE).ended == []
    assert compare([alert(clear=5)], [], NOW, SETTLE).ended == [1]
    assert compare([alert()], [], NOW, timedelta(0)).ended == [1]


def test_cause_that_comes_back_meanwhile_is_the_same_alert() -> None:
    changes = compare([alert(clear=4)], [AWAY], NOW, SETTLE)
    assert (changes.held, changes.begun, changes.noticed, changes.ended) == ([(1, AWAY)], [], [], [])
    assert compare([alert()], [AWAY], NOW, SETTLE).held == []
    assert compare([alert(text="Something else.")], [AWAY], NOW, SETTLE).held == [(1, AWAY)]


def test_message_says_what_since_when_and_what_to_do() -> None:
    began = AlertMessage(alert=alert(), event=AlertEvent.BEGAN, channel="email")
    assert began.body == "The org is away.\nWait.\n\nSince: 2026-03-01 11:50 UTC\nRule: org_away"
    ended = AlertMessage(alert=alert(), event=AlertEvent.ENDED, channel="email")
    assert ended.title == "Over: The org is away."
    assert "Wait." not in ended.body
    assert began.id != ended.id


def test_rules_that_can_be_turned_off_are_all_rules() -> None:
    assert list(ALERT_RULES) == [rule.value for rule in AlertRule]
