"""The status over HTTP says of the inbound side what `connector status` says, and the OpenAPI document describes it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter

from connector.cli.status import _load_inbound
from connector.inbound.topic_cursor import STATE
from connector.model.deliveries import DeliveryLimit, DeliveryMode, TopicState
from connector.model.inbound_change import Source
from connector.model.listening_state import ListeningState, TopicActivity
from connector.model.role import Role
from connector.settings import Settings
from connector.store import cursors, deliveries, inbox, orgs
from connector.web.api.status import Status
from tests.web.conftest import ORDER, Api

TOPIC = "/data/Connector__chn"


async def begin_listening(api: Api) -> None:
    """A topic with deliveries counted and allowed, and a record that is parked."""
    now = api.store.clock.now()
    limit = DeliveryLimit(used=20_000, allowed=25_000, observed_at=now - timedelta(hours=3), counted_in_hour=0)
    async with api.store.transaction() as uow:
        await orgs.put(uow, "00D", login_url="", instance_url="", is_active=True)
        await deliveries.put_state(uow, "00D", TopicState(topic=TOPIC, mode=DeliveryMode.STREAM, limit=limit))
        await deliveries.add(uow, "00D", TOPIC, 400)
        state = ListeningState(activity=TopicActivity.LISTENING, since=now)
        await cursors.set_position(uow, "00D", f"{STATE}{TOPIC}", state.as_document())
        await inbox.park(uow, "00D", ("Account", "001"), Source.POLL, error="unreadable", fix="correct it")


async def test_status_shows_deliveries_topics_and_what_is_parked_as_the_command_does(api: Api) -> None:
    before = (await api("GET", "/status", role=Role.VIEWER)).body["inbound"]
    assert before == {"conflicts": 0, "parked": 0, "deleted": 0, "deliveries": [], "events": None}
    await begin_listening(api)
    await api("POST", "/orders", ORDER)

    answer = await api("GET", "/status", role=Role.VIEWER)

    assert answer.body["summary"].startswith(f"1 parked record waits for a person; nobody listens to {TOPIC}; ")
    assert answer.body["queue"] == [{"entity": "order", "lane": "new", "changes": 1, "oldest_seconds": 0}]
    assert (answer.body["freshness"]["to_org"], answer.body["freshness"]["from_org"]) == (0, 0)
    inbound = answer.body["inbound"]
    [usage] = inbound["deliveries"]
    assert (usage["topic"], usage["mode"], usage["used"], usage["allowed"]) == (TOPIC, "stream", 20_400, 25_000)
    assert (usage["today"], usage["left"]) == (400, 2_100)
    assert inbound["parked"] == 1
    assert [(topic["topic"], topic["kind"]) for topic in inbound["events"]["topics"]] == [(TOPIC, "stopped")]
    assert answer.body["webhooks"] == {"due": 0, "failed": 0}
    assert answer.body["workers"] == {}
    schema: dict[str, Any] = (await api("GET", "/openapi.json", role=None)).body
    reference = schema["paths"]["/api/v1/status"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert reference == {"$ref": "#/components/schemas/Status"}
    assert "runs_out_at" in schema["components"]["schemas"]["DeliveryUsage"]["required"]
    assert TypeAdapter(Status).validate_python(answer.body).inbound.deliveries[0].used == 20_400
    async with api.store.reader() as connection:
        org = await orgs.get_active(connection)
        command = await _load_inbound(connection, org, Settings(_env_file=None), api.store.clock.now())
    [shown] = command["deliveries"]
    assert shown.pop("text").startswith(f"{TOPIC}: 20,400 of the org's 25,000 deliveries of 24 hours used")
