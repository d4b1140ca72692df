"""What is logged while the org refuses: which org it is, and nothing about a person."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest

from connector.log import configure
from connector.model.customer import Customer
from tests.flow.conftest import CUSTOMERS, World
from tests.flow.test_push import an_order

PERSON = Customer(
    number="C-1", name="Zebedee Quux", email="zebedee@quux", phone="+44 20 7946 0018", street="Elm Row 7", city="Bude"
)  # fmt: skip
PERSONAL = ("Zebedee", "uux", "7946", "Elm Row", "Bude", "Porphyry")


async def test_push_and_pull_of_bad_values_log_the_org_and_no_person(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    monkeypatch.setattr("sys.stderr", log)
    configure("DEBUG", form="json")
    await world.save([an_order("A-1"), an_order("A-2", customer="C-2")], some_customers=[PERSON, *CUSTOMERS[1:]])
    await world.push()
    [letter] = await world.dead_letters()
    assert letter.refusal.code == "INVALID_EMAIL_ADDRESS"
    await world.save(some_customers=[replace(PERSON, email=None)], some_products=())
    await world.replay()
    assert (await world.push()).in_sync
    await world.change_in_org("Order", "A-2", Description="For Porphyry Quux, +44 20 7946 0018")
    await world.service.pull()
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    calls = [line for line in lines if line["event"] == "salesforce_call"]
    assert len(calls) > 5, {line["event"] for line in lines}
    assert {line.get("org") for line in calls[2:]} == {await world.service.client.connect()}
    assert [word for word in PERSONAL if word in log.getvalue()] == []
