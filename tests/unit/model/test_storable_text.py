"""Characters that a database does not store are replaced in whatever the org answers."""

from __future__ import annotations

import json

import pytest

from connector.model.storable_text import storable_json, storable_values
from connector.salesforce.transport import HttpResponse


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (rb'"a\u0000b"', "a\ufffdb"),
        (rb'"\ud83d"', "\ufffd"),
        (rb'"\uDE00x"', "\ufffdx"),
        (rb'"\uD83D\uD83D\uDE00"', "\ufffd\U0001f600"),
        (b'"\xed\xa0\xbd"', "\ufffd"),
        # What stays:
        (rb'"\ud83d\ude00 \u00e4"', "\U0001f600 \u00e4"),
        (rb'"\\u0000"', r"\u0000"),
        (rb'"\\\u0000"', "\\\ufffd"),
        ('"\ud55c \U0001f600"'.encode(), "\ud55c \U0001f600"),
    ],
)
def test_response_has_no_character_that_cannot_be_stored(content: bytes, text: str) -> None:
    assert json.loads(storable_json(content)) == text
    response = HttpResponse(status=200, headers={}, content=content)
    assert response.json() == response.records() == text


def test_payload_of_an_event_has_no_character_that_cannot_be_stored() -> None:
    payload = {"Reason__c": "a\x00b", "ChangeEventHeader": {"recordIds": ["1\x00"], "commitTimestamp": 1}, "Flag": None}
    assert storable_values(payload) == {
        "Reason__c": "a\ufffdb",
        "ChangeEventHeader": {"recordIds": ["1\ufffd"], "commitTimestamp": 1},
        "Flag": None,
    }
