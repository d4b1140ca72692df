"""Validation errors of a body are plain sentences that suggest the correct name."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from connector.api.schemas import CountBody, MessagesBody, OrderBody
from connector.api.transitions import TransitionBody
from connector.validation import field_errors

ORDER = {"number": "1", "currency": "USD", "customer": "C", "lines": [{"line": 1, "sku": "S", "quantity": "1"}]}


def said(model: Any, body: Any) -> list[str]:
    with pytest.raises(ValidationError) as refused:
        model.model_validate(body)
    return [wrong.sentence("body") for wrong in field_errors(refused.value, model)]


@pytest.mark.parametrize(
    ("model", "body", "expected"),
    [
        (TransitionBody, {"action": "ship", "shipmnt": 1}, ["shipmnt: is unknown. Did you mean `shipment`?"]),
        (TransitionBody, {"action": "change", "details": {"promisd_on": "x"}},
         ["details.promisd_on: is unknown. Did you mean `promised_on`?"]),
        (TransitionBody, {"action": "change", "details": {"promised_on": "null"}},
         ["details.promised_on: must be a day, as 2026-01-31."]),
        (TransitionBody, {"action": "change", "details": {"promised_on": "2026-02-31"}},
         ["details.promised_on: names a day that does not exist."]),
        (OrderBody, ORDER | {"placed_at": "2026-01-31T08:61"}, ["placed_at: names a time that does not exist."]),
        (TransitionBody, {"action": "shp"}, ["action: is unknown. Did you mean `ship`?"]),
        (TransitionBody, {"action": "begin"}, ["action: begin is automatic and cannot be requested."]),
        (TransitionBody, {"action": "hold", "hold": "why"},
         ["hold: must be one of payment, address, stock, fraud, credit, manual."]),
        (TransitionBody, {"action": "ship", "lines": {"one": 1}}, ["lines.one: must be a whole number."]),
        (TransitionBody, {"action": "ship", "note": "a\0"}, ["note: must not contain the character NUL."]),
        (TransitionBody, {}, ["action: is missing."]),
        (OrderBody, ORDER | {"customer": {"number": "C", "nmae": "x"}},
         ["customer.nmae: is unknown. Did you mean `name`?"]),
        (OrderBody, ORDER | {"customer": 5}, ["customer: must be text or an object."]),
        (OrderBody, ORDER | {"customer": ""}, ["customer: is empty; it needs a value."]),
        (OrderBody, ORDER | {"currency": "usd", "lines": []},
         ["currency: must be a currency code, as USD.", "lines: must not be empty."]),
        (OrderBody, ORDER | {"placed_at": "31.01.2026"},
         ["placed_at: must be a time or a day, as 2026-01-31T08:00:00Z or 2026-01-31."]),
        (CountBody, {"warehouse": "W", "counts": {"S": -1}}, ["counts.S: must be at least 0."]),
        (MessagesBody, [], ["body: must be an object."]),
    ],
)  # fmt: skip
def test_validation_error_is_a_plain_sentence(model: Any, body: Any, expected: list[str]) -> None:
    assert sorted(said(model, body)) == expected


def test_unknown_action_is_rejected_with_the_list_of_actions() -> None:
    [sentence] = said(TransitionBody, {"action": "???"})
    assert "verify" in sentence
    assert "begin" not in sentence
    assert "advance" not in sentence
