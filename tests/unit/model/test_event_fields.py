"""Each action has exactly the fields of its event class: in events, in HTTP bodies and as options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Optional, get_args, get_type_hints

import pytest
from pydantic import ValidationError
from typer.main import get_command

from connector.api.transitions import EXAMPLES, OF_RETURNS, ReturnTransitionBody, TransitionBody, body_of, body_type
from connector.cli import app
from connector.cli.act import _build_event
from connector.cli.action_options import option_of
from connector.errors import CommandError, UsageError
from connector.model.action_fields import ACTION_FIELDS, EVENT_FIELDS, FIELD_TYPES, REQUESTABLE, make_event
from connector.model.actions import Action
from connector.model.events import EVENT_TYPES, ChangeOrder, LineEdit, Ship
from connector.model.holds import Hold
from connector.model.shipments import Resolution, ReturnReason, ShipmentStatus
from connector.model.stage import Stage
from connector.store.order_history import read_event, writer_of
from connector.validation import field_errors

VALUES: dict[str, Any] = {
    "lines": {1: Decimal(1)},
    "written_off": {1: Decimal(1)},
    "line_edits": {1: LineEdit(sku="TEA", quantity=Decimal(1))},
    "details": {"freight": Decimal(50)},
    "amount": Decimal(1),
    "hold": Hold.ADDRESS,
    "to": Stage.CONFIRMED,
    "shipment": 1,
    "status": ShipmentStatus.DELIVERED,
    "return_number": 1,
    "reason": ReturnReason.DAMAGED,
    "resolution": Resolution.REFUND,
    "warehouse": "EAST",
    "carrier": "Swift Post",
    "tracking_number": "SP-1",
    "on": date(2026, 1, 31),
    "reference": "PAY-7",
    "note": "by phone",
}
SENT: dict[str, Any] = {
    **{name: value for name, value in VALUES.items() if name != "to"},
    "lines": {"1": "1"}, "written_off": {"1": "1"}, "line_edits": {"1": {"sku": "TEA", "quantity": "1"}},
    "details": {"freight": "50"}, "amount": "1", "on": "2026-01-31",
}  # fmt: skip
FOREIGN = {action: [name for name in EVENT_FIELDS if name not in has.names] for action, has in ACTION_FIELDS.items()}
EVERY = pytest.mark.parametrize("action", Action)
ALL = pytest.mark.parametrize("action", REQUESTABLE)


def own(action: Action, values: dict[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in ACTION_FIELDS[action].requestable}


def test_every_action_has_its_fields_and_every_field_has_an_action() -> None:
    assert set(ACTION_FIELDS) == set(Action)
    assert set(VALUES) == set(EVENT_FIELDS) == {name for has in ACTION_FIELDS.values() for name in has.names}
    assert set(Action) - set(REQUESTABLE) == {Action.BEGIN, Action.ADVANCE}


def test_field_of_one_name_has_one_type_in_all_events() -> None:
    for kind in EVENT_TYPES.values():
        hints = get_type_hints(kind, include_extras=True)
        for name in [item.name for item in fields(kind)]:
            assert hints[name] in (FIELD_TYPES[name], Optional[FIELD_TYPES[name]]), (kind, name)  # noqa: UP045


@pytest.mark.parametrize("kind", [bool, float, bytes, datetime, list[str], Mapping[str, Decimal]])
def test_event_field_of_an_unknown_type_is_rejected_when_bodies_and_history_are_made(kind: object) -> None:
    with pytest.raises(TypeError, match="how HTTP reads it"):
        body_type(kind)
    with pytest.raises(TypeError, match="how it is stored"):
        writer_of(kind)


def test_command_line_has_one_option_for_each_field_that_can_be_asked_for() -> None:
    act = get_command(app).commands["act"]
    options = {option for param in act.params for option in param.opts if option.startswith("--")}
    assert options - {"--request", "--json"} == {option_of(name) for name in SENT}


@EVERY
def test_event_with_a_field_of_another_action_is_rejected(action: Action) -> None:
    for name in FOREIGN[action]:
        with pytest.raises(CommandError, match=f"^{name} is not a field of {action}; {action} takes ") as refused:
            make_event(action, **{name: VALUES[name]})
        assert (refused.value.field, refused.value.rule) == (name, "field")
        needed = {other: VALUES[other] for other in ACTION_FIELDS[action].required}
        if name == "note":  # every class has one; nobody can ask for `begin` or `advance`
            continue
        with pytest.raises(TypeError, match=name):
            replace(make_event(action, **needed), **{name: VALUES[name]})


@EVERY
def test_event_without_a_required_field_is_rejected(action: Action) -> None:
    for name in ACTION_FIELDS[action].required:
        needed = {other: VALUES[other] for other in ACTION_FIELDS[action].required if other != name}
        with pytest.raises(CommandError, match=f"^{action} needs {name}") as refused:
            make_event(action, **needed)
        assert (refused.value.field, refused.value.rule) == (name, "input")


@EVERY
def test_stored_fields_of_other_actions_are_ignored_when_a_history_is_read(action: Action) -> None:
    required = ACTION_FIELDS[action].required
    stored = {name: {"to": "confirmed", **SENT}[name] for name in (*FOREIGN[action], *required)}
    plain = make_event(action, **{name: VALUES[name] for name in required})
    assert read_event(action, stored) == plain
    noted = read_event(action, {"personal": ["notes"], **{name: SENT[name] for name in required}})
    assert noted == (ChangeOrder(details={"notes": None}) if action is Action.CHANGE else plain)


def test_stored_shipment_with_lines_and_number_is_read_as_its_lines() -> None:
    both = read_event(Action.SHIP, {"lines": {"1": "2"}, "shipment": 1, "on": "2026-01-31"})
    assert both == Ship(lines={1: Decimal(2)}, on=date(2026, 1, 31))


@ALL
def test_body_of_an_action_has_the_fields_of_the_table(action: Action) -> None:
    assert set(body_of(action).model_fields) == {"action", "version", *ACTION_FIELDS[action].requestable}
    required = {name for name, item in body_of(action).model_fields.items() if item.is_required()}
    assert required == {"action", *ACTION_FIELDS[action].required}
    body = TransitionBody.model_validate({"action": action.value, **own(action, SENT)})
    assert body.root.event == make_event(action, **own(action, VALUES))


@ALL
def test_body_with_fields_of_other_actions_is_rejected_for_each_of_them(action: Action) -> None:
    foreign = {name: SENT[name] for name in SENT if name not in ACTION_FIELDS[action].requestable}
    with pytest.raises(ValidationError) as refused:
        TransitionBody.model_validate({"action": action.value, **own(action, SENT), **foreign})
    found = {wrong.field: wrong.text for wrong in field_errors(refused.value, TransitionBody)}
    assert found.keys() == foreign.keys()
    assert all(text.startswith(f"is not a field of {action}; {action} takes ") for text in found.values())


@ALL
def test_null_or_empty_fields_of_other_actions_in_a_body_are_ignored(action: Action) -> None:
    body = {"action": action.value, **own(action, SENT)}
    foreign = SENT.keys() - set(ACTION_FIELDS[action].requestable)
    blank = {"lines": {}, "written_off": {}, "line_edits": {}, "details": {}}
    for blanks in ({}, blank):
        said = {name: blanks.get(name) for name in foreign}
        asked = TransitionBody.model_validate({**body, **said}).root
        assert asked.event == make_event(action, **own(action, VALUES))
    for wrong in ({"amount": {}}, {"lines": []}, {"note": ""}, {"details": {"notes": None}}, {"others": None}):
        [name] = wrong
        if name not in ACTION_FIELDS[action].requestable:
            with pytest.raises(ValidationError):
                TransitionBody.model_validate({**body, **wrong})


@ALL
def test_options_of_other_actions_are_rejected_as_they_were_typed(action: Action) -> None:
    assert _build_event(action.value, own(action, SENT)) == make_event(action, **own(action, VALUES))
    for name in SENT.keys() - set(ACTION_FIELDS[action].requestable):
        with pytest.raises(UsageError, match=f"^{option_of(name)} is not an option of {action}; {action} takes --"):
            _build_event(action.value, {**own(action, SENT), name: SENT[name]})


@ALL
def test_missing_required_field_is_named_as_field_and_as_option(action: Action) -> None:
    has = ACTION_FIELDS[action]
    for name in has.required:
        rest = {other: value for other, value in own(action, SENT).items() if other != name}
        with pytest.raises(ValidationError) as refused:
            TransitionBody.model_validate({"action": action.value, **rest})
        [wrong] = field_errors(refused.value, TransitionBody)
        assert (wrong.field, wrong.text.partition(";")[0]) == (name, "is missing")
        with pytest.raises(UsageError, match=f"^{option_of(name)} is required[.;]"):
            _build_event(action.value, rest)
    if has.any_of:
        with pytest.raises(ValidationError) as refused:
            TransitionBody.model_validate({"action": action.value})
        [wrong] = field_errors(refused.value, TransitionBody)
        assert (wrong.field, wrong.text) == (has.any_of[0], f"is missing; give {' or '.join(has.any_of)}, or both")
        with pytest.raises(UsageError, match=f"^{' or '.join(map(option_of, has.any_of))} is requ"):
            _build_event(action.value, {})


def test_restocked_lines_require_a_warehouse() -> None:
    body = {"action": "inspect_return", "lines": {"1": 1}}
    with pytest.raises(ValidationError) as refused:
        TransitionBody.model_validate(body)
    assert [item.sentence("") for item in field_errors(refused.value, TransitionBody)] == ["warehouse: is missing."]
    with pytest.raises(UsageError, match=r"^--warehouse is required\."):
        _build_event("inspect_return", {"lines": {"1": "1"}})


def test_body_of_a_return_accepts_actions_of_returns_only() -> None:
    assert [action for action in REQUESTABLE if action.endswith("_return")] == [Action.REQUEST_RETURN, *OF_RETURNS]
    with pytest.raises(ValidationError) as refused:
        ReturnTransitionBody.model_validate({"action": "ship"})
    [wrong] = field_errors(refused.value, ReturnTransitionBody)
    assert (wrong.field, wrong.text) == ("action", f"must be one of {', '.join(OF_RETURNS)}")


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """What OpenAPI says of the body of an action, any action; the tests only read it."""
    return TransitionBody.model_json_schema()


@ALL
def test_openapi_shows_each_action_with_its_own_fields_and_a_valid_example(
    action: Action, schema: dict[str, Any]
) -> None:
    name = schema["discriminator"]["mapping"][action.value].rpartition("/")[2]
    body = schema["$defs"][name]
    assert set(body["properties"]) == {"action", "version", *ACTION_FIELDS[action].requestable}
    assert set(body["required"]) == {"action", *ACTION_FIELDS[action].required}
    assert body["additionalProperties"] is False
    assert body["examples"] == [{"action": action.value, **EXAMPLES.get(action, {})}]
    assert TransitionBody.model_validate(body["examples"][0]).root.event.action is action
    assert get_args(body_of(action).model_fields["action"].annotation) == (action.value,)
