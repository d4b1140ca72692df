"""Carrier updates: repeated, late, and with numbers that another carrier also uses."""

from __future__ import annotations

from typing import Any

import pytest

from connector.model.change import EntityKind
from tests.unit.store import samples
from tests.web.conftest import ORDER, Api, Said


async def on_its_way(api: Api, number: str = "W-1", **label: str) -> None:
    await api("POST", "/orders", ORDER | {"number": number})
    for action in ("verify", "confirm", "allocate", "pick"):
        await api.move(number, action=action)
    label = {"carrier": "Swift Post", "tracking_number": "T-1"} | label
    assert (await api.move(number, action="ship", lines={"1": 2, "2": 1.5}, **label)).status == 200
    await samples.settle_everything(api.store)


async def say(api: Api, status: str, **more: Any) -> Said:
    return await api("POST", "/tracking", {"tracking_number": "T-1", "status": status, **more})


async def tracked(api: Api, number: str = "W-1") -> list[str]:
    story = (await api("GET", f"/orders/{number}/history")).body["history"]
    return [event["status"] for event in story if event["event"] == "tracked"]


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (["in_transit"], []),
        (["out_for_delivery", "out_for_delivery"], ["out_for_delivery"]),
        (["out_for_delivery", "in_transit"], ["out_for_delivery"]),
        (["delivered", "delivered", "in_transit", "exception"], ["delivered"]),
        (["exception", "exception", "in_transit"], ["exception", "in_transit"]),
        (["out_for_delivery", "exception", "out_for_delivery"], ["out_for_delivery", "exception", "out_for_delivery"]),
    ],
)
async def test_carrier_update_that_does_not_advance_changes_nothing(
    api: Api, said: list[str], heard: list[str]
) -> None:
    await on_its_way(api)
    for status in said:
        answer = await say(api, status)
        assert (answer.status, [order["number"] for order in answer.body["orders"]]) == (200, ["W-1"])
    assert await tracked(api) == heard
    assert answer.body["orders"][0]["shipments"][0]["status"] == (heard or ["in_transit"])[-1]
    assert await samples.due_keys(api.store, EntityKind.ORDER) == (["W-1"] if heard else [])


async def test_same_tracking_number_of_two_carriers_is_kept_apart(api: Api) -> None:
    await on_its_way(api, "W-1")
    await on_its_way(api, "W-2", carrier="Northern Parcel")
    refused = await say(api, "delivered")
    assert (refused.status, refused.body["rule"], refused.body["field"]) == (409, "carrier", "carrier")
    assert refused.body["detail"] == "Northern Parcel and Swift Post have parcels as T-1."
    moved = await say(api, "delivered", carrier="northern parcel")
    assert [order["number"] for order in moved.body["orders"]] == ["W-2"]
    assert (await tracked(api, "W-1"), await tracked(api, "W-2")) == ([], ["delivered"])
    assert (await say(api, "delivered", carrier="Somebody")).status == 404
    again = await say(api, "delivered", carrier="Northern Parcel")
    assert (again.status, [order["number"] for order in again.body["orders"]]) == (200, ["W-2"])
    assert (await say(api, "delivered")).status == 409
    assert await tracked(api, "W-1") == []


async def test_reused_tracking_number_means_the_shipment_in_transit(api: Api) -> None:
    await on_its_way(api, "W-1")
    await say(api, "delivered")
    await on_its_way(api, "W-2")
    assert [order["number"] for order in (await say(api, "delivered")).body["orders"]] == ["W-2"]


async def test_invalid_carrier_update_is_rejected(api: Api) -> None:
    await on_its_way(api)
    assert (await say(api, "packed")).body["field"] == "status"
    assert (await api("POST", "/tracking", {"tracking_number": "T-2", "status": "delivered"})).status == 404


@pytest.mark.parametrize("field", ["tracking_number", "carrier"])
async def test_label_longer_than_the_org_field_is_rejected(api: Api, field: str) -> None:
    await api("POST", "/orders", ORDER)
    said = await api.move(action="label", **{"carrier": "c", "tracking_number": "t"} | {field: "x" * 81})
    assert (said.status, said.body["field"]) == (422, field)
